//! Settlements: the engine's record of moving the money, from the reservation to the proof.

use async_trait::async_trait;
use faregate_protocol::{Amount, PaymentKey, PaymentRequest};
use serde_json::Value;
use uuid::Uuid;

use crate::{Attempt, Hint, LaneRows, Lease, LedgerError, PayeeStore, SettlementState, SlotRow};

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
    /// A caller waits for it now.
    pub wanted: bool,
    /// Looks of the reconciler since it last moved.
    pub looks: u32,
    /// It lives in a slot whose nonce is not known to be mined.
    pub in_open_slot: bool,
    /// Own transactions that carry it, oldest first.
    pub transactions: Vec<String>,
    /// Nonces that they were signed for: of those that share one, at most one costs gas.
    pub nonces: usize,
    /// The proof, once there is one.
    pub evidence: Option<EvidenceRow>,
    /// When it was reserved, unix milliseconds by the database's clock.
    pub reserved_unix_ms: i64,
    /// When it last moved, unix milliseconds by the database's clock.
    pub updated_unix_ms: i64,
    /// The database's clock when this was read, unix milliseconds.
    pub read_unix_ms: i64,
}

impl Settlement {
    /// One that was stored at `now` and is wanted for `wait_ms` from then.
    pub(crate) fn reserved(new: NewSettlement, wait_ms: u64, now: i64) -> Self {
        Self {
            new,
            state: SettlementState::Reserved,
            version: 0,
            success_reported_to: None,
            tries: 0,
            wanted: wait_ms > 0,
            looks: 0,
            in_open_slot: false,
            transactions: Vec::new(),
            nonces: 0,
            evidence: None,
            reserved_unix_ms: now,
            updated_unix_ms: now,
            read_unix_ms: now,
        }
    }
}

/// Outcome of trying to reserve.
#[derive(Clone, Debug, PartialEq)]
pub enum Reserved {
    /// A new row; the caller's payment is on its way.
    New(Box<Settlement>),
    /// The key was reserved before.
    Exists(Box<Settlement>),
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

/// A proof that is to be recorded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Proven {
    /// The payment.
    pub key: PaymentKey,
    /// Where it stands.
    pub from: SettlementState,
    /// What proves it.
    pub evidence: EvidenceRow,
}

/// The engine's side of a ledger. Time is the database's clock.
#[async_trait]
pub trait SettlementStore: PayeeStore {
    /// Takes a lease, or prolongs one's own. `None`: somebody else holds it.
    ///
    /// # Errors
    /// [`LedgerError`].
    async fn lease(
        &self,
        name: &str,
        owner: Uuid,
        ttl_ms: u64,
    ) -> Result<Option<Lease>, LedgerError>;

    /// Ends a lease, so that the next holder need not wait for its end.
    ///
    /// # Errors
    /// [`LedgerError`].
    async fn give_up(&self, lease: &Lease) -> Result<(), LedgerError>;

    /// Inserts RESERVED, or finds what is there (U3). Its caller waits for `wait_ms`.
    ///
    /// # Errors
    /// [`LedgerError::Unavailable`]: whether it was stored is unknown; call again.
    async fn reserve(&self, new: &NewSettlement, wait_ms: u64) -> Result<Reserved, LedgerError>;

    /// An entitled caller waits for `wait_ms` from now; a DORMANT payment becomes RESERVED again.
    ///
    /// # Errors
    /// [`LedgerError`].
    async fn want(&self, key: &PaymentKey, wait_ms: u64) -> Result<(), LedgerError>;

    /// Reads a settlement.
    ///
    /// # Errors
    /// [`LedgerError`].
    async fn find_settlement(&self, key: &PaymentKey) -> Result<Option<Settlement>, LedgerError>;

    /// RESERVED payments of `network` that a caller waits for and that live in no slot and
    /// are valid beyond the unix second `ends_after`, earliest end first; of those that end
    /// together, the one that came first.
    ///
    /// # Errors
    /// [`LedgerError`].
    async fn wanted(
        &self,
        network: &str,
        ends_after: u64,
        limit: u32,
    ) -> Result<Vec<Settlement>, LedgerError>;

    /// Settlements of `network` whose next look is due: those without proof first, then by time.
    /// What moved less than `quiet_ms` ago is left alone, unless its slot was closed.
    ///
    /// # Errors
    /// [`LedgerError`].
    async fn due(
        &self,
        network: &str,
        quiet_ms: u64,
        limit: u32,
    ) -> Result<Vec<Settlement>, LedgerError>;

    /// Settlements of `network` that are SIGNED or BROADCAST and that one of these transactions
    /// carries, at most `limit`; those of one nonce together.
    ///
    /// # Errors
    /// [`LedgerError`].
    async fn carried_by(
        &self,
        network: &str,
        transactions: &[String],
        limit: u32,
    ) -> Result<Vec<Settlement>, LedgerError>;

    /// How many settlements of `network` are SIGNED or BROADCAST.
    ///
    /// # Errors
    /// [`LedgerError`].
    async fn in_flight(&self, network: &str) -> Result<u64, LedgerError>;

    /// Nothing new was found: the next look at each of these is due in `next_in_ms`.
    ///
    /// # Errors
    /// [`LedgerError::LeaseLost`] among others.
    async fn looked(
        &self,
        lease: &Lease,
        keys: &[PaymentKey],
        next_in_ms: u64,
    ) -> Result<(), LedgerError>;

    /// How many settlements of `network` have neither proof nor end.
    ///
    /// # Errors
    /// [`LedgerError`].
    async fn unresolved(&self, network: &str) -> Result<u64, LedgerError>;

