//! The engine's side.

use faregate_ledger::{
    Attempt, ClaimStore, EvidenceRow, LedgerError, Reserved, SettlementState, SettlementStore,
    SlotKind, SqliteLedger,
};
use faregate_protocol::PaymentKey;
use serde_json::json;
use uuid::Uuid;

use crate::{new_settlement, store};

const NETWORK: &str = "eip155:84532";
const SIGNER: &str = "0xsigner";

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

async fn reserved(ledger: &SqliteLedger, n: u8) -> PaymentKey {
    let new = new_settlement(n);
    assert!(matches!(ledger.reserve(&new).await.unwrap(), Reserved::New(_)));
    new.key
}

async fn signed(ledger: &SqliteLedger, n: u8) -> PaymentKey {
    let key = reserved(ledger, n).await;
    let slot = ledger.allocate_slot(NETWORK, SIGNER, 5, &key).await.unwrap();
    ledger.record_attempt(&slot, &attempt(n)).await.unwrap();
    key
}

#[tokio::test]
async fn u3_a_key_is_reserved_once_and_reads_back() {
    let ledger = store().await;
    let new = new_settlement(1);
    let Reserved::New(stored) = ledger.reserve(&new).await.unwrap() else { panic!("not new") };
    assert_eq!(stored.new, new);
    let mut other = new_settlement(1);
    other.requirements_hash = [9; 32];
    let Reserved::Exists(found) = ledger.reserve(&other).await.unwrap() else { panic!("twice") };
    assert_eq!(found.new, new, "the first reservation stays as it was");
}

#[tokio::test]
async fn u4_one_success_is_reported() {
    let ledger = store().await;
    let key = signed(&ledger, 1).await;
    let (one, two) = (Uuid::new_v4(), Uuid::new_v4());
    assert!(!ledger.report_success(&key, one).await.unwrap(), "not paid yet");
    assert!(ledger.record_mined(&key, SettlementState::Signed, &proof(1, 0)).await.unwrap());
    assert!(ledger.report_success(&key, one).await.unwrap());
    assert!(!ledger.report_success(&key, two).await.unwrap());
    assert!(ledger.report_success(&key, one).await.unwrap(), "the same caller may ask again");
}

#[tokio::test]
async fn u6_u7_nonces_are_dense_and_a_payment_lives_in_one_slot() {
    let ledger = store().await;
    let (one, two) = (reserved(&ledger, 1).await, reserved(&ledger, 2).await);
    let first = ledger.allocate_slot(NETWORK, SIGNER, 5, &one).await.unwrap();
    let again = ledger.allocate_slot(NETWORK, SIGNER, 5, &one).await.unwrap();
    assert_eq!(first, again);
    let second = ledger.allocate_slot(NETWORK, SIGNER, 0, &two).await.unwrap();
    assert_eq!((first.nonce, second.nonce), (5, 6));
    let other_lane = ledger.allocate_slot(NETWORK, "0xother", 0, &two).await.unwrap();
    assert_eq!(other_lane, second, "alive elsewhere already");
}

