//! The engine's side.

use faregate_ledger::{
    Attempt, ClaimStore, EvidenceRow, Lease, LedgerError, Reserved, SettlementState,
    SettlementStore, SlotKind, SlotRow, SqliteLedger,
};
use faregate_protocol::PaymentKey;
use serde_json::json;
use uuid::Uuid;

use crate::{new_settlement, store};

const NETWORK: &str = "eip155:84532";
const SIGNER: &str = "0xsigner";
const WAIT_MS: u64 = 60_000;

fn attempt(n: u8) -> Attempt {
    Attempt { transaction: format!("0x{n:02x}"), raw: vec![n], max_fee_wei: u128::MAX, tip_wei: 1 }
}

fn proof(n: u8, log_index: u64) -> EvidenceRow {
    EvidenceRow {
        transaction: format!("0x{n:02x}"),
        log_index,
        block_number: 9,
        block_hash: "0xb".into(),
        gas_used: 60_000,
    }
}

/// One worker with a lease on everything.
struct Bench {
    ledger: SqliteLedger,
    lease: Lease,
}

impl Bench {
    async fn new() -> Self {
        let ledger = store().await;
        let lease = ledger.lease("all", Uuid::new_v4(), WAIT_MS).await.unwrap().unwrap();
        Self { ledger, lease }
    }

    async fn reserved(&self, n: u8) -> PaymentKey {
        let new = new_settlement(n);
        assert!(matches!(self.ledger.reserve(&new, WAIT_MS).await.unwrap(), Reserved::New(_)));
        new.key
    }

    async fn slot(&self, floor: u64, key: &PaymentKey) -> Option<SlotRow> {
        self.ledger.allocate_slot(&self.lease, NETWORK, SIGNER, floor, key).await.unwrap()
    }

    async fn sign(&self, slot: &SlotRow, n: u8) -> bool {
        self.ledger.record_attempt(&self.lease, slot, &attempt(n)).await.unwrap()
    }

    async fn signed(&self, n: u8) -> PaymentKey {
        let key = self.reserved(n).await;
        let slot = self.slot(5, &key).await.unwrap();
        assert!(self.sign(&slot, n).await);
        key
    }

    async fn mined(&self, key: &PaymentKey, from: SettlementState, proof: &EvidenceRow) -> bool {
        self.ledger.record_mined(&self.lease, key, from, proof).await.unwrap()
    }

    async fn go(
        &self,
        key: &PaymentKey,
        from: SettlementState,
        to: SettlementState,
    ) -> Result<bool, LedgerError> {
        self.ledger.move_settlement(&self.lease, key, from, to, json!({})).await
    }

    async fn state(&self, key: &PaymentKey) -> SettlementState {
        self.ledger.find_settlement(key).await.unwrap().unwrap().state
    }

    async fn open(&self) -> Vec<SlotRow> {
        self.ledger.lane(NETWORK, SIGNER).await.unwrap().open
    }

    async fn close(&self, nonces: &[u64]) {
        self.ledger.close_slots(&self.lease, NETWORK, SIGNER, nonces).await.unwrap();
    }

    async fn due(&self, quiet_ms: u64) -> Vec<PaymentKey> {
        let due = self.ledger.due(NETWORK, quiet_ms, 10).await.unwrap();
        due.into_iter().map(|stored| stored.new.key).collect()
    }
}

#[tokio::test]
async fn u3_a_key_is_reserved_once_and_reads_back() {
    let ledger = store().await;
    let new = new_settlement(1);
    let Reserved::New(stored) = ledger.reserve(&new, WAIT_MS).await.unwrap() else {
        panic!("not new")
    };
    assert_eq!(stored.new, new);
    let mut other = new_settlement(1);
    other.requirements_hash = [9; 32];
    let Reserved::Exists(found) = ledger.reserve(&other, WAIT_MS).await.unwrap() else {
        panic!("twice")
    };
    assert_eq!(found.new, new, "the first reservation stays as it was");
}

