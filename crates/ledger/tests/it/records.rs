//! What people read, and what an operator may move.

use faregate_ledger::{
    ClaimMove, ClaimState, Claimed, PaymentFilter, PaymentName, PaymentSummary, SettlementState,
    SlotKind, SlotState,
};
use faregate_protocol::PaymentKey;
use serde_json::json;

use crate::bench::{Bench, SIGNER, proof};
use crate::samples::{LEASE_MS, new_claim, new_settlement};
use crate::stores::{Store, on_every_store};

on_every_store! {
    an_empty_ledger_lists_nothing,
    a_payment_is_one_line_whichever_side_knows_it,
    lists_are_narrowed_and_bounded,
    a_payment_is_found_by_a_beginning_or_by_its_transaction,
    transactions_are_told_without_their_bytes,
    only_what_is_quarantined_is_retried,
}

const MANY: u32 = 100;

fn numbers(found: &[PaymentSummary]) -> Vec<u8> {
    let mut numbers: Vec<u8> = found.iter().map(|payment| payment.key.0[0]).collect();
    numbers.sort_unstable();
    numbers
}

fn name(text: &str) -> PaymentName {
    text.parse().unwrap()
}

async fn an_empty_ledger_lists_nothing(ledger: impl Store) {
    assert_eq!(ledger.list_payments(&PaymentFilter::default(), MANY).await.unwrap(), []);
    assert_eq!(ledger.find_payments(&name("abcd"), MANY).await.unwrap(), []);
    assert_eq!(ledger.sent_transactions(&PaymentKey([1; 32])).await.unwrap(), []);
    assert!(!ledger.retry_quarantined(&PaymentKey([1; 32])).await.unwrap());
}

async fn a_payment_is_one_line_whichever_side_knows_it(ledger: impl Store) {
    let bench = Bench::new(ledger.clone()).await;
    // Known to the gate, to the engine, to both.
    let Claimed::Won(_) = ledger.claim(&new_claim(1), LEASE_MS).await.unwrap() else { panic!() };
    let engine_only = bench.signed(2).await;
    let Claimed::Won(hold) = ledger.claim(&new_claim(3), LEASE_MS).await.unwrap() else { panic!() };
    let (from, to) = (ClaimState::Verified, ClaimState::Settling);
    let step = ClaimMove { from, to, transaction: Some("0xc3".into()), evidence: json!({}) };
    assert!(ledger.move_claim(&hold, step).await.unwrap());
    let both = bench.reserved(3).await;

    let found = ledger.list_payments(&PaymentFilter::default(), MANY).await.unwrap();
    assert_eq!(numbers(&found), [1, 2, 3]);
    let of = |key: PaymentKey| found.iter().find(|payment| payment.key == key).unwrap();
    let (one, two, three) = (of(PaymentKey([1; 32])), of(engine_only), of(both));
    assert_eq!((one.claim, one.settlement), (Some(ClaimState::Verified), None));
    assert_eq!(one.transaction, "");
    assert_eq!((two.claim, two.settlement), (None, Some(SettlementState::Signed)));
    assert_eq!(two.transaction, "0x02", "signed and not proven");
    assert_eq!(three.claim, Some(ClaimState::Settling));
    assert_eq!(three.settlement, Some(SettlementState::Reserved));
    assert_eq!(three.transaction, "0xc3", "the gate was told");
    for payment in &found {
        assert_eq!(payment.amount, 10_000.into());
        assert_eq!(payment.network, "eip155:84532");
        assert_eq!((&*payment.payer, &*payment.pay_to), ("0xpayer", "0xpayee"));
        assert_eq!(payment.asset, "0xasset");
        assert!(payment.updated_unix_ms > 0);
    }
    // Later, by any clock that tells milliseconds.
    tokio::time::sleep(std::time::Duration::from_millis(5)).await;
    assert!(bench.mined(&both, SettlementState::Reserved, &proof(9, 0)).await);
    let found = ledger.list_payments(&PaymentFilter::default(), 1).await.unwrap();
    assert_eq!((found.len(), found[0].key), (1, both), "what moved last comes first");
    assert_eq!(found[0].transaction, "0x09", "proof before what was said");
}

async fn lists_are_narrowed_and_bounded(ledger: impl Store) {
    let bench = Bench::new(ledger.clone()).await;
    ledger.claim(&new_claim(1), LEASE_MS).await.unwrap();
    bench.reserved(2).await;
    bench.signed(3).await;
    let mut other = new_settlement(4);
    (other.network, other.payer) = ("eip155:8453".into(), "0xAnother".into());
    ledger.reserve(&other, LEASE_MS).await.unwrap();

    let all = PaymentFilter::default();
    let list =
        async |filter: &PaymentFilter| numbers(&ledger.list_payments(filter, MANY).await.unwrap());
    let settlements =
        |states: &[SettlementState]| PaymentFilter { settlements: states.into(), ..all.clone() };
    assert_eq!(list(&settlements(&[SettlementState::Reserved])).await, [2, 4]);
    assert_eq!(
        list(&settlements(&[SettlementState::Reserved, SettlementState::Signed])).await,
        [2, 3, 4]
    );
    assert_eq!(list(&settlements(&[SettlementState::Dead])).await, [0_u8; 0]);
    let claims = vec![ClaimState::Verified, ClaimState::Credit];
    assert_eq!(list(&PaymentFilter { claims: claims.clone(), ..all.clone() }).await, [1]);
    let either = PaymentFilter { claims, ..settlements(&[SettlementState::Signed]) };
    assert_eq!(list(&either).await, [1, 3]);
    let network = Some("eip155:8453".to_owned());
    assert_eq!(list(&PaymentFilter { network, ..all.clone() }).await, [4]);
    let payer = Some("0xANOTHER".to_owned());
    assert_eq!(list(&PaymentFilter { payer, ..all.clone() }).await, [4]);
    let pay_to = Some("0xPAYEE".to_owned());
    assert_eq!(list(&PaymentFilter { pay_to, ..all.clone() }).await, [1, 2, 3, 4]);
    let pay_to = Some("0xpayee' or '1'='1".to_owned());
    assert_eq!(list(&PaymentFilter { pay_to, ..all.clone() }).await, [0_u8; 0]);
    assert_eq!(ledger.list_payments(&all, 2).await.unwrap().len(), 2);
    assert_eq!(ledger.list_payments(&all, 0).await.unwrap(), []);
}

