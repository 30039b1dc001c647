//! One process's view of the ledger: calls fail, take long, are frozen; what is stored is audited.

use std::sync::Arc;

use async_trait::async_trait;
use faregate_ledger::{
    Attempt, EvidenceRow, Hint, LaneRows, Lease, LedgerError, MemoryLedger, NewSettlement,
    PayToOwner, PayeeStore, Proven, Reserved, Settlement, SettlementState, SettlementStore,
    SlotRow,
};
use faregate_protocol::PaymentKey;
use serde_json::Value;
use tokio::sync::broadcast;
use uuid::Uuid;

use crate::audit::{Audit, Rule};
use crate::control::{Control, Fate};
use crate::sabotage::Sabotage;

type Answer<T> = Result<T, LedgerError>;

pub(crate) struct ProcessStore {
    pub(crate) ledger: MemoryLedger,
    pub(crate) control: Arc<Control>,
    pub(crate) audit: Audit,
    pub(crate) sabotage: Sabotage,
    /// Hints that reach nobody, for a process that hears none.
    pub(crate) deaf: Option<broadcast::Sender<Hint>>,
}

fn lost<T>() -> Answer<T> {
    Err(LedgerError::Unavailable { detail: "injected".to_owned() })
}

impl ProcessStore {
    async fn enter(&self) -> Answer<Fate> {
        self.control.border().await;
        match self.control.fate() {
            Fate::LostBefore => lost(),
            fate => Ok(fate),
        }
    }

    async fn leave<T>(&self, call: &'static str, fate: Fate, done: Answer<T>) -> Answer<T> {
        if matches!(done, Err(LedgerError::LeaseLost { .. })) {
            self.audit.note("zombie refused", self.control.name, 0);
        }
        let how = u64::from(done.is_ok()) + 2 * u64::from(fate == Fate::LostAfter);
        self.audit.note(call, self.control.name, how);
        self.control.border().await;
        if fate == Fate::LostAfter { lost() } else { done }
    }

    /// The same for a write that only the holder of `lease` may make.
    async fn wrote<T>(
        &self,
        call: &'static str,
        lease: &Lease,
        fate: Fate,
        done: Answer<T>,
    ) -> Answer<T> {
        if done.is_ok() {
            let holder = self.audit.holder(&lease.name);
            self.audit.check(holder.as_ref() == Some(lease), Rule::ZombieWritesNothing, || {
                format!("{call} with token {} of {}", lease.token, lease.name)
            });
        }
        self.leave(call, fate, done).await
    }

    fn token_for(&self, lease: &Lease) -> Lease {
        let ignored = self.sabotage == Sabotage::IgnoresTokens;
        let holder = self.audit.holder(&lease.name).filter(|_| ignored);
        holder.unwrap_or_else(|| lease.clone())
    }

    /// Reads the bytes back from the ledger itself.
    async fn confirm(&self, slot: &SlotRow, attempt: &Attempt) -> Answer<()> {
        let rows = self.ledger.lane(&slot.network, &slot.signer).await?;
        let stored = rows.open.iter().flat_map(|open| &open.attempts).any(|have| have == attempt);
        if stored {
            self.audit.recorded(attempt.raw.clone());
        }
        Ok(())
    }
}

#[async_trait]
impl PayeeStore for ProcessStore {
    async fn enrol(&self, network: &str, pay_to: &str, deployment: Uuid) -> Answer<Uuid> {
        let fate = self.enter().await?;
        let done = self.ledger.enrol(network, pay_to, deployment).await;
        self.leave("enrol", fate, done).await
    }

    async fn release_payee(&self, network: &str, pay_to: &str) -> Answer<bool> {
        let fate = self.enter().await?;
        let done = self.ledger.release_payee(network, pay_to).await;
        self.leave("release", fate, done).await
    }

    async fn payees(&self) -> Answer<Vec<PayToOwner>> {
        let fate = self.enter().await?;
        let done = self.ledger.payees().await;
        self.leave("payees", fate, done).await
    }
}

#[async_trait]
impl SettlementStore for ProcessStore {
    async fn lease(&self, name: &str, owner: Uuid, ttl_ms: u64) -> Answer<Option<Lease>> {
        let fate = self.enter().await?;
        let done = self.ledger.lease(name, owner, ttl_ms).await;
        if let Ok(Some(lease)) = &done {
            self.audit.leased(lease);
        }
        self.leave("lease", fate, done).await
    }

