//! One worker with what the suites of settlements need at every step.

use faregate_ledger::{
    Attempt, EvidenceRow, Lease, LedgerError, Reserved, SettlementState, SlotRow,
};
use faregate_protocol::PaymentKey;
use serde_json::json;
use uuid::Uuid;

use crate::samples::new_settlement;
use crate::stores::Store;

pub(crate) const NETWORK: &str = "eip155:84532";
pub(crate) const SIGNER: &str = "0xsigner";
pub(crate) const WAIT_MS: u64 = 60_000;

pub(crate) fn attempt(n: u8) -> Attempt {
    Attempt { transaction: format!("0x{n:02x}"), raw: vec![n], max_fee_wei: u128::MAX, tip_wei: 1 }
}

pub(crate) fn proof(n: u8, log_index: u64) -> EvidenceRow {
    EvidenceRow {
        transaction: format!("0x{n:02x}"),
        log_index,
        block_number: 9,
        block_hash: "0xb".into(),
        gas_used: 60_000,
    }
}

/// One worker with a lease on everything.
pub(crate) struct Bench<S> {
    pub(crate) ledger: S,
    pub(crate) lease: Lease,
}

impl<S: Store> Bench<S> {
    pub(crate) async fn new(ledger: S) -> Self {
        let lease = ledger.lease("all", Uuid::new_v4(), WAIT_MS).await.unwrap().unwrap();
        Self { ledger, lease }
    }

    pub(crate) async fn reserved(&self, n: u8) -> PaymentKey {
        let new = new_settlement(n);
        assert!(matches!(self.ledger.reserve(&new, WAIT_MS).await.unwrap(), Reserved::New(_)));
        new.key
    }

    pub(crate) async fn slot(&self, floor: u64, key: &PaymentKey) -> Option<SlotRow> {
        self.ledger.allocate_slot(&self.lease, NETWORK, SIGNER, floor, &[*key]).await.unwrap()
    }

    pub(crate) async fn sign(&self, slot: &SlotRow, n: u8) -> bool {
        self.ledger.record_attempt(&self.lease, slot, &attempt(n)).await.unwrap()
    }

    pub(crate) async fn signed(&self, n: u8) -> PaymentKey {
        let key = self.reserved(n).await;
        let slot = self.slot(5, &key).await.unwrap();
        assert!(self.sign(&slot, n).await);
        key
    }

    pub(crate) async fn mined(
        &self,
        key: &PaymentKey,
        from: SettlementState,
        proof: &EvidenceRow,
    ) -> bool {
        self.ledger.record_mined(&self.lease, key, from, proof).await.unwrap()
    }

    pub(crate) async fn go(
        &self,
        key: &PaymentKey,
        from: SettlementState,
        to: SettlementState,
    ) -> Result<bool, LedgerError> {
        self.ledger.move_settlement(&self.lease, key, from, to, json!({})).await
    }

    pub(crate) async fn state(&self, key: &PaymentKey) -> SettlementState {
        self.ledger.find_settlement(key).await.unwrap().unwrap().state
    }

    pub(crate) async fn open(&self) -> Vec<SlotRow> {
        self.ledger.lane(NETWORK, SIGNER).await.unwrap().open
    }

    pub(crate) async fn close(&self, nonces: &[u64]) {
        self.ledger.close_slots(&self.lease, NETWORK, SIGNER, nonces).await.unwrap();
    }

    pub(crate) async fn due(&self, quiet_ms: u64) -> Vec<PaymentKey> {
        let due = self.ledger.due(NETWORK, quiet_ms, 10).await.unwrap();
        due.into_iter().map(|stored| stored.new.key).collect()
    }
}
