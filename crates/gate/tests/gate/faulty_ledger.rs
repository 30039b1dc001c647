//! A store that fails or waits at its n-th call: before it did anything, or after it has.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use async_trait::async_trait;
use faregate_ledger::{
    BodyParts, Claim, ClaimMove, ClaimState, ClaimStore, Claimed, Debt, DebtFilter, DebtRecords,
    DeferredClaim, DeferredStore, Due, DueHold, ExposureLimits, Hold, JournalEntry, LedgerError,
    NewClaim, OpenDebts, PartStore, QueueFigures, StoredAnswer, Tried,
};
use faregate_protocol::{PaymentKey, PaymentRequest};
use tokio::sync::watch;
use uuid::Uuid;

/// When it happens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum When {
    /// Nothing was stored.
    Before,
    /// It was stored, and the caller does not learn it yet, or ever.
    After,
}

enum Fault {
    /// From this call on that many fail.
    Fail { from: usize, failing: usize },
    /// What is kept cannot be read.
    Blind,
    /// This call waits at the latch, before it does anything or after it has.
    Wait { at: usize, latch: Arc<Latch> },
}

pub(crate) struct FaultyLedger<S: ?Sized = dyn ClaimStore> {
    inner: Arc<S>,
    when: When,
    fault: Fault,
    calls: AtomicUsize,
}

/// Holds one call up until a test lets it go on.
pub(crate) struct Latch {
    reached: watch::Sender<bool>,
    open: watch::Sender<bool>,
}

impl Latch {
    pub(crate) fn closed() -> Arc<Self> {
        Arc::new(Self { reached: watch::Sender::new(false), open: watch::Sender::new(false) })
    }

    /// Until a call has come to the latch.
    pub(crate) async fn reached(&self) {
        self.reached.subscribe().wait_for(|reached| *reached).await.unwrap();
    }

    pub(crate) fn open(&self) {
        self.open.send_replace(true);
    }

    async fn pass(&self) {
        self.reached.send_replace(true);
        self.open.subscribe().wait_for(|open| *open).await.unwrap();
    }
}

impl<S: ClaimStore + ?Sized> FaultyLedger<S> {
    pub(crate) fn new(inner: Arc<S>, when: When, from: usize, failing: usize) -> Self {
        Self::with(inner, when, Fault::Fail { from, failing })
    }

    pub(crate) fn blind(inner: Arc<S>) -> Self {
        Self::with(inner, When::Before, Fault::Blind)
    }

    pub(crate) fn waiting(inner: Arc<S>, when: When, at: usize, latch: &Arc<Latch>) -> Self {
        Self::with(inner, when, Fault::Wait { at, latch: Arc::clone(latch) })
    }

    fn with(inner: Arc<S>, when: When, fault: Fault) -> Self {
        Self { inner, when, fault, calls: AtomicUsize::new(0) }
    }

    pub(crate) fn calls(&self) -> usize {
        self.calls.load(Ordering::SeqCst)
    }

    async fn call<T>(
        &self,
        work: impl Future<Output = Result<T, LedgerError>> + Send,
    ) -> Result<T, LedgerError> {
        let call = self.calls.fetch_add(1, Ordering::SeqCst);
        let (fails, waits) = match &self.fault {
            Fault::Fail { from, failing } => (call >= *from && call - from < *failing, None),
            Fault::Blind => (false, None),
            Fault::Wait { at, latch } => (false, Some(latch).filter(|_| call == *at)),
        };
        if self.when == When::Before {
            if let Some(latch) = waits {
                latch.pass().await;
            }
            return if fails { Err(scripted()) } else { work.await };
        }
        let done = work.await?;
        if let Some(latch) = waits {
            latch.pass().await;
        }
        if fails { Err(scripted()) } else { Ok(done) }
    }

    async fn read<T>(
        &self,
        work: impl Future<Output = Result<T, LedgerError>> + Send,
    ) -> Result<T, LedgerError> {
        if matches!(self.fault, Fault::Blind) {
            return Err(scripted());
        }
        self.call(work).await
    }
}

fn scripted() -> LedgerError {
    LedgerError::Unavailable { detail: "scripted".to_owned() }
}

#[async_trait]
impl<S: ClaimStore + ?Sized> ClaimStore for FaultyLedger<S> {
    async fn claim(&self, new: &NewClaim, lease_ms: u64) -> Result<Claimed, LedgerError> {
        self.call(self.inner.claim(new, lease_ms)).await
    }

    async fn find_claim(&self, key: &PaymentKey) -> Result<Option<Claim>, LedgerError> {
        self.call(self.inner.find_claim(key)).await
    }

    async fn take_over(
        &self,
        key: &PaymentKey,
        state: ClaimState,
        lease_ms: u64,
    ) -> Result<Option<Hold>, LedgerError> {
        self.call(self.inner.take_over(key, state, lease_ms)).await
    }

    async fn renew(&self, hold: &Hold, lease_ms: u64) -> Result<bool, LedgerError> {
        self.inner.renew(hold, lease_ms).await
    }

    async fn let_go(&self, hold: &Hold) -> Result<(), LedgerError> {
        self.call(self.inner.let_go(hold)).await
    }

