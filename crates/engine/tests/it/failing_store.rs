//! A ledger whose k-th call fails, before or after it took effect.

use std::sync::atomic::{AtomicU64, Ordering};

use async_trait::async_trait;
use faregate_ledger::{
    Attempt, EvidenceRow, LedgerError, NewSettlement, Reserved, Settlement, SettlementState,
    SettlementStore, SlotRow, SqliteLedger,
};
use faregate_protocol::PaymentKey;
use serde_json::Value;
use uuid::Uuid;

pub(crate) struct FailingStore {
    inner: SqliteLedger,
    /// The call that fails, from 1; 0 for none.
    fail_at: u64,
    /// The call takes effect and its answer gets lost.
    after: bool,
    calls: AtomicU64,
}

impl FailingStore {
    pub(crate) fn new(inner: SqliteLedger, fail_at: u64, after: bool) -> Self {
        Self { inner, fail_at, after, calls: AtomicU64::new(0) }
    }

    pub(crate) fn reached(&self) -> bool {
        self.calls.load(Ordering::SeqCst) >= self.fail_at
    }

    async fn call<T>(
        &self,
        work: impl Future<Output = Result<T, LedgerError>> + Send,
    ) -> Result<T, LedgerError> {
        let fails = self.calls.fetch_add(1, Ordering::SeqCst) + 1 == self.fail_at;
        let lost = || Err(LedgerError::Unavailable { detail: "injected".into() });
        if fails && !self.after {
            return lost();
        }
        let done = work.await;
        if fails { lost() } else { done }
    }
}

#[async_trait]
impl SettlementStore for FailingStore {
    async fn reserve(&self, new: &NewSettlement) -> Result<Reserved, LedgerError> {
        self.call(self.inner.reserve(new)).await
    }

    async fn find_settlement(&self, key: &PaymentKey) -> Result<Option<Settlement>, LedgerError> {
        self.call(self.inner.find_settlement(key)).await
    }

    async fn open_settlements(
        &self,
        network: &str,
        quiet_ms: u64,
        limit: u32,
    ) -> Result<Vec<Settlement>, LedgerError> {
        // Not counted: the sweep repeats it for ever, so it would hide the interesting calls.
        self.inner.open_settlements(network, quiet_ms, limit).await
    }

    async fn allocate_slot(
        &self,
        network: &str,
        signer: &str,
        floor_nonce: u64,
        key: &PaymentKey,
    ) -> Result<SlotRow, LedgerError> {
        self.call(self.inner.allocate_slot(network, signer, floor_nonce, key)).await
    }

    async fn record_attempt(&self, slot: &SlotRow, attempt: &Attempt) -> Result<(), LedgerError> {
        self.call(self.inner.record_attempt(slot, attempt)).await
    }

    async fn make_no_op(&self, slot: &SlotRow) -> Result<(), LedgerError> {
        self.call(self.inner.make_no_op(slot)).await
    }

    async fn open_slots(&self, network: &str, signer: &str) -> Result<Vec<SlotRow>, LedgerError> {
        self.inner.open_slots(network, signer).await
    }

    async fn close_slots_below(
        &self,
        network: &str,
        signer: &str,
        mined_nonce: u64,
    ) -> Result<u64, LedgerError> {
        self.call(self.inner.close_slots_below(network, signer, mined_nonce)).await
    }

    async fn move_settlement(
        &self,
        key: &PaymentKey,
        from: SettlementState,
        to: SettlementState,
        actor: &'static str,
        evidence: Value,
    ) -> Result<bool, LedgerError> {
        self.call(self.inner.move_settlement(key, from, to, actor, evidence)).await
    }

    async fn record_mined(
        &self,
        key: &PaymentKey,
        from: SettlementState,
        evidence: &EvidenceRow,
    ) -> Result<bool, LedgerError> {
        self.call(self.inner.record_mined(key, from, evidence)).await
    }

    async fn undo_mined(&self, key: &PaymentKey) -> Result<bool, LedgerError> {
        self.call(self.inner.undo_mined(key)).await
    }

    async fn count_try(&self, key: &PaymentKey) -> Result<i64, LedgerError> {
        self.call(self.inner.count_try(key)).await
    }

    async fn report_success(&self, key: &PaymentKey, caller: Uuid) -> Result<bool, LedgerError> {
        self.call(self.inner.report_success(key, caller)).await
    }
}
