//! A ledger whose k-th call fails, before or after it took effect.

use std::sync::atomic::{AtomicU64, Ordering};

use async_trait::async_trait;
use faregate_ledger::{
    Attempt, EvidenceRow, Hint, LaneRows, Lease, LedgerError, NewSettlement, PayToOwner,
    PayeeStore, Proven, Reserved, Settlement, SettlementState, SettlementStore, SlotRow,
    SqliteLedger,
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
impl PayeeStore for FailingStore {
    async fn enrol(
        &self,
        network: &str,
        pay_to: &str,
        deployment: Uuid,
    ) -> Result<Uuid, LedgerError> {
        self.call(self.inner.enrol(network, pay_to, deployment)).await
    }

    async fn release_payee(&self, network: &str, pay_to: &str) -> Result<bool, LedgerError> {
        self.call(self.inner.release_payee(network, pay_to)).await
    }

    async fn payees(&self) -> Result<Vec<PayToOwner>, LedgerError> {
        self.call(self.inner.payees()).await
    }
}

#[async_trait]
impl SettlementStore for FailingStore {
    // Reads that workers repeat for ever are not counted: they would hide the interesting calls.
    async fn lease(
        &self,
        name: &str,
        owner: Uuid,
        ttl_ms: u64,
    ) -> Result<Option<Lease>, LedgerError> {
        self.inner.lease(name, owner, ttl_ms).await
    }

    async fn give_up(&self, lease: &Lease) -> Result<(), LedgerError> {
        self.inner.give_up(lease).await
    }

    async fn wanted(
        &self,
        network: &str,
        ends_after: u64,
        limit: u32,
    ) -> Result<Vec<Settlement>, LedgerError> {
        self.inner.wanted(network, ends_after, limit).await
    }

    async fn due(
        &self,
        network: &str,
        quiet_ms: u64,
        limit: u32,
    ) -> Result<Vec<Settlement>, LedgerError> {
        self.inner.due(network, quiet_ms, limit).await
    }

    async fn carried_by(
        &self,
        network: &str,
        transactions: &[String],
        limit: u32,
    ) -> Result<Vec<Settlement>, LedgerError> {
        self.inner.carried_by(network, transactions, limit).await
    }

    async fn in_flight(&self, network: &str) -> Result<u64, LedgerError> {
        self.inner.in_flight(network).await
    }

    async fn looked(
        &self,
        lease: &Lease,
        keys: &[PaymentKey],
        next_in_ms: u64,
    ) -> Result<(), LedgerError> {
        self.inner.looked(lease, keys, next_in_ms).await
    }

    async fn unresolved(&self, network: &str) -> Result<u64, LedgerError> {
        self.inner.unresolved(network).await
    }

    async fn lane(&self, network: &str, signer: &str) -> Result<LaneRows, LedgerError> {
        self.inner.lane(network, signer).await
    }

    fn hints(&self) -> tokio::sync::broadcast::Receiver<Hint> {
        self.inner.hints()
    }

    async fn reserve(&self, new: &NewSettlement, wait_ms: u64) -> Result<Reserved, LedgerError> {
        self.call(self.inner.reserve(new, wait_ms)).await
    }

    async fn want(&self, key: &PaymentKey, wait_ms: u64) -> Result<(), LedgerError> {
        self.call(self.inner.want(key, wait_ms)).await
    }

    async fn find_settlement(&self, key: &PaymentKey) -> Result<Option<Settlement>, LedgerError> {
        self.call(self.inner.find_settlement(key)).await
    }

    async fn allocate_slot(
        &self,
        lease: &Lease,
        network: &str,
        signer: &str,
        floor_nonce: u64,
        keys: &[PaymentKey],
    ) -> Result<Option<SlotRow>, LedgerError> {
        self.call(self.inner.allocate_slot(lease, network, signer, floor_nonce, keys)).await
    }

    async fn record_attempt(
        &self,
        lease: &Lease,
        slot: &SlotRow,
        attempt: &Attempt,
    ) -> Result<bool, LedgerError> {
        self.call(self.inner.record_attempt(lease, slot, attempt)).await
    }

    async fn keep_members(
        &self,
        lease: &Lease,
        slot: &SlotRow,
        keep: &[PaymentKey],
    ) -> Result<bool, LedgerError> {
        self.call(self.inner.keep_members(lease, slot, keep)).await
    }

    async fn acknowledge(&self, lease: &Lease, slot: &SlotRow) -> Result<(), LedgerError> {
        self.call(self.inner.acknowledge(lease, slot)).await
    }

    async fn close_slots(
        &self,
        lease: &Lease,
        network: &str,
        signer: &str,
        nonces: &[u64],
    ) -> Result<(), LedgerError> {
        self.call(self.inner.close_slots(lease, network, signer, nonces)).await
    }

    async fn reopen_slots(
        &self,
        lease: &Lease,
        network: &str,
        signer: &str,
        from: u64,
        to: u64,
    ) -> Result<u64, LedgerError> {
        self.call(self.inner.reopen_slots(lease, network, signer, from, to)).await
    }

    async fn move_settlement(
        &self,
        lease: &Lease,
        key: &PaymentKey,
        from: SettlementState,
        to: SettlementState,
        evidence: Value,
    ) -> Result<bool, LedgerError> {
        self.call(self.inner.move_settlement(lease, key, from, to, evidence)).await
    }

    async fn record_mined(
        &self,
        lease: &Lease,
        key: &PaymentKey,
        from: SettlementState,
        evidence: &EvidenceRow,
    ) -> Result<bool, LedgerError> {
        self.call(self.inner.record_mined(lease, key, from, evidence)).await
    }

    async fn record_all_mined(
        &self,
        lease: &Lease,
        proofs: &[Proven],
    ) -> Result<Vec<PaymentKey>, LedgerError> {
        self.call(self.inner.record_all_mined(lease, proofs)).await
    }

    async fn record_all_final(
        &self,
        lease: &Lease,
        keys: &[PaymentKey],
        finalized: u64,
    ) -> Result<Vec<PaymentKey>, LedgerError> {
        self.call(self.inner.record_all_final(lease, keys, finalized)).await
    }

    async fn undo_mined(&self, lease: &Lease, key: &PaymentKey) -> Result<bool, LedgerError> {
        self.call(self.inner.undo_mined(lease, key)).await
    }

    async fn retry_quarantined(&self, key: &PaymentKey) -> Result<bool, LedgerError> {
        self.call(self.inner.retry_quarantined(key)).await
    }

    async fn count_try(&self, key: &PaymentKey) -> Result<i64, LedgerError> {
        self.call(self.inner.count_try(key)).await
    }

    async fn report_success(&self, key: &PaymentKey, caller: Uuid) -> Result<bool, LedgerError> {
        self.call(self.inner.report_success(key, caller)).await
    }
}