    async fn give_up(&self, lease: &Lease) -> Answer<()> {
        let fate = self.enter().await?;
        let done = self.ledger.give_up(lease).await;
        self.leave("give_up", fate, done).await
    }

    async fn reserve(&self, new: &NewSettlement, wait_ms: u64) -> Answer<Reserved> {
        let fate = self.enter().await?;
        if self.sabotage == Sabotage::ForgetsReservations {
            return lost();
        }
        let done = self.ledger.reserve(new, wait_ms).await;
        self.leave("reserve", fate, done).await
    }

    async fn want(&self, key: &PaymentKey, wait_ms: u64) -> Answer<()> {
        let fate = self.enter().await?;
        let done = self.ledger.want(key, wait_ms).await;
        self.leave("want", fate, done).await
    }

    async fn find_settlement(&self, key: &PaymentKey) -> Answer<Option<Settlement>> {
        let fate = self.enter().await?;
        let done = self.ledger.find_settlement(key).await;
        self.leave("find", fate, done).await
    }

    async fn wanted(&self, network: &str, ends_after: u64, limit: u32) -> Answer<Vec<Settlement>> {
        let fate = self.enter().await?;
        let done = self.ledger.wanted(network, ends_after, limit).await;
        self.leave("wanted", fate, done).await
    }

    async fn due(&self, network: &str, quiet_ms: u64, limit: u32) -> Answer<Vec<Settlement>> {
        let fate = self.enter().await?;
        let done = self.ledger.due(network, quiet_ms, limit).await;
        self.leave("due", fate, done).await
    }

    async fn carried_by(
        &self,
        network: &str,
        transactions: &[String],
        limit: u32,
    ) -> Answer<Vec<Settlement>> {
        let fate = self.enter().await?;
        let done = self.ledger.carried_by(network, transactions, limit).await;
        self.leave("carried", fate, done).await
    }

    async fn in_flight(&self, network: &str) -> Answer<u64> {
        let fate = self.enter().await?;
        let done = self.ledger.in_flight(network).await;
        self.leave("in_flight", fate, done).await
    }

    async fn record_all_mined(&self, lease: &Lease, proofs: &[Proven]) -> Answer<Vec<PaymentKey>> {
        let fate = self.enter().await?;
        let done = self.ledger.record_all_mined(&self.token_for(lease), proofs).await;
        self.wrote("all mined", lease, fate, done).await
    }

    async fn record_all_final(
        &self,
        lease: &Lease,
        keys: &[PaymentKey],
        finalized: u64,
    ) -> Answer<Vec<PaymentKey>> {
        let fate = self.enter().await?;
        let done = self.ledger.record_all_final(&self.token_for(lease), keys, finalized).await;
        for key in done.iter().flatten() {
            self.audit.note("FINAL", self.control.name, u64::from(key.0[0]));
        }
        self.wrote("all final", lease, fate, done).await
    }

    async fn looked(&self, lease: &Lease, keys: &[PaymentKey], next_in_ms: u64) -> Answer<()> {
        let fate = self.enter().await?;
        let done = self.ledger.looked(&self.token_for(lease), keys, next_in_ms).await;
        self.wrote("looked", lease, fate, done).await
    }

    async fn unresolved(&self, network: &str) -> Answer<u64> {
        let fate = self.enter().await?;
        let done = self.ledger.unresolved(network).await;
        self.leave("unresolved", fate, done).await
    }

    async fn lane(&self, network: &str, signer: &str) -> Answer<LaneRows> {
        let fate = self.enter().await?;
        let mut done = self.ledger.lane(network, signer).await;
        if let (Sabotage::HidesOpenSlots, Ok(rows)) = (self.sabotage, &mut done) {
            rows.open.clear();
        }
        self.leave("lane", fate, done).await
    }

    async fn allocate_slot(
        &self,
        lease: &Lease,
        network: &str,
        signer: &str,
        floor_nonce: u64,
        keys: &[PaymentKey],
    ) -> Answer<Option<SlotRow>> {
        let fate = self.enter().await?;
        let held = self.token_for(lease);
        let done = self.ledger.allocate_slot(&held, network, signer, floor_nonce, keys).await;
        self.wrote("allocate", lease, fate, done).await
    }