#[tokio::test]
async fn u4_one_success_is_reported() {
    let bench = Bench::new().await;
    let key = bench.signed(1).await;
    let (one, two) = (Uuid::new_v4(), Uuid::new_v4());
    let ledger = &bench.ledger;
    assert!(!ledger.report_success(&key, one).await.unwrap(), "not paid yet");
    assert!(bench.mined(&key, SettlementState::Signed, &proof(1, 0)).await);
    assert!(ledger.report_success(&key, one).await.unwrap());
    assert!(!ledger.report_success(&key, two).await.unwrap());
    assert!(ledger.report_success(&key, one).await.unwrap(), "the same caller may ask again");
}

#[tokio::test]
async fn u5_of_two_owners_one_holds_the_lease_and_an_old_token_writes_nothing() {
    let ledger = store().await;
    let (one, two) = (Uuid::new_v4(), Uuid::new_v4());
    let first = ledger.lease("lane", one, WAIT_MS).await.unwrap().unwrap();
    assert_eq!(ledger.lease("lane", two, WAIT_MS).await.unwrap(), None);
    assert_eq!(ledger.lease("lane", one, WAIT_MS).await.unwrap(), Some(first.clone()), "renewed");
    ledger.give_up(&first).await.unwrap();
    let second = ledger.lease("lane", two, WAIT_MS).await.unwrap().unwrap();
    assert_eq!(second.token, first.token + 1);
    let key = Bench { ledger: ledger.clone(), lease: second.clone() }.reserved(1).await;
    let zombie = Bench { ledger: ledger.clone(), lease: first };
    let lost = |outcome: LedgerError| matches!(outcome, LedgerError::LeaseLost { .. });
    let ledger = &zombie.ledger;
    let lease = &zombie.lease;
    assert!(lost(ledger.allocate_slot(lease, NETWORK, SIGNER, 0, &key).await.unwrap_err()));
    let holder = Bench { ledger: ledger.clone(), lease: second };
    let slot = holder.slot(0, &key).await.unwrap();
    assert!(lost(ledger.record_attempt(lease, &slot, &attempt(1)).await.unwrap_err()));
    assert!(lost(ledger.make_no_op(lease, &slot).await.unwrap_err()));
    assert!(lost(ledger.close_slots(lease, NETWORK, SIGNER, &[0]).await.unwrap_err()));
    assert!(lost(ledger.reopen_slots(lease, NETWORK, SIGNER, 0, 1).await.unwrap_err()));
    assert!(lost(ledger.looked(lease, &key, 1).await.unwrap_err()));
    assert!(holder.sign(&slot, 1).await);
    let (from, to) = (SettlementState::Signed, SettlementState::Broadcast);
    assert!(lost(zombie.go(&key, from, to).await.unwrap_err()));
    assert!(lost(ledger.record_mined(lease, &key, from, &proof(1, 0)).await.unwrap_err()));
    assert_eq!(holder.state(&key).await, SettlementState::Signed);
}

#[tokio::test]
async fn u6_u7_nonces_are_dense_and_a_payment_lives_in_one_slot() {
    let bench = Bench::new().await;
    let (one, two) = (bench.reserved(1).await, bench.reserved(2).await);
    let first = bench.slot(5, &one).await.unwrap();
    assert_eq!(bench.slot(5, &one).await, None, "it lives in a slot");
    let second = bench.slot(0, &two).await.unwrap();
    assert_eq!((first.nonce, second.nonce), (5, 6));
    let elsewhere = bench.ledger.allocate_slot(&bench.lease, NETWORK, "0xother", 0, &two).await;
    assert_eq!(elsewhere.unwrap(), None, "alive in another lane");
    assert_eq!(bench.ledger.lane(NETWORK, SIGNER).await.unwrap().next_nonce, 7);
}

#[tokio::test]
async fn sixteen_racing_payments_get_sixteen_nonces() {
    let bench = std::sync::Arc::new(Bench::new().await);
    let mut racers = Vec::new();
    for n in 0..16 {
        let key = bench.reserved(n).await;
        let bench = bench.clone();
        racers.push(tokio::spawn(async move { bench.slot(3, &key).await.unwrap().nonce }));
    }
    let mut nonces = Vec::new();
    for racer in racers {
        nonces.push(racer.await.unwrap());
    }
    nonces.sort_unstable();
    assert_eq!(nonces, (3..19).collect::<Vec<u64>>());
}