    async fn move_claim(&self, hold: &Hold, step: ClaimMove) -> Result<bool, LedgerError> {
        self.call(self.inner.move_claim(hold, step)).await
    }

    async fn settle_first(
        &self,
        hold: &Hold,
        request: &PaymentRequest,
    ) -> Result<bool, LedgerError> {
        self.call(self.inner.settle_first(hold, request)).await
    }

    async fn start_handler(&self, hold: &Hold) -> Result<Option<bool>, LedgerError> {
        self.call(self.inner.start_handler(hold)).await
    }

    async fn keep_answer(
        &self,
        hold: &Hold,
        answer: &StoredAnswer,
        request: &PaymentRequest,
    ) -> Result<bool, LedgerError> {
        self.call(self.inner.keep_answer(hold, answer, request)).await
    }

    async fn find_answer(&self, key: &PaymentKey) -> Result<Option<StoredAnswer>, LedgerError> {
        self.read(self.inner.find_answer(key)).await
    }

    async fn find_request(&self, key: &PaymentKey) -> Result<Option<PaymentRequest>, LedgerError> {
        self.read(self.inner.find_request(key)).await
    }

    async fn forget_answers(&self, older_than_ms: u64, limit: u32) -> Result<u64, LedgerError> {
        self.inner.forget_answers(older_than_ms, limit).await
    }

    async fn grant(&self, hold: &Hold, grant_id: Uuid) -> Result<bool, LedgerError> {
        self.call(self.inner.grant(hold, grant_id)).await
    }

    async fn grant_deferred(
        &self,
        hold: &Hold,
        answer: &StoredAnswer,
        grant_id: Uuid,
    ) -> Result<bool, LedgerError> {
        self.call(self.inner.grant_deferred(hold, answer, grant_id)).await
    }

    async fn unheld_claims(
        &self,
        states: &[ClaimState],
        limit: u32,
    ) -> Result<Vec<Claim>, LedgerError> {
        self.inner.unheld_claims(states, limit).await
    }

    async fn journal(&self, key: &PaymentKey) -> Result<Vec<JournalEntry>, LedgerError> {
        self.inner.journal(key).await
    }

    async fn ping(&self) -> Result<(), LedgerError> {
        self.inner.ping().await
    }

    fn deployment(&self) -> Uuid {
        self.inner.deployment()
    }
}

#[async_trait]
impl<S: ClaimStore + ?Sized> PartStore for FaultyLedger<S> {
    async fn keep_part(
        &self,
        hold: &Hold,
        number: u32,
        part: Vec<u8>,
    ) -> Result<bool, LedgerError> {
        self.call(self.inner.keep_part(hold, number, part)).await
    }

    async fn find_part(
        &self,
        key: &PaymentKey,
        body: &BodyParts,
        number: u32,
    ) -> Result<Option<Vec<u8>>, LedgerError> {
        self.read(self.inner.find_part(key, body, number)).await
    }

    async fn forget_parts(&self, key: &PaymentKey) -> Result<(), LedgerError> {
        self.call(self.inner.forget_parts(key)).await
    }
}

#[async_trait]
impl<S: DeferredStore + ?Sized> DeferredStore for FaultyLedger<S> {
    async fn claim_deferred(
        &self,
        new: &NewClaim,
        lease_ms: u64,
        request: &PaymentRequest,
        limits: ExposureLimits,
    ) -> Result<DeferredClaim, LedgerError> {
        self.call(self.inner.claim_deferred(new, lease_ms, request, limits)).await
    }

    async fn take_due(
        &self,
        facilitator: &str,
        limit: u32,
        lease_ms: u64,
    ) -> Result<Vec<Due>, LedgerError> {
        // Short enough for a test to wait for, where the answer is lost.
        const LEASE_MS: u64 = 300;
        self.call(self.inner.take_due(facilitator, limit, lease_ms.min(LEASE_MS))).await
    }

    async fn record_try(&self, hold: &DueHold, tried: &Tried) -> Result<bool, LedgerError> {
        self.call(self.inner.record_try(hold, tried)).await
    }

    async fn expire_deferrals(&self, limit: u32) -> Result<u64, LedgerError> {
        self.inner.expire_deferrals(limit).await
    }

    async fn retry_deferral(&self, key: &PaymentKey) -> Result<bool, LedgerError> {
        self.inner.retry_deferral(key).await
    }

    async fn queue_figures(&self) -> Result<QueueFigures, LedgerError> {
        self.inner.queue_figures().await
    }
}

#[async_trait]
impl<S: DebtRecords + ?Sized> DebtRecords for FaultyLedger<S> {
    async fn list_debts(&self, filter: &DebtFilter, limit: u32) -> Result<Vec<Debt>, LedgerError> {
        self.inner.list_debts(filter, limit).await
    }

    async fn find_debt(&self, key: &PaymentKey) -> Result<Option<Debt>, LedgerError> {
        self.inner.find_debt(key).await
    }

    async fn close_debt(&self, key: &PaymentKey, note: &str) -> Result<bool, LedgerError> {
        self.inner.close_debt(key, note).await
    }

    async fn open_debts(&self) -> Result<Vec<OpenDebts>, LedgerError> {
        self.inner.open_debts().await
    }
}
