//! What a lane has open: its nonces, their payments and signed bytes; and the right to work on it.

use faregate_protocol::PaymentKey;
use uuid::Uuid;

use crate::SlotKind;

/// The right to work on something alone. Every write checks the token, so that a holder who slept
/// through the end of its lease changes nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lease {
    /// What it is for, such as `lane eip155:84532 0x...`.
    pub name: String,
    /// Who holds it.
    pub owner: Uuid,
    /// +1 at each change of holder.
    pub token: i64,
}

/// What a lane has open.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LaneRows {
    /// Slots that are EMPTY or SIGNED, lowest nonce first.
    pub open: Vec<SlotRow>,
    /// One above the highest nonce that was ever allocated; 0 for a new lane.
    pub next_nonce: u64,
}

/// One nonce of a lane.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SlotRow {
    /// CAIP-2 id.
    pub network: String,
    /// Signer.
    pub signer: String,
    /// Transaction nonce.
    pub nonce: u64,
    /// What it is for.
    pub kind: SlotKind,
    /// The payments it was allocated for, in the order of their keys; none for a no-op.
    pub members: Vec<SlotMember>,
    /// Its signed transactions, oldest first.
    pub attempts: Vec<Attempt>,
    /// How long ago the newest of them was stored, in milliseconds of the ledger's clock; 0 without
    /// one.
    pub age_ms: u64,
}

/// A payment in a slot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SlotMember {
    /// Which.
    pub key: PaymentKey,
    /// It still lives there: neither its proof nor its end is known, and it was not taken out.
    pub live: bool,
}

impl SlotRow {
    /// The kind of a slot for so many payments.
    pub(crate) const fn kind_of(members: usize) -> SlotKind {
        match members {
            0 => SlotKind::NoOp,
            1 => SlotKind::Single,
            _ => SlotKind::Batch,
        }
    }

    /// The kind it has once it keeps only these of its payments.
    pub(crate) fn kind_with(&self, keep: &[PaymentKey]) -> SlotKind {
        Self::kind_of(self.members.iter().filter(|member| keep.contains(&member.key)).count())
    }
}

/// Signed bytes. They hold a bearer authorization, so `Debug` leaves them out.
#[derive(Clone, PartialEq, Eq)]
pub struct Attempt {
    /// Transaction hash.
    pub transaction: String,
    /// Signed bytes.
    pub raw: Vec<u8>,
    /// Most it pays for one unit of gas, in wei.
    pub max_fee_wei: u128,
    /// Tip for one unit of gas, in wei.
    pub tip_wei: u128,
}

impl std::fmt::Debug for Attempt {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Attempt").field("transaction", &self.transaction).finish_non_exhaustive()
    }
}