    async fn record_attempt(
        &self,
        lease: &Lease,
        slot: &SlotRow,
        attempt: &Attempt,
    ) -> Answer<bool> {
        let fate = self.enter().await?;
        if self.sabotage == Sabotage::DropsBytes {
            return self.leave("record", fate, Ok(true)).await;
        }
        let done = self.ledger.record_attempt(&self.token_for(lease), slot, attempt).await;
        if let Ok(true) = done {
            self.confirm(slot, attempt).await?;
        }
        self.wrote("record", lease, fate, done).await
    }

    async fn keep_members(
        &self,
        lease: &Lease,
        slot: &SlotRow,
        keep: &[PaymentKey],
    ) -> Answer<bool> {
        let fate = self.enter().await?;
        let done = self.ledger.keep_members(&self.token_for(lease), slot, keep).await;
        if let Ok(true) = done {
            self.audit.note("keep", self.control.name, keep.len() as u64);
        }
        self.wrote("keep", lease, fate, done).await
    }

    async fn acknowledge(&self, lease: &Lease, slot: &SlotRow) -> Answer<()> {
        let fate = self.enter().await?;
        let done = self.ledger.acknowledge(&self.token_for(lease), slot).await;
        if done.is_ok() {
            self.audit.note("acknowledge", self.control.name, slot.nonce);
        }
        self.wrote("acknowledge", lease, fate, done).await
    }

    async fn close_slots(
        &self,
        lease: &Lease,
        network: &str,
        signer: &str,
        nonces: &[u64],
    ) -> Answer<()> {
        let fate = self.enter().await?;
        let held = self.token_for(lease);
        let done = self.ledger.close_slots(&held, network, signer, nonces).await;
        self.wrote("close", lease, fate, done).await
    }

    async fn reopen_slots(
        &self,
        lease: &Lease,
        network: &str,
        signer: &str,
        from: u64,
        to: u64,
    ) -> Answer<u64> {
        let fate = self.enter().await?;
        let held = self.token_for(lease);
        let done = self.ledger.reopen_slots(&held, network, signer, from, to).await;
        if let Ok(1..) = done {
            self.audit.note("nonces reopened", self.control.name, from);
        }
        self.wrote("reopen", lease, fate, done).await
    }

    async fn move_settlement(
        &self,
        lease: &Lease,
        key: &PaymentKey,
        from: SettlementState,
        to: SettlementState,
        evidence: Value,
    ) -> Answer<bool> {
        let fate = self.enter().await?;
        let held = self.token_for(lease);
        let done = self.ledger.move_settlement(&held, key, from, to, evidence).await;
        if let Ok(true) = done {
            self.audit.note(to.name(), self.control.name, u64::from(key.0[0]));
        }
        self.wrote("move", lease, fate, done).await
    }

    async fn record_mined(
        &self,
        lease: &Lease,
        key: &PaymentKey,
        from: SettlementState,
        evidence: &EvidenceRow,
    ) -> Answer<bool> {
        let fate = self.enter().await?;
        let done = self.ledger.record_mined(&self.token_for(lease), key, from, evidence).await;
        self.wrote("mined", lease, fate, done).await
    }

    async fn undo_mined(&self, lease: &Lease, key: &PaymentKey) -> Answer<bool> {
        let fate = self.enter().await?;
        let done = self.ledger.undo_mined(&self.token_for(lease), key).await;
        self.wrote("undo", lease, fate, done).await
    }

    async fn retry_quarantined(&self, key: &PaymentKey) -> Answer<bool> {
        let fate = self.enter().await?;
        let done = self.ledger.retry_quarantined(key).await;
        self.leave("retry", fate, done).await
    }

    async fn count_try(&self, key: &PaymentKey) -> Answer<i64> {
        let fate = self.enter().await?;
        let done = self.ledger.count_try(key).await;
        self.leave("try", fate, done).await
    }

    async fn report_success(&self, key: &PaymentKey, caller: Uuid) -> Answer<bool> {
        let fate = self.enter().await?;
        let mut done = self.ledger.report_success(key, caller).await;
        if self.sabotage == Sabotage::ReportsEverySuccess {
            done = done.map(|_| true);
        }
        self.leave("report", fate, done).await
    }

    fn hints(&self) -> broadcast::Receiver<Hint> {
        self.deaf.as_ref().map_or_else(|| self.ledger.hints(), broadcast::Sender::subscribe)
    }
}