#[tokio::test]
async fn signed_bytes_are_stored_with_the_move() {
    let bench = Bench::new().await;
    let key = bench.signed(1).await;
    let stored = bench.ledger.find_settlement(&key).await.unwrap().unwrap();
    assert_eq!(stored.state, SettlementState::Signed);
    assert_eq!(stored.transactions, ["0x01"]);
    assert!(stored.in_open_slot);
    let slots = bench.open().await;
    assert_eq!(slots.len(), 1);
    assert_eq!(slots[0].attempts, [attempt(1)]);
    assert_eq!((slots[0].key, slots[0].live), (Some(key), true));
}

#[tokio::test]
async fn a_replacement_keeps_the_slot_the_payment_and_both_transactions() {
    let bench = Bench::new().await;
    let key = bench.signed(1).await;
    let slot = bench.open().await.remove(0);
    assert!(bench.sign(&slot, 2).await);
    let stored = bench.ledger.find_settlement(&key).await.unwrap().unwrap();
    assert_eq!(stored.transactions, ["0x01", "0x02"]);
    assert_eq!(bench.open().await[0].attempts.len(), 2);
}

#[tokio::test]
async fn nothing_is_signed_for_a_payment_that_went_to_sleep() {
    use SettlementState as S;
    let bench = Bench::new().await;
    let key = bench.reserved(1).await;
    let slot = bench.slot(0, &key).await.unwrap();
    assert!(bench.go(&key, S::Reserved, S::Dormant).await.unwrap());
    assert!(!bench.sign(&slot, 1).await, "its caller is gone");
    assert!(bench.ledger.make_no_op(&bench.lease, &slot).await.unwrap());
    assert!(!bench.sign(&slot, 1).await, "the slot is a no-op now");
    let no_op = bench.open().await.remove(0);
    assert_eq!((no_op.kind, no_op.key), (SlotKind::NoOp, None));
    assert!(bench.sign(&no_op, 2).await);
    assert!(!bench.ledger.make_no_op(&bench.lease, &no_op).await.unwrap(), "it is signed");
    let stored = bench.ledger.find_settlement(&key).await.unwrap().unwrap();
    assert!(stored.transactions.is_empty(), "a no-op is no transaction of the payment");
    bench.ledger.want(&key, WAIT_MS).await.unwrap();
    assert_eq!(bench.state(&key).await, S::Reserved);
    assert_eq!(bench.slot(0, &key).await.unwrap().nonce, 1);
}

#[tokio::test]
async fn u8_u9_one_log_pays_for_one_payment() {
    let bench = Bench::new().await;
    let (one, two) = (bench.signed(1).await, bench.signed(2).await);
    let from = SettlementState::Signed;
    assert!(bench.mined(&one, from, &proof(7, 3)).await);
    assert!(!bench.mined(&two, from, &proof(7, 3)).await, "the log is taken");
    assert_eq!(bench.state(&two).await, from);
    assert!(bench.mined(&two, from, &proof(7, 4)).await, "another log of it");
    assert!(!bench.mined(&two, from, &proof(7, 5)).await, "proven already");
}

#[tokio::test]
async fn a_reorganisation_takes_the_proof_back_into_the_newest_slot() {
    use SettlementState as S;
    let bench = Bench::new().await;
    let key = bench.signed(1).await;
    bench.close(&[5]).await;
    assert!(bench.go(&key, S::Signed, S::Reserved).await.unwrap(), "reverted, say");
    let slot = bench.slot(0, &key).await.unwrap();
    assert!(bench.sign(&slot, 2).await);
    assert!(bench.mined(&key, S::Signed, &proof(2, 0)).await);
    bench.close(&[6]).await;
    assert!(bench.open().await.is_empty());
    assert!(bench.ledger.undo_mined(&bench.lease, &key).await.unwrap());
    let stored = bench.ledger.find_settlement(&key).await.unwrap().unwrap();
    assert_eq!((stored.state, stored.evidence), (S::Broadcast, None));
    let open = bench.open().await;
    assert_eq!((open.len(), open[0].nonce, open[0].live), (1, 6, true));
    assert!(bench.mined(&key, S::Broadcast, &proof(2, 0)).await, "the same log proves it again");
}

