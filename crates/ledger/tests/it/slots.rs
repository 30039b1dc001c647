//! Nonce slots of a lane.

use std::time::{Duration, Instant};

use faregate_ledger::{LedgerError, SettlementState, SlotKind, SlotMember};
use uuid::Uuid;

use crate::bench::{Bench, NETWORK, SIGNER, WAIT_MS, attempt, proof};
use crate::stores::{Store, on_every_store};

on_every_store! {
    u6_u7_nonces_are_dense_and_a_payment_lives_in_one_slot,
    sixteen_racing_payments_get_sixteen_nonces,
    signed_bytes_are_stored_with_the_move,
    a_replacement_keeps_the_slot_the_payment_and_both_transactions,
    a_slot_is_as_old_as_its_newest_bytes,
    nothing_is_signed_for_a_payment_that_went_to_sleep,
    nonces_that_the_chain_took_back_open_again,
    who_is_signed_for_an_open_nonce_gets_no_other,
    a_reorganisation_takes_the_proof_back_into_the_newest_slot,
    looks_take_turns_and_a_closed_slot_is_looked_at_first,
    one_transaction_is_stored_once,
    two_leases_on_one_lane_never_share_a_nonce,
}

async fn u6_u7_nonces_are_dense_and_a_payment_lives_in_one_slot(ledger: impl Store) {
    let bench = Bench::new(ledger).await;
    let (one, two) = (bench.reserved(1).await, bench.reserved(2).await);
    let first = bench.slot(5, &one).await.unwrap();
    assert_eq!(bench.slot(5, &one).await, None, "it lives in a slot");
    let second = bench.slot(0, &two).await.unwrap();
    assert_eq!((first.nonce, second.nonce), (5, 6));
    let elsewhere = bench.ledger.allocate_slot(&bench.lease, NETWORK, "0xother", 0, &[two]).await;
    assert_eq!(elsewhere.unwrap(), None, "alive in another lane");
    assert_eq!(bench.ledger.lane(NETWORK, SIGNER).await.unwrap().next_nonce, 7);
}

