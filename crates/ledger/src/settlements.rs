//! Settlements: the engine's record of moving the money, from the reservation to the proof.

use async_trait::async_trait;
use faregate_protocol::{Amount, PaymentKey, PaymentRequest};
use serde_json::Value;
use uuid::Uuid;

use crate::{LedgerError, SettlementState, SlotKind};

/// What a reservation stores.
#[derive(Clone, Debug, PartialEq)]
pub struct NewSettlement {
    /// Names the on-chain single-use token (U3).
    pub key: PaymentKey,
    /// The caller's idempotency key, or one made for a caller without.
    pub settle_id: Uuid,
    /// Whether the caller brought the settle id. If not, one success is reported (U4).
    pub caller_has_key: bool,
    /// sha256 of the requirements.
    pub requirements_hash: [u8; 32],
    /// sha256 of the signed payload.
    pub payload_hash: [u8; 32],
    /// The payment with its requirements: what is needed to sign again after a crash.
    pub request: PaymentRequest,
    /// CAIP-2 id.
    pub network: String,
    /// Who pays.
    pub payer: String,
    /// Who is paid.
    pub pay_to: String,
    /// What is paid with.
    pub asset: String,
    /// How much, in atomic units.
    pub amount: Amount,
    /// End of the authorization, unix seconds.
    pub valid_before: u64,
    /// Block at which the authorization was seen unused; older evidence is refused.
    pub head_at_claim: u64,
}

/// A stored settlement.
#[derive(Clone, Debug, PartialEq)]
pub struct Settlement {
    /// What was reserved.
    pub new: NewSettlement,
    /// Where it stands.
    pub state: SettlementState,
    /// +1 at each move.
    pub version: i64,
    /// Who got the one success, for callers without an idempotency key (U4).
    pub success_reported_to: Option<Uuid>,
    /// Tries to sign or send, failed ones included.
    pub tries: i64,
    /// Own transactions that carry it, oldest first.
    pub transactions: Vec<String>,
    /// The proof, once there is one.
    pub evidence: Option<EvidenceRow>,
    /// When it was reserved, unix milliseconds by the database's clock.
    pub reserved_unix_ms: i64,
    /// When it last moved, unix milliseconds by the database's clock.
    pub updated_unix_ms: i64,
}

/// Outcome of trying to reserve.
#[derive(Clone, Debug, PartialEq)]
pub enum Reserved {
    /// A new row; the caller's payment is on its way.
    New(Box<Settlement>),
    /// The key was reserved before.
    Exists(Box<Settlement>),
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
    /// The payment that lives in it, if one does.
    pub live_key: Option<PaymentKey>,
    /// Its signed transactions, oldest first.
    pub attempts: Vec<Attempt>,
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

/// The log that proves a payment (U8, U9).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EvidenceRow {
    /// Transaction that holds the log.
    pub transaction: String,
    /// Index of the log in its block.
    pub log_index: u64,
    /// Block number.
    pub block_number: u64,
    /// Block hash.
    pub block_hash: String,
    /// Gas used by the whole transaction.
    pub gas_used: u64,
}

/// The engine's side of a ledger. Time is the database's clock.
#[async_trait]
pub trait SettlementStore: Send + Sync {
    /// Inserts RESERVED, or finds what is there (U3).
    ///
    /// # Errors
    /// [`LedgerError::Unavailable`]: whether it was stored is unknown; call again.
    async fn reserve(&self, new: &NewSettlement) -> Result<Reserved, LedgerError>;

    /// Reads a settlement.
    ///
    /// # Errors
    /// [`LedgerError`].
    async fn find_settlement(&self, key: &PaymentKey) -> Result<Option<Settlement>, LedgerError>;

    /// Settlements of `network` that are not at their end, those that moved longest ago first,
    /// without those that moved less than `quiet_ms` ago.
    ///
    /// # Errors
    /// [`LedgerError`].
    async fn open_settlements(
        &self,
        network: &str,
        quiet_ms: u64,
        limit: u32,
    ) -> Result<Vec<Settlement>, LedgerError>;

    /// The lane's next nonce for this payment: one above the highest slot, but at least
    /// `floor_nonce`. Stores an EMPTY slot with the payment alive in it (U6, U7), in one
    /// transaction. A payment that lives in a slot already gets that slot.
    ///
    /// # Errors
    /// [`LedgerError`].
    async fn allocate_slot(
        &self,
        network: &str,
        signer: &str,
        floor_nonce: u64,
        key: &PaymentKey,
    ) -> Result<SlotRow, LedgerError>;

    /// Stores signed bytes for a slot, before they leave: slot and payment become SIGNED.
    ///
    /// # Errors
    /// [`LedgerError`]: send nothing.
    async fn record_attempt(&self, slot: &SlotRow, attempt: &Attempt) -> Result<(), LedgerError>;

    /// The payment in this slot will never be paid by it: the slot becomes a no-op that still has
    /// to be signed.
    ///
    /// # Errors
    /// [`LedgerError`].
    async fn make_no_op(&self, slot: &SlotRow) -> Result<(), LedgerError>;

    /// Slots of a lane that are EMPTY or SIGNED, lowest nonce first.
    ///
    /// # Errors
    /// [`LedgerError`].
    async fn open_slots(&self, network: &str, signer: &str) -> Result<Vec<SlotRow>, LedgerError>;

    /// A transaction with this nonce was mined; the slot is done.
    ///
    /// # Errors
    /// [`LedgerError`].
    async fn close_slots_below(
        &self,
        network: &str,
        signer: &str,
        mined_nonce: u64,
    ) -> Result<u64, LedgerError>;

    /// Moves a settlement if it still is in `from`; `false`: it moved without us.
    ///
    /// # Errors
    /// [`LedgerError::IllegalMove`] for a move the state machine does not have.
    async fn move_settlement(
        &self,
        key: &PaymentKey,
        from: SettlementState,
        to: SettlementState,
        actor: &'static str,
        evidence: Value,
    ) -> Result<bool, LedgerError>;

    /// Stores the proof and moves to MINED; the payment leaves its slot. `false`: it moved
    /// without us, or this log already pays for another payment.
    ///
    /// # Errors
    /// [`LedgerError`].
    async fn record_mined(
        &self,
        key: &PaymentKey,
        from: SettlementState,
        evidence: &EvidenceRow,
    ) -> Result<bool, LedgerError>;

    /// MINED to BROADCAST: the block is gone; the proof is taken back and the payment returns to
    /// its slot.
    ///
    /// # Errors
    /// [`LedgerError`].
    async fn undo_mined(&self, key: &PaymentKey) -> Result<bool, LedgerError>;

    /// Counts a try before it is made and returns the count.
    ///
    /// # Errors
    /// [`LedgerError`].
    async fn count_try(&self, key: &PaymentKey) -> Result<i64, LedgerError>;

    /// Claims the one success of a settlement for `caller` (U4). `true`: it is theirs, now or
    /// from before.
    ///
    /// # Errors
    /// [`LedgerError`].
    async fn report_success(&self, key: &PaymentKey, caller: Uuid) -> Result<bool, LedgerError>;
}