#[tokio::test]
async fn a_strangers_proof_that_is_taken_back_leaves_a_payment_to_make() {
    use SettlementState as S;
    let bench = Bench::new().await;
    let key = bench.reserved(1).await;
    assert!(bench.mined(&key, S::Reserved, &proof(9, 0)).await);
    assert!(bench.ledger.undo_mined(&bench.lease, &key).await.unwrap());
    assert_eq!(bench.state(&key).await, S::Reserved);
}

#[tokio::test]
async fn nonces_that_the_chain_took_back_open_again() {
    let bench = Bench::new().await;
    bench.signed(1).await;
    bench.signed(2).await;
    bench.close(&[5, 6]).await;
    let healed = bench.ledger.reopen_slots(&bench.lease, NETWORK, SIGNER, 3, 7).await.unwrap();
    assert_eq!(healed, 4);
    let open: Vec<_> = bench
        .open()
        .await
        .into_iter()
        .map(|slot| (slot.nonce, slot.kind, slot.attempts.len()))
        .collect();
    assert_eq!(
        open,
        [
            (3, SlotKind::NoOp, 0),
            (4, SlotKind::NoOp, 0),
            (5, SlotKind::Single, 1),
            (6, SlotKind::Single, 1)
        ]
    );
}

#[tokio::test]
async fn moves_are_compare_and_set_and_legal() {
    use SettlementState as S;
    let bench = Bench::new().await;
    let key = bench.reserved(1).await;
    for (from, to) in [(S::Reserved, S::Final), (S::Signed, S::Mined), (S::Reserved, S::Signed)] {
        let refused = bench.go(&key, from, to).await;
        assert!(matches!(refused, Err(LedgerError::IllegalMove { .. })), "{from:?} {to:?}");
    }
    assert!(!bench.go(&key, S::Signed, S::Broadcast).await.unwrap(), "it is not there");
    assert!(bench.go(&key, S::Reserved, S::Dormant).await.unwrap());
    assert!(bench.go(&key, S::Dormant, S::Dead).await.unwrap());
    assert!(bench.due(0).await.is_empty());
    let states: Vec<_> =
        bench.ledger.journal(&key).await.unwrap().into_iter().map(|e| e.to_state).collect();
    assert_eq!(states, ["RESERVED", "DORMANT", "DEAD"]);
}

#[tokio::test]
async fn lanes_get_what_is_wanted_and_lives_nowhere() {
    let bench = Bench::new().await;
    let wanted = || async {
        let rows = bench.ledger.wanted(NETWORK, 10).await.unwrap();
        rows.into_iter().map(|stored| stored.new.key).collect::<Vec<_>>()
    };
    let unwanted = new_settlement(1);
    bench.ledger.reserve(&unwanted, 0).await.unwrap();
    assert!(wanted().await.is_empty());
    bench.ledger.want(&unwanted.key, WAIT_MS).await.unwrap();
    let mut urgent = new_settlement(2);
    urgent.valid_before -= 1;
    bench.ledger.reserve(&urgent, WAIT_MS).await.unwrap();
    assert_eq!(wanted().await, [urgent.key, unwanted.key], "earliest end first");
    bench.slot(0, &urgent.key).await.unwrap();
    assert_eq!(wanted().await, [unwanted.key]);
}

#[tokio::test]
async fn looks_take_turns_and_a_closed_slot_is_looked_at_first() {
    let bench = Bench::new().await;
    let (one, two) = (bench.signed(1).await, bench.signed(2).await);
    assert!(bench.due(60_000).await.is_empty(), "they moved just now");
    assert_eq!(bench.due(0).await.len(), 2);
    bench.ledger.looked(&bench.lease, &one, 60_000).await.unwrap();
    assert_eq!(bench.due(0).await, [two]);
    bench.close(&[5]).await;
    assert_eq!(bench.due(60_000).await, [one], "its nonce is mined");
    assert_eq!(bench.ledger.unresolved(NETWORK).await.unwrap(), 2);
    assert_eq!(bench.ledger.count_try(&one).await.unwrap(), 1);
    assert_eq!(bench.ledger.count_try(&one).await.unwrap(), 2);
}

#[tokio::test]
async fn a_move_is_hinted_to_whoever_listens() {
    let bench = Bench::new().await;
    let mut hints = bench.ledger.moved();
    let key = bench.reserved(1).await;
    assert_eq!(hints.recv().await.unwrap(), key);
}