async fn a_payment_is_found_by_a_beginning_or_by_its_transaction(ledger: impl Store) {
    let bench = Bench::new(ledger.clone()).await;
    let transaction = format!("0x{}", "c1".repeat(32));
    let Claimed::Won(hold) = ledger.claim(&new_claim(0xab), LEASE_MS).await.unwrap() else {
        panic!()
    };
    let (from, to) = (ClaimState::Verified, ClaimState::Settling);
    let told = Some(transaction.clone());
    let step = ClaimMove { from, to, transaction: told, evidence: json!({}) };
    assert!(ledger.move_claim(&hold, step).await.unwrap());
    let mut near = new_settlement(0xab);
    near.key.0[31] = 1;
    ledger.reserve(&near, LEASE_MS).await.unwrap();
    let signed = bench.signed(7).await;

    let find = async |text: &str| ledger.find_payments(&name(text), MANY).await.unwrap();
    assert_eq!(find("ababa").await, [near.key, PaymentKey([0xab; 32])]);
    assert_eq!(find("0xABAB").await.len(), 2);
    assert_eq!(find(&near.key.to_string()).await, [near.key]);
    assert_eq!(find("0707").await, [signed]);
    assert_eq!(find(&transaction).await, [PaymentKey([0xab; 32])]);
    assert_eq!(find("ffff").await, []);
    assert_eq!(ledger.find_payments(&name("abab"), 1).await.unwrap(), [near.key]);
}

async fn transactions_are_told_without_their_bytes(ledger: impl Store) {
    let bench = Bench::new(ledger.clone()).await;
    let key = bench.signed(1).await;
    let slot = bench.open().await.remove(0);
    assert!(bench.sign(&slot, 2).await, "a replacement");
    let sent = ledger.sent_transactions(&key).await.unwrap();
    let told: Vec<_> = sent.iter().map(|sent| (&*sent.transaction, sent.nonce)).collect();
    assert_eq!(told, [("0x01", 5), ("0x02", 5)]);
    for sent in &sent {
        assert_eq!(
            (&*sent.signer, sent.kind, sent.slot),
            (SIGNER, SlotKind::Single, SlotState::Signed)
        );
        assert_eq!((sent.max_fee_wei, sent.tip_wei, sent.live), (u128::MAX, 1, true));
        assert!(sent.signed_unix_ms > 0);
    }
    assert!(bench.mined(&key, SettlementState::Signed, &proof(2, 0)).await);
    bench.close(&[5]).await;
    let sent = ledger.sent_transactions(&key).await.unwrap();
    assert!(sent.iter().all(|sent| !sent.live && sent.slot == SlotState::Mined), "{sent:?}");
}

async fn only_what_is_quarantined_is_retried(ledger: impl Store) {
    let bench = Bench::new(ledger.clone()).await;
    let key = bench.reserved(1).await;
    assert!(!ledger.retry_quarantined(&key).await.unwrap());
    assert_eq!(ledger.count_try(&key).await.unwrap(), 1);
    let (from, to) = (SettlementState::Reserved, SettlementState::Quarantined);
    assert!(bench.go(&key, from, to).await.unwrap());
    assert_eq!(ledger.wanted(crate::bench::NETWORK, 0, 10).await.unwrap(), []);
    assert!(ledger.retry_quarantined(&key).await.unwrap());
    assert!(!ledger.retry_quarantined(&key).await.unwrap(), "once");
    let stored = ledger.find_settlement(&key).await.unwrap().unwrap();
    assert_eq!((stored.state, stored.tries), (SettlementState::Reserved, 0));
    let last = ledger.journal(&key).await.unwrap().pop().unwrap();
    assert_eq!((&*last.actor, &*last.to_state), ("operator", "RESERVED"));
    let mut late = new_settlement(2);
    late.valid_before = 99_999_999_999;
    ledger.reserve(&late, 0).await.unwrap();
    assert!(bench.go(&late.key, from, to).await.unwrap());
    assert!(ledger.retry_quarantined(&late.key).await.unwrap());
    let wanted = ledger.wanted(crate::bench::NETWORK, 0, 10).await.unwrap();
    let wanted: Vec<_> = wanted.iter().map(|stored| stored.new.key).collect();
    assert_eq!(wanted, [late.key], "until its authorization ends; that of the other one has");
}
