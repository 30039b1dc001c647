//! Answers that leave before their money moves: the amount is on the books as exposure from the
//! claim on, becomes due with the grant, and leaves the books exactly once.
//!
//! The claim keeps its own state and ends in GRANTED; where the money stands is a row beside it
//! ([`DeferralState`]).

use async_trait::async_trait;
use faregate_protocol::{Amount, PaymentKey, PaymentRequest};
use serde_json::{Value, json};
use uuid::Uuid;

use crate::{ClaimStore, Claimed, DebtRecords, DeferralState, LedgerError, NewClaim};

/// Process deaths in a row in the middle of a try after which a row is set aside. A death is blamed
/// on every row that was in hand, and money that is set aside waits for an operator: a process that
/// is killed again and again for reasons of its own must not set much aside.
pub const MAX_DEATHS: i64 = 20;
/// Answers that a settlement is refused after which a row is set aside.
pub const MAX_REFUSALS: i64 = 20;

/// Most that may be served and not proven settled, this payment included, in atomic units of its
/// asset.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ExposureLimits {
    /// By this payer.
    pub payer: Amount,
    /// By all payers.
    pub total: Amount,
}

/// Why a claim was not put on the books.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NotDeferred {
    /// The payer would owe more than one may.
    PayerLimit,
    /// All payers together would owe more than they may.
    TotalLimit,
    /// The payer owes for an earlier answer.
    OpenDebt,
}

/// Outcome of trying to claim with the money to follow.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DeferredClaim {
    /// As for any claim; if it was won, its amount is on the books.
    Claimed(Claimed),
    /// It cannot be deferred, and nothing was stored.
    Refused(NotDeferred),
}

/// Right to try one row of the queue and to say what came of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DueHold {
    /// The payment.
    pub key: PaymentKey,
    /// Fencing token, +1 at each hand-over.
    pub token: i64,
}

/// A row of the queue that is to be tried now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Due {
    /// For [`DeferredStore::record_try`].
    pub hold: DueHold,
    /// Idempotency key towards the facilitator.
    pub settle_id: Uuid,
    /// SETTLING, or BAD_DEBT that is still watched.
    pub state: DeferralState,
    /// Who pays.
    pub payer: String,
    /// When the authorization ends, unix milliseconds.
    pub settle_by_unix_ms: u64,
    /// Tries before this one that came to no end.
    pub tries: u32,
}

/// What a try came to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Tried {
    /// The money moved, by this transaction.
    Settled {
        /// Transaction.
        transaction: String,
    },
    /// Proven that it never will.
    NotCharged,
    /// Nothing is proven; it is tried again after `pause_ms`.
    Again {
        /// It was refused with a reason: so many of these and it is set aside.
        refused: bool,
        /// Transaction, if one became known.
        transaction: Option<String>,
        /// Reason code, for the journal.
        reason: String,
        /// Milliseconds until the next try.
        pause_ms: u64,
    },
}

impl Tried {
    /// The transaction that is known now.
    pub(crate) fn transaction(&self) -> Option<&str> {
        match self {
            Self::Settled { transaction } => Some(transaction),
            Self::Again { transaction, .. } => transaction.as_deref(),
            Self::NotCharged => None,
        }
    }
}

/// Where a row stands after a try, and what the journal says. A try that proves nothing leaves it
/// where it is, unless it was one refusal too many.
pub(crate) fn after(from: DeferralState, refusals: i64, tried: &Tried) -> (DeferralState, Value) {
    match tried {
        Tried::Settled { transaction } => {
            (DeferralState::Settled, json!({ "transaction": transaction }))
        }
        Tried::NotCharged => (DeferralState::NotCharged, json!({ "proven": true })),
        Tried::Again { refused, reason, pause_ms, .. } => {
            let is_last = *refused && refusals.saturating_add(1) >= MAX_REFUSALS;
            let to = match from {
                DeferralState::Settling if is_last => DeferralState::Quarantined,
                _ => from,
            };
            (to, json!({ "reason": reason, "again_in_ms": pause_ms }))
        }
    }
}

/// When an authorization that is valid before this second ends, in unix milliseconds.
pub(crate) fn settle_by_ms(valid_before: u64) -> i64 {
    const MS_PER_SEC: u64 = 1000;
    i64::try_from(valid_before.saturating_mul(MS_PER_SEC)).unwrap_or(i64::MAX)
}

/// What is served and not proven settled, in one asset.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AssetExposure {
    /// CAIP-2 id.
    pub network: String,
    /// What is paid with, in lower case.
    pub asset: String,
    /// Of all payers, in atomic units.
    pub unsettled: Amount,
}

/// The queue as a whole.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct QueueFigures {
    /// Exposure by asset; an asset that never had any is missing.
    pub exposure: Vec<AssetExposure>,
    /// Rows that are due: QUEUED or SETTLING.
    pub depth: u64,
    /// Age of the oldest of them since its claim, in milliseconds; 0 without any.
    pub oldest_ms: u64,
    /// Rows that wait for an operator.
    pub quarantined: u64,
}

/// The books of deferred money. Time is the database's clock.
#[async_trait]
pub trait DeferredStore: ClaimStore + DebtRecords {
    /// As [`ClaimStore::claim`], with the amount put on the books of its payer and of all payers,
    /// and the payment kept for its settlement, in the same transaction.
    ///
    /// # Errors
    /// [`LedgerError::Unavailable`]: whether it was stored is unknown; call again.
    async fn claim_deferred(
        &self,
        new: &NewClaim,
        lease_ms: u64,
        request: &PaymentRequest,
        limits: ExposureLimits,
    ) -> Result<DeferredClaim, LedgerError>;

    /// Takes at most `limit` rows that are due for `facilitator` and that nobody holds, those
    /// whose authorization ends first first, and BAD_DEBT last. QUEUED becomes SETTLING. The start
    /// of the try is on disk before it returns; rows at which [`MAX_DEATHS`] processes died are
    /// set aside instead.
    ///
    /// # Errors
    /// [`LedgerError`].
    async fn take_due(
        &self,
        facilitator: &str,
        limit: u32,
        lease_ms: u64,
    ) -> Result<Vec<Due>, LedgerError>;

    /// Stores what a try came to. The amount leaves the books with SETTLED and NOT_CHARGED if it
    /// is still on them; NOT_CHARGED leaves a debt, SETTLED closes one. `false`: somebody else
    /// holds the row now.
    ///
    /// # Errors
    /// [`LedgerError`].
    async fn record_try(&self, hold: &DueHold, tried: &Tried) -> Result<bool, LedgerError>;

    /// Turns at most `limit` granted rows whose authorization has ended unproven into BAD_DEBT:
    /// the amount leaves the books, and the payer has a debt. Returns how many.
    ///
    /// # Errors
    /// [`LedgerError`].
    async fn expire_deferrals(&self, limit: u32) -> Result<u64, LedgerError>;

    /// QUARANTINED to QUEUED, for an operator. `false`: it is not QUARANTINED.
    ///
    /// # Errors
    /// [`LedgerError`].
    async fn retry_deferral(&self, key: &PaymentKey) -> Result<bool, LedgerError>;

    /// What the queue holds.
    ///
    /// # Errors
    /// [`LedgerError`].
    async fn queue_figures(&self) -> Result<QueueFigures, LedgerError>;
}
