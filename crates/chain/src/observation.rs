//! What became of the money: the only source of "paid" and "not charged".

use faregate_protocol::PaymentRequest;

/// A question about one payment.
#[derive(Clone, Debug)]
pub struct Watch<'a> {
    /// The payment with the seller's requirements.
    pub request: &'a PaymentRequest,
    /// Own transactions that carry it, newest last.
    pub transactions: &'a [String],
    /// Evidence in this block or before it is refused: the authorization was unused then.
    pub head_at_claim: u64,
}

/// A block as it was seen. It proves nothing: it may be gone by now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BlockSeen {
    /// Its number.
    pub number: u64,
    /// Its hash.
    pub hash: String,
    /// The hash of the block before it.
    pub parent: String,
    /// Its transactions, spelled as [`crate::Prepared::transaction`] is.
    pub transactions: Vec<String>,
}

impl BlockSeen {
    /// All of it.
    #[must_use]
    pub fn whole(&self) -> InBlock<'_> {
        InBlock {
            number: self.number,
            hash: &self.hash,
            transactions: &self.transactions,
            size: Some(self.transactions.len()),
        }
    }
}

/// Transactions of one block, in which payments are looked for.
#[derive(Clone, Copy, Debug)]
pub struct InBlock<'a> {
    /// Number of the block.
    pub number: u64,
    /// Its hash.
    pub hash: &'a str,
    /// The transactions, spelled as [`crate::Prepared::transaction`] is.
    pub transactions: &'a [String],
    /// How many it holds in all, if that is known.
    pub size: Option<usize>,
}

/// The block that stands at a height.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Standing {
    /// Its hash, hex.
    pub hash: String,
    /// Its transactions, if the chain says how many.
    pub size: Option<usize>,
}

/// What stands at some heights now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Heights {
    /// Latest block number.
    pub head: u64,
    /// Latest final block number.
    pub finalized: u64,
    /// The block at each height that was asked for; `None` where none was shown.
    pub blocks: Vec<Option<Standing>>,
}

/// The chain's answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Observation {
    /// Latest block number.
    pub head: u64,
    /// Latest final block number.
    pub finalized: u64,
    /// What became of the money.
    pub outcome: Outcome,
}

/// What became of the money.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Nothing is proven. `in_pool` lists own transactions that the endpoint still knows as
    /// pending, `reverted` those that were mined without effect on this payment.
    Unknown {
        /// Own transactions waiting in the endpoint's pool.
        in_pool: Vec<String>,
        /// Own transactions that were mined and reverted.
        reverted: Vec<Reverted>,
    },
    /// The money moved to the payee: proven by logs.
    Paid(Evidence),
    /// The authorization can never move money to the payee: proven at a final block.
    Dead(DeathProof),
}

/// An own transaction that was mined without effect on the payment: it reverted, or the payment's
/// part of it did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reverted {
    /// The transaction.
    pub transaction: String,
    /// Gas it cost.
    pub gas_used: u64,
}

/// One log that pays for one payment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Evidence {
    /// Transaction that holds the log; not necessarily one of ours.
    pub transaction: String,
    /// Index of the asset's `AuthorizationUsed` log in the block.
    pub log_index: u64,
    /// Block number.
    pub block_number: u64,
    /// Block hash, hex.
    pub block_hash: String,
    /// Gas used by the whole transaction.
    pub gas_used: u64,
    /// Payments that the transaction made, this one included, as far as its logs tell.
    pub payments: u64,
}

/// Why the authorization is dead.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DeathCause {
    /// Unused, and a final block's time is past its end.
    Expired,
    /// Cancelled by the payer in a final block.
    Cancelled,
    /// Used in a final block by a transfer that does not pay this payee.
    Superseded,
}

impl DeathCause {
    /// Name for the journal.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Expired => "expired",
            Self::Cancelled => "cancelled",
            Self::Superseded => "superseded",
        }
    }
}

/// Proof that nobody was and nobody will be charged by this authorization for this payee.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DeathProof {
    /// Why.
    pub cause: DeathCause,
    /// The final block it was read at.
    pub at_block: u64,
}