#[tokio::test]
async fn sixteen_racing_payments_get_sixteen_nonces() {
    let ledger = store().await;
    let mut racers = Vec::new();
    for n in 0..16 {
        let key = reserved(&ledger, n).await;
        let ledger = ledger.clone();
        racers.push(tokio::spawn(async move {
            ledger.allocate_slot(NETWORK, SIGNER, 3, &key).await.unwrap().nonce
        }));
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
    let ledger = store().await;
    let key = signed(&ledger, 1).await;
    let stored = ledger.find_settlement(&key).await.unwrap().unwrap();
    assert_eq!(stored.state, SettlementState::Signed);
    assert_eq!(stored.transactions, ["0x01"]);
    let slots = ledger.open_slots(NETWORK, SIGNER).await.unwrap();
    assert_eq!(slots.len(), 1);
    assert_eq!(slots[0].attempts, [attempt(1)]);
    assert_eq!(slots[0].live_key, Some(key));
}

#[tokio::test]
async fn u8_u9_one_log_pays_for_one_payment() {
    let ledger = store().await;
    let (one, two) = (signed(&ledger, 1).await, signed(&ledger, 2).await);
    let from = SettlementState::Signed;
    assert!(ledger.record_mined(&one, from, &proof(7, 3)).await.unwrap());
    assert!(!ledger.record_mined(&two, from, &proof(7, 3)).await.unwrap(), "the log is taken");
    assert_eq!(ledger.find_settlement(&two).await.unwrap().unwrap().state, from);
    assert!(ledger.record_mined(&two, from, &proof(7, 4)).await.unwrap(), "another log of it");
    assert!(!ledger.record_mined(&two, from, &proof(7, 5)).await.unwrap(), "proven already");
}

#[tokio::test]
async fn a_reorganisation_takes_the_proof_back() {
    let ledger = store().await;
    let key = signed(&ledger, 1).await;
    ledger.record_mined(&key, SettlementState::Signed, &proof(1, 0)).await.unwrap();
    ledger.close_slots_below(NETWORK, SIGNER, 6).await.unwrap();
    assert!(ledger.open_slots(NETWORK, SIGNER).await.unwrap().is_empty());
    assert!(ledger.undo_mined(&key).await.unwrap());
    let stored = ledger.find_settlement(&key).await.unwrap().unwrap();
    assert_eq!((stored.state, stored.evidence), (SettlementState::Broadcast, None));
    assert_eq!(ledger.open_slots(NETWORK, SIGNER).await.unwrap()[0].live_key, Some(key));
    let again = ledger.record_mined(&key, SettlementState::Broadcast, &proof(1, 0)).await;
    assert!(again.unwrap(), "the same log may prove it again");
}

#[tokio::test]
async fn moves_are_compare_and_set_and_legal() {
    use SettlementState as S;
    let ledger = store().await;
    let key = reserved(&ledger, 1).await;
    let go = |from, to| ledger.move_settlement(&key, from, to, "reconciler", json!({}));
    assert!(matches!(go(S::Reserved, S::Final).await, Err(LedgerError::IllegalMove { .. })));
    assert!(matches!(go(S::Signed, S::Mined).await, Err(LedgerError::IllegalMove { .. })));
    assert!(!go(S::Signed, S::Broadcast).await.unwrap(), "it is not there");
    assert!(go(S::Reserved, S::Dormant).await.unwrap());
    assert!(go(S::Dormant, S::Dead).await.unwrap());
    assert!(ledger.open_settlements(NETWORK, 0, 10).await.unwrap().is_empty());
}

#[tokio::test]
async fn a_payment_that_left_its_slot_gets_a_new_one() {
    use SettlementState as S;
    let ledger = store().await;
    let key = signed(&ledger, 1).await;
    assert!(
        ledger
            .move_settlement(&key, S::Signed, S::Reserved, "reconciler", json!({}))
            .await
            .unwrap()
    );
    let slot = ledger.allocate_slot(NETWORK, SIGNER, 0, &key).await.unwrap();
    assert_eq!(slot.nonce, 6);
    ledger.make_no_op(&slot).await.unwrap();
    let open = ledger.open_slots(NETWORK, SIGNER).await.unwrap();
    assert_eq!((open[1].kind, open[1].live_key), (SlotKind::NoOp, None));
}

#[tokio::test]
async fn open_settlements_leave_out_what_moved_just_now() {
    let ledger = store().await;
    let key = reserved(&ledger, 1).await;
    assert!(ledger.open_settlements(NETWORK, 60_000, 10).await.unwrap().is_empty());
    let open = ledger.open_settlements(NETWORK, 0, 10).await.unwrap();
    assert_eq!(open.len(), 1);
    assert_eq!(ledger.count_try(&key).await.unwrap(), 1);
    assert_eq!(ledger.count_try(&key).await.unwrap(), 2);
    let states: Vec<_> =
        ledger.journal(&key).await.unwrap().into_iter().map(|e| e.to_state).collect();
    assert_eq!(states, ["RESERVED"]);
}