    /// The open slots of a lane.
    ///
    /// # Errors
    /// [`LedgerError`].
    async fn lane(&self, network: &str, signer: &str) -> Result<LaneRows, LedgerError>;

    /// The lane's next nonce, at least `floor_nonce`, for these payments: stores an EMPTY slot with
    /// those of them alive in it that are RESERVED and live in no slot (U6, U7), in one
    /// transaction. `None`: there are none.
    ///
    /// # Errors
    /// [`LedgerError::LeaseLost`] among others.
    async fn allocate_slot(
        &self,
        lease: &Lease,
        network: &str,
        signer: &str,
        floor_nonce: u64,
        keys: &[PaymentKey],
    ) -> Result<Option<SlotRow>, LedgerError>;

    /// Stores signed bytes for a slot, before they leave: slot and payments become SIGNED. `false`:
    /// the slot changed, or one of its payments is not RESERVED any more; send nothing.
    ///
    /// # Errors
    /// [`LedgerError`]: whether they are stored is unknown; read the lane before going on.
    async fn record_attempt(
        &self,
        lease: &Lease,
        slot: &SlotRow,
        attempt: &Attempt,
    ) -> Result<bool, LedgerError>;

    /// An EMPTY slot keeps these of its payments, the others will not be sent in it; without any
    /// it becomes a no-op, which still has to be signed. `false`: it is not EMPTY, or a no-op.
    ///
    /// # Errors
    /// [`LedgerError::LeaseLost`] among others.
    async fn keep_members(
        &self,
        lease: &Lease,
        slot: &SlotRow,
        keep: &[PaymentKey],
    ) -> Result<bool, LedgerError>;

    /// An endpoint has taken the slot's transaction: its payments that are SIGNED become BROADCAST.
    ///
    /// # Errors
    /// [`LedgerError::LeaseLost`] among others.
    async fn acknowledge(&self, lease: &Lease, slot: &SlotRow) -> Result<(), LedgerError>;

    /// Transactions with these nonces were mined. Payments that live in them are due for a look.
    ///
    /// # Errors
    /// [`LedgerError::LeaseLost`] among others.
    async fn close_slots(
        &self,
        lease: &Lease,
        network: &str,
        signer: &str,
        nonces: &[u64],
    ) -> Result<(), LedgerError>;

    /// The chain has not mined the nonces `from..to` after all: closed slots open again, nonces
    /// without a slot get one for a no-op. Returns how many.
    ///
    /// # Errors
    /// [`LedgerError::LeaseLost`] among others.
    async fn reopen_slots(
        &self,
        lease: &Lease,
        network: &str,
        signer: &str,
        from: u64,
        to: u64,
    ) -> Result<u64, LedgerError>;

    /// Moves a settlement if it still is in `from`; `false`: it moved without us. A payment that
    /// becomes RESERVED, DEAD or QUARANTINED leaves its slot. One that was signed for an open slot
    /// does not become RESERVED (`false`): what is signed for it may still be mined.
    ///
    /// # Errors
    /// [`LedgerError::IllegalMove`] for a move the state machine does not have.
    async fn move_settlement(
        &self,
        lease: &Lease,
        key: &PaymentKey,
        from: SettlementState,
        to: SettlementState,
        evidence: Value,
    ) -> Result<bool, LedgerError>;

    /// Stores the proof and moves to MINED; the payment leaves its slot. `false`: it moved
    /// without us, or this log already pays for another payment.
    ///
    /// # Errors
    /// [`LedgerError::LeaseLost`] among others.
    async fn record_mined(
        &self,
        lease: &Lease,
        key: &PaymentKey,
        from: SettlementState,
        evidence: &EvidenceRow,
    ) -> Result<bool, LedgerError>;

    /// As [`SettlementStore::record_mined`] for many, in one transaction: one that cannot be
    /// recorded holds up no other. Returns the payments that moved.
    ///
    /// # Errors
    /// [`LedgerError::LeaseLost`] among others: whether any was recorded is unknown.
    async fn record_all_mined(
        &self,
        lease: &Lease,
        proofs: &[Proven],
    ) -> Result<Vec<PaymentKey>, LedgerError>;

    /// The proofs of these stand in blocks that are final: those that are MINED become FINAL, in
    /// one transaction. Returns the payments that moved. `finalized` is the number of the final
    /// block that this was read from.
    ///
    /// # Errors
    /// [`LedgerError::LeaseLost`] among others.
    async fn record_all_final(
        &self,
        lease: &Lease,
        keys: &[PaymentKey],
        finalized: u64,
    ) -> Result<Vec<PaymentKey>, LedgerError>;

    /// The block is gone: the proof is taken back. The payment returns to the slot of its newest
    /// transaction as BROADCAST; one that never had a transaction of ours becomes RESERVED. Either
    /// way it is wanted until it expires, because its success may have been told.
    ///
    /// # Errors
    /// [`LedgerError::LeaseLost`] among others.
    async fn undo_mined(&self, lease: &Lease, key: &PaymentKey) -> Result<bool, LedgerError>;

    /// An operator sends a QUARANTINED payment back to work: it becomes RESERVED, its tries are
    /// forgotten, and it is wanted until its authorization ends. `false`: it is not QUARANTINED.
    ///
    /// # Errors
    /// [`LedgerError`].
    async fn retry_quarantined(&self, key: &PaymentKey) -> Result<bool, LedgerError>;

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

    /// What may have changed, here and in other processes; some of it may be missed.
    fn hints(&self) -> tokio::sync::broadcast::Receiver<Hint>;
}
