//! The port itself.

use async_trait::async_trait;
use faregate_protocol::{Network, PaymentRequest, Reason, SupportedKind};

use crate::{Authorization, BlockSeen, ChainError, Heights, InBlock, Observation, Watch};

/// The verdict of *inspect*.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Inspection {
    /// The payment would settle on the state of block `head`.
    Valid {
        /// Who pays, in the chain's usual spelling.
        payer: String,
        /// The block its state was read at: the authorization was unused then.
        head: u64,
    },
    /// It would not.
    Invalid {
        /// Why.
        reason: Reason,
        /// Who pays, when it could be read.
        payer: Option<String>,
    },
}

/// What a transaction is for. It never changes for a slot, whatever the fees do.
#[derive(Clone, Copy, Debug)]
pub enum Intent<'a> {
    /// Move one payment.
    Transfer(&'a PaymentRequest),
    /// Move several payments, none of which depends on another. Each has a [`Chain::share`].
    Batch(&'a [&'a PaymentRequest]),
    /// Use the nonce up and do nothing, because the payment it was meant for is dead.
    NoOp,
}

/// What one transaction has room for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BatchRoom {
    /// Most payments.
    pub members: usize,
    /// Most that their shares may sum up to, in gas or the chain's like.
    pub gas: u64,
}

/// A place in a lane.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Slot {
    /// Signer, in the chain's usual spelling.
    pub signer: String,
    /// Transaction nonce.
    pub nonce: u64,
}

/// Fees of a transaction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fees {
    /// Most it pays for one unit of gas, in wei.
    pub max_fee_wei: u128,
    /// Tip for one unit of gas, in wei.
    pub tip_wei: u128,
}

/// Signed bytes that have not left the process. They hold a bearer authorization, so `Debug`
/// leaves them out.
#[derive(Clone, PartialEq, Eq)]
pub struct Prepared {
    /// The transaction's hash, known before it is sent.
    pub transaction: String,
    /// The signed bytes.
    pub raw: Vec<u8>,
    /// Most it may pay for one unit of gas, in wei.
    pub max_fee_wei: u128,
    /// Tip for one unit of gas, in wei.
    pub tip_wei: u128,
    /// Most gas it may use.
    pub gas_limit: u64,
}

impl std::fmt::Debug for Prepared {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Prepared").field("transaction", &self.transaction).finish_non_exhaustive()
    }
}

/// What an endpoint said to signed bytes. Only [`Broadcast::Accepted`] and
/// [`Broadcast::AlreadyKnown`] promise anything, and nothing says that the payment failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Broadcast {
    /// Taken into the pool.
    Accepted,
    /// It was there already: as good as accepted.
    AlreadyKnown,
    /// The nonce was used: go and look which transaction used it.
    NonceTooLow,
    /// The fee is too low, for the pool or to replace another transaction.
    Underpriced,
    /// The signer cannot pay for the gas.
    InsufficientFunds,
    /// Refused for another reason.
    Rejected,
    /// No answer: it may or may not be on its way.
    Unknown,
}

/// What the chain knows of a signer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LaneState {
    /// Number of its mined transactions, which is the next nonce to be mined.
    pub mined_nonce: u64,
    /// The same with its pool transactions.
    pub pending_nonce: u64,
    /// Balance for gas, in wei.
    pub balance_wei: u128,
}

/// When a payment that nobody waits for is sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SendTime {
    /// At once.
    Now,
    /// Not before this unix second; then the question is to be asked again.
    NotBefore(u64),
}

/// One chain. Implementations keep no payment state: what must be remembered is the ledger's.
#[async_trait]
pub trait Chain: Send + Sync {
    /// Its CAIP-2 id.
    fn network(&self) -> &Network;

    /// What it can verify and settle now.
    fn supported(&self) -> Vec<SupportedKind>;

    /// Its signers, in the chain's usual spelling; one lane each.
    fn signers(&self) -> Vec<String>;

    /// Decodes a payment without I/O and without believing it.
    ///
    /// # Errors
    /// The reason why it cannot be a payment here.
    fn read(&self, request: &PaymentRequest) -> Result<Authorization, Reason>;

