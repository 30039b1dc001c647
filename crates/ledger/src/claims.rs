//! Claims: a gate's hold on one payment, from the insert that wins it to the grant that lets the
//! first byte leave.

use async_trait::async_trait;
use faregate_protocol::{Amount, PaymentKey, PaymentRequest};
use serde_json::Value;
use uuid::Uuid;

use crate::{ClaimState, DeferralState, JournalEntry, LedgerError, PartStore, StoredAnswer};

/// What a claim stores when it is inserted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewClaim {
    /// Names the on-chain single-use token (U1).
    pub key: PaymentKey,
    /// Idempotency key towards the facilitator.
    pub settle_id: Uuid,
    /// Name of the facilitator that will settle; settlements are sticky to it.
    pub facilitator: String,
    /// sha256 over the parts of the request that the payment buys.
    pub request_fp: [u8; 32],
    /// sha256 of the seller's own requirements.
    pub requirements_hash: [u8; 32],
    /// sha256 of the signed payload.
    pub payload_hash: [u8; 32],
    /// Name of the route.
    pub route: String,
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
}

/// Right to move a claim. Every move checks the token; a holder whose token is old moves nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Hold {
    /// The claim.
    pub key: PaymentKey,
    /// Fencing token, +1 at each hand-over.
    pub token: i64,
    /// How often the key was claimed; the handler runs at most once in each epoch.
    pub epoch: i64,
    /// Idempotency key towards the facilitator; it stays the same over epochs.
    pub settle_id: Uuid,
}

/// Outcome of trying to claim.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Claimed {
    /// The caller holds the key, alone.
    Won(Hold),
    /// Somebody claimed it before.
    Exists(Box<Claim>),
}

/// A stored claim.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Claim {
    /// What was stored at the insert.
    pub new: NewClaim,
    /// Where it stands.
    pub state: ClaimState,
    /// Fencing token of the present or last holder.
    pub token: i64,
    /// See [`Hold::epoch`].
    pub epoch: i64,
    /// The present holder's lease has not run out.
    pub held: bool,
    /// [`ClaimStore::start_handler`] was called for it, in this epoch or an earlier one.
    pub handler_started: bool,
    /// Transaction that settled it or was sent for it; empty when unknown.
    pub transaction: String,
    /// Where its money stands, if its answer may leave before the money moves.
    pub deferral: Option<DeferralState>,
}

/// A move with what goes to the journal.
#[derive(Clone, Debug, PartialEq)]
pub struct ClaimMove {
    /// State it must be in.
    pub from: ClaimState,
    /// State it gets.
    pub to: ClaimState,
    /// Transaction, if one became known.
    pub transaction: Option<String>,
    /// For the journal; never a payload or a key.
    pub evidence: Value,
}

/// The gate's side of a ledger. Time is the database's clock.
#[async_trait]
pub trait ClaimStore: PartStore {
    /// Inserts VERIFIED with a lease of `lease_ms`, or takes a RELEASED claim up again (epoch + 1)
    /// if it carries the same signed payload for the same request.
    ///
    /// # Errors
    /// [`LedgerError::Unavailable`]: whether it was stored is unknown; call again.
    async fn claim(&self, new: &NewClaim, lease_ms: u64) -> Result<Claimed, LedgerError>;

    /// Reads a claim.
    ///
    /// # Errors
    /// [`LedgerError`].
    async fn find_claim(&self, key: &PaymentKey) -> Result<Option<Claim>, LedgerError>;

    /// Takes over a claim in `state` whose holder's lease has run out; the token rises. `None`:
    /// it moved, or is held. A takeover of SETTLED, EXECUTED or EXECUTING starts a new epoch,
    /// because the handler may have to run again ([`ClaimState::runs_again`]).
    ///
    /// # Errors
    /// [`LedgerError`].
    async fn take_over(
        &self,
        key: &PaymentKey,
        state: ClaimState,
        lease_ms: u64,
    ) -> Result<Option<Hold>, LedgerError>;

    /// Prolongs a lease; `false` means the hold is lost: stop.
    ///
    /// # Errors
    /// [`LedgerError`].
    async fn renew(&self, hold: &Hold, lease_ms: u64) -> Result<bool, LedgerError>;

    /// Ends a lease early, so that a retry need not wait for it. The state stays.
    ///
    /// # Errors
    /// [`LedgerError`].
    async fn let_go(&self, hold: &Hold) -> Result<(), LedgerError>;