async fn sixteen_racing_payments_get_sixteen_nonces(ledger: impl Store) {
    let bench = std::sync::Arc::new(Bench::new(ledger).await);
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

async fn signed_bytes_are_stored_with_the_move(ledger: impl Store) {
    let bench = Bench::new(ledger).await;
    let key = bench.signed(1).await;
    let stored = bench.ledger.find_settlement(&key).await.unwrap().unwrap();
    assert_eq!(stored.state, SettlementState::Signed);
    assert_eq!(stored.transactions, ["0x01"]);
    assert!(stored.in_open_slot);
    let slots = bench.open().await;
    assert_eq!(slots.len(), 1);
    assert_eq!(slots[0].attempts, [attempt(1)]);
    assert_eq!(slots[0].members, [SlotMember { key, live: true }]);
}

async fn a_replacement_keeps_the_slot_the_payment_and_both_transactions(ledger: impl Store) {
    let bench = Bench::new(ledger).await;
    let key = bench.signed(1).await;
    let slot = bench.open().await.remove(0);
    assert!(bench.sign(&slot, 2).await);
    let stored = bench.ledger.find_settlement(&key).await.unwrap().unwrap();
    assert_eq!(stored.transactions, ["0x01", "0x02"]);
    assert_eq!(stored.nonces, 1, "one of them is mined at most");
    assert_eq!(bench.open().await[0].attempts.len(), 2);
}

async fn a_slot_is_as_old_as_its_newest_bytes(ledger: impl Store) {
    let bench = Bench::new(ledger).await;
    let key = bench.reserved(1).await;
    let slot = bench.slot(0, &key).await.unwrap();
    assert_eq!((slot.age_ms, bench.open().await[0].age_ms), (0, 0), "nothing is signed");
    assert!(bench.sign(&slot, 1).await);
    let started = Instant::now();
    while bench.open().await[0].age_ms < 30 {
        assert!(started.elapsed() < Duration::from_secs(20), "it does not grow older");
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    let slot = bench.open().await.remove(0);
    let replaced = Instant::now();
    assert!(bench.sign(&slot, 2).await);
    let age = Duration::from_millis(bench.open().await[0].age_ms);
    assert!(age <= replaced.elapsed() + Duration::from_millis(2), "{age:?} after its replacement");
}

async fn nothing_is_signed_for_a_payment_that_went_to_sleep(ledger: impl Store) {
    use SettlementState as S;
    let bench = Bench::new(ledger).await;
    let key = bench.reserved(1).await;
    let slot = bench.slot(0, &key).await.unwrap();
    assert!(bench.go(&key, S::Reserved, S::Dormant).await.unwrap());
    assert!(!bench.sign(&slot, 1).await, "its caller is gone");
    assert!(bench.ledger.keep_members(&bench.lease, &slot, &[]).await.unwrap());
    assert!(!bench.sign(&slot, 1).await, "the slot is a no-op now");
    let no_op = bench.open().await.remove(0);
    assert_eq!((no_op.kind, no_op.members.len()), (SlotKind::NoOp, 0));
    assert!(bench.sign(&no_op, 2).await);
    assert!(!bench.ledger.keep_members(&bench.lease, &no_op, &[]).await.unwrap(), "it is signed");
    let stored = bench.ledger.find_settlement(&key).await.unwrap().unwrap();
    assert!(stored.transactions.is_empty(), "a no-op is no transaction of the payment");
    bench.ledger.want(&key, WAIT_MS).await.unwrap();
    assert_eq!(bench.state(&key).await, S::Reserved);
    assert_eq!(bench.slot(0, &key).await.unwrap().nonce, 1);
}

async fn nonces_that_the_chain_took_back_open_again(ledger: impl Store) {
    let bench = Bench::new(ledger).await;
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

async fn who_is_signed_for_an_open_nonce_gets_no_other(ledger: impl Store) {
    use SettlementState as S;
    let bench = Bench::new(ledger).await;
    let key = bench.signed(1).await;
    assert!(!bench.go(&key, S::Signed, S::Reserved).await.unwrap(), "its bytes may be mined");
    let slot = bench.open().await.remove(0);
    bench.ledger.acknowledge(&bench.lease, &slot).await.unwrap();
    assert!(!bench.go(&key, S::Broadcast, S::Reserved).await.unwrap());
    assert_eq!(bench.state(&key).await, S::Broadcast);
    bench.close(&[5]).await;
    assert!(bench.go(&key, S::Broadcast, S::Reserved).await.unwrap(), "they were, without effect");
    let next = bench.slot(0, &key).await.unwrap();
    assert!(bench.sign(&next, 2).await);
    assert!(!bench.go(&key, S::Signed, S::Reserved).await.unwrap(), "old news of its first nonce");
}

async fn a_reorganisation_takes_the_proof_back_into_the_newest_slot(ledger: impl Store) {
    use SettlementState as S;
    let bench = Bench::new(ledger).await;
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
    assert_eq!((stored.transactions.len(), stored.nonces), (2, 2));
    let open = bench.open().await;
    assert_eq!((open.len(), open[0].nonce, open[0].members[0].live), (1, 6, true));
    assert!(bench.mined(&key, S::Broadcast, &proof(2, 0)).await, "the same log proves it again");
}

async fn looks_take_turns_and_a_closed_slot_is_looked_at_first(ledger: impl Store) {
    let bench = Bench::new(ledger).await;
    let (one, two) = (bench.signed(1).await, bench.signed(2).await);
    assert!(bench.due(60_000).await.is_empty(), "they moved just now");
    assert_eq!(bench.due(0).await.len(), 2);
    bench.ledger.looked(&bench.lease, &[one], 60_000).await.unwrap();
    assert_eq!(bench.due(0).await, [two]);
    bench.close(&[5]).await;
    assert_eq!(bench.due(60_000).await, [one], "its nonce is mined");
    assert_eq!(bench.ledger.unresolved(NETWORK).await.unwrap(), 2);
    assert_eq!(bench.ledger.count_try(&one).await.unwrap(), 1);
    assert_eq!(bench.ledger.count_try(&one).await.unwrap(), 2);
}

async fn one_transaction_is_stored_once(ledger: impl Store) {
    let bench = Bench::new(ledger).await;
    bench.signed(1).await;
    let two = bench.reserved(2).await;
    let slot = bench.slot(0, &two).await.unwrap();
    let again = bench.ledger.record_attempt(&bench.lease, &slot, &attempt(1)).await;
    assert!(matches!(again, Err(LedgerError::Unavailable { .. })), "{again:?}");
    assert_eq!(bench.state(&two).await, SettlementState::Reserved, "nothing of it is stored");
    assert!(bench.sign(&slot, 2).await);
}

/// Leases are named by their callers; should two names ever mean one lane, U6 still holds.
async fn two_leases_on_one_lane_never_share_a_nonce(ledger: impl Store) {
    let one = std::sync::Arc::new(Bench::new(ledger.clone()).await);
    let lease = ledger.lease("another name", Uuid::new_v4(), WAIT_MS).await.unwrap().unwrap();
    let two = std::sync::Arc::new(Bench { ledger, lease });
    let mut racers = Vec::new();
    for n in 0..16 {
        let key = one.reserved(n).await;
        let bench = if n % 2 == 0 { one.clone() } else { two.clone() };
        racers.push(tokio::spawn(async move { bench.slot(0, &key).await.unwrap().nonce }));
    }
    let mut nonces = Vec::new();
    for racer in racers {
        nonces.push(racer.await.unwrap());
    }
    nonces.sort_unstable();
    assert_eq!(nonces, (0..16).collect::<Vec<u64>>());
}