    /// What a transaction for several payments has room for. `None`: every payment goes alone.
    fn batch_room(&self) -> Option<BatchRoom>;

    /// What this payment adds to a transaction that it shares, in gas or the chain's like. `None`:
    /// it goes alone. Decided without I/O.
    fn share(&self, request: &PaymentRequest) -> Option<u64>;

    /// *Inspect*: would this payment settle now? Static checks and the signature first, then at
    /// most one round trip for a payer without code.
    ///
    /// `now_unix` is the caller's clock in seconds.
    ///
    /// # Errors
    /// [`ChainError`] when the chain gave no answer; that is no verdict.
    async fn inspect(
        &self,
        request: &PaymentRequest,
        now_unix: u64,
    ) -> Result<Inspection, ChainError>;

    /// *Inspect* before money moves: from the chain alone. What was remembered of this payment, or
    /// told by another process, is no part of the verdict. By default nothing is remembered.
    ///
    /// # Errors
    /// As [`Chain::inspect`].
    async fn inspect_afresh(
        &self,
        request: &PaymentRequest,
        now_unix: u64,
    ) -> Result<Inspection, ChainError> {
        self.inspect(request, now_unix).await
    }

    /// *Prepare*: signs a transaction for a slot. Nothing leaves the process but fee questions.
    /// With `replaces`, its fees are high enough to replace a transaction of the same slot that
    /// pays those.
    ///
    /// # Errors
    /// [`ChainError`]; [`ChainError::FeeCeiling`] when the fees would have to be above the
    /// configured ceiling.
    async fn prepare(
        &self,
        intent: Intent<'_>,
        slot: &Slot,
        replaces: Option<Fees>,
    ) -> Result<Prepared, ChainError>;

    /// *Broadcast*: sends bytes that the ledger has recorded.
    async fn broadcast(&self, raw: &[u8]) -> Broadcast;

    /// *Observe*: looks for proof.
    ///
    /// # Errors
    /// [`ChainError`] when the chain gave no answer; that proves nothing.
    async fn observe(&self, watch: Watch<'_>) -> Result<Observation, ChainError>;

    /// The newest blocks after the one with number `after`, lowest first; without a number the
    /// newest one. One cheap question when there is none. A long absence leaves a gap below them.
    ///
    /// They are hints where to look: by default there are none.
    ///
    /// # Errors
    /// [`ChainError`].
    async fn blocks(&self, after: Option<u64>) -> Result<Vec<BlockSeen>, ChainError> {
        let _ = after;
        Ok(Vec::new())
    }

    /// Which blocks stand at these heights now, in one question for all. They prove no payment;
    /// they tell which proofs need a look. By default the chain does not say.
    ///
    /// # Errors
    /// [`ChainError`].
    async fn heights(&self, numbers: &[u64]) -> Result<Option<Heights>, ChainError> {
        let _ = numbers;
        Ok(None)
    }

    /// *Observe* for many payments whose transactions stand in `block`, in as few questions as
    /// their number allows. What the block proves comes in the order of `watches`; for the rest,
    /// which are all by default, there is `None`: each is to be observed for itself.
    ///
    /// # Errors
    /// [`ChainError`] when the chain gave no answer; that proves nothing.
    async fn observe_in(
        &self,
        block: InBlock<'_>,
        watches: &[Watch<'_>],
    ) -> Result<Vec<Option<Observation>>, ChainError> {
        let _ = block;
        Ok(vec![None; watches.len()])
    }

    /// When to send a payment that nobody waits for and that ends at `valid_before`: both are unix
    /// seconds. By default at once. It never leaves too little time to settle.
    async fn send_time(&self, now_unix: u64, valid_before: u64) -> SendTime {
        let _ = (now_unix, valid_before);
        SendTime::Now
    }

    /// What the chain knows of a signer.
    ///
    /// # Errors
    /// [`ChainError`].
    async fn lane_state(&self, signer: &str) -> Result<LaneState, ChainError>;

    /// Whether the chain answers and can take new work; the error says why not.
    ///
    /// # Errors
    /// [`ChainError`].
    async fn ready(&self) -> Result<(), ChainError>;
}