    /// Moves a claim; `false` means it moved without us: stop. A move to CREDIT opens a debt of
    /// the payee; a move to RELEASED takes what was deferred off the books.
    ///
    /// # Errors
    /// [`LedgerError::IllegalMove`] for a move the state machine does not have, or that needs a
    /// row beside it ([`ClaimState::may_become_bare`]).
    async fn move_claim(&self, hold: &Hold, step: ClaimMove) -> Result<bool, LedgerError>;

    /// Marks that the handler of a route that must not run twice is about to run. `Some(true)`:
    /// run it; `Some(false)`: it was started before; `None`: the hold is lost.
    ///
    /// # Errors
    /// [`LedgerError`]: do not run it.
    async fn start_handler(&self, hold: &Hold) -> Result<Option<bool>, LedgerError>;

    /// VERIFIED to SETTLING before anything ran, with the payment as it is asked to be settled,
    /// sealed, in one transaction. `false`: it moved without us, stop.
    ///
    /// # Errors
    /// [`LedgerError`].
    async fn settle_first(
        &self,
        hold: &Hold,
        request: &PaymentRequest,
    ) -> Result<bool, LedgerError>;

    /// VERIFIED to EXECUTED, or to DEFERRED if its money is on the books, or EXECUTING to
    /// ANSWERED ([`ClaimState::with_answer`]), with the answer that the payment buys and the
    /// payment as it is asked to be settled, sealed, in one transaction. `false`: it moved without
    /// us, stop.
    ///
    /// # Errors
    /// [`LedgerError`]; [`LedgerError::Corrupt`] for a body in parts that are not all there.
    async fn keep_answer(
        &self,
        hold: &Hold,
        answer: &StoredAnswer,
        request: &PaymentRequest,
    ) -> Result<bool, LedgerError>;

    /// The kept answer of a claim. One whose body is in parts is kept only while all of them are.
    ///
    /// # Errors
    /// [`LedgerError`].
    async fn find_answer(&self, key: &PaymentKey) -> Result<Option<StoredAnswer>, LedgerError>;

    /// The payment that was kept, with the answer or before it.
    ///
    /// # Errors
    /// [`LedgerError`].
    async fn find_request(&self, key: &PaymentKey) -> Result<Option<PaymentRequest>, LedgerError>;

    /// Forgets what was kept for at most `limit` claims that are GRANTED, RELEASED or NOT_CHARGED
    /// and whose authorization ended more than `older_than_ms` ago; and at most `limit` parts of
    /// bodies that nobody can get any more, those of RELEASED claims at once. Returns how many
    /// rows were forgotten: with fewer than `limit` all are.
    ///
    /// # Errors
    /// [`LedgerError`].
    async fn forget_answers(&self, older_than_ms: u64, limit: u32) -> Result<u64, LedgerError>;

    /// SETTLED, ANSWERED or DEFERRED to GRANTED, once for ever (U2), on disk before it returns.
    /// What was deferred becomes due with it. `false`: no grant, send nothing.
    ///
    /// # Errors
    /// [`LedgerError`]: send nothing.
    async fn grant(&self, hold: &Hold, grant_id: Uuid) -> Result<bool, LedgerError>;

    /// VERIFIED to GRANTED of a claim that is on the books: what [`keep_answer`](Self::keep_answer)
    /// and [`grant`](Self::grant) do, in one transaction. Its payment is kept since the claim.
    /// `false`: no grant and nothing kept, send nothing.
    ///
    /// # Errors
    /// [`LedgerError`]: send nothing; it may be kept and granted. [`LedgerError::Corrupt`] for a
    /// body in parts that are not all there.
    async fn grant_deferred(
        &self,
        hold: &Hold,
        answer: &StoredAnswer,
        grant_id: Uuid,
    ) -> Result<bool, LedgerError>;

    /// Claims in one of `states` that nobody holds, oldest first.
    ///
    /// # Errors
    /// [`LedgerError`].
    async fn unheld_claims(
        &self,
        states: &[ClaimState],
        limit: u32,
    ) -> Result<Vec<Claim>, LedgerError>;

    /// The moves of one payment, claims and settlements, oldest first.
    ///
    /// # Errors
    /// [`LedgerError`].
    async fn journal(&self, key: &PaymentKey) -> Result<Vec<JournalEntry>, LedgerError>;

    /// Writes and reads nothing of value: is the ledger there?
    ///
    /// # Errors
    /// [`LedgerError`].
    async fn ping(&self) -> Result<(), LedgerError>;

    /// This ledger's own id, made by its first migration.
    fn deployment(&self) -> Uuid;
}
