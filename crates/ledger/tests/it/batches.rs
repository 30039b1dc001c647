//! Slots for several payments.

use faregate_ledger::{SettlementState as S, SlotKind, SlotMember, SlotRow};
use faregate_protocol::PaymentKey;

use crate::bench::{Bench, NETWORK, SIGNER, proof};
use crate::stores::{Store, on_every_store};

on_every_store! {
    u7_a_batch_takes_only_payments_that_live_nowhere,
    a_batch_is_signed_and_acknowledged_as_one,
    a_batch_with_a_payment_that_moved_is_not_signed,
    what_is_kept_of_an_unsigned_batch_is_signed_and_the_rest_is_free,
    members_come_to_different_ends_and_the_batch_stays_what_it_was,
    u8_u9_each_member_has_a_log_of_its_own,
    a_reorganisation_brings_all_members_back,
}

async fn three<L: Store>(bench: &Bench<L>) -> [PaymentKey; 3] {
    [bench.reserved(1).await, bench.reserved(2).await, bench.reserved(3).await]
}

async fn batch<L: Store>(bench: &Bench<L>, keys: &[PaymentKey]) -> SlotRow {
    let slot = bench.ledger.allocate_slot(&bench.lease, NETWORK, SIGNER, 5, keys).await;
    slot.unwrap().unwrap()
}

fn keys(slot: &SlotRow) -> Vec<PaymentKey> {
    slot.members.iter().map(|member| member.key).collect()
}

async fn u7_a_batch_takes_only_payments_that_live_nowhere(ledger: impl Store) {
    let bench = Bench::new(ledger).await;
    let [one, two, three] = three(&bench).await;
    let mut sorted = [one, two];
    sorted.sort();
    let first = batch(&bench, &[two, one]).await;
    assert_eq!((first.kind, keys(&first)), (SlotKind::Batch, sorted.to_vec()));
    assert_eq!(bench.open().await, [first], "as it is read");
    let second = batch(&bench, &[two, three, one]).await;
    assert_eq!((second.kind, keys(&second), second.nonce), (SlotKind::Single, vec![three], 6));
    let third = bench.ledger.allocate_slot(&bench.lease, NETWORK, SIGNER, 5, &[one, three]).await;
    assert_eq!(third.unwrap(), None);
    let none = bench.ledger.allocate_slot(&bench.lease, NETWORK, SIGNER, 5, &[]).await;
    assert_eq!(none.unwrap(), None);
    assert_eq!(bench.ledger.lane(NETWORK, SIGNER).await.unwrap().next_nonce, 7);
}

async fn a_batch_is_signed_and_acknowledged_as_one(ledger: impl Store) {
    let bench = Bench::new(ledger).await;
    let all = three(&bench).await;
    let slot = batch(&bench, &all).await;
    assert!(bench.sign(&slot, 1).await);
    for key in &all {
        let stored = bench.ledger.find_settlement(key).await.unwrap().unwrap();
        assert_eq!((stored.state, stored.transactions.len()), (S::Signed, 1));
    }
    bench.ledger.acknowledge(&bench.lease, &slot).await.unwrap();
    bench.ledger.acknowledge(&bench.lease, &slot).await.unwrap();
    for key in &all {
        let stored = bench.ledger.find_settlement(key).await.unwrap().unwrap();
        assert_eq!((stored.state, stored.version), (S::Broadcast, 2), "once");
    }
    let slot = bench.open().await.remove(0);
    assert!(bench.sign(&slot, 2).await, "a replacement");
    assert_eq!(bench.open().await[0].attempts.len(), 2);
}

async fn a_batch_with_a_payment_that_moved_is_not_signed(ledger: impl Store) {
    let bench = Bench::new(ledger).await;
    let all = three(&bench).await;
    let slot = batch(&bench, &all).await;
    assert!(bench.go(&all[1], S::Reserved, S::Dormant).await.unwrap());
    assert!(!bench.sign(&slot, 1).await);
    for key in [all[0], all[2]] {
        assert_eq!(bench.state(&key).await, S::Reserved, "nothing of it was stored");
    }
    assert!(bench.open().await[0].attempts.is_empty());
}

async fn what_is_kept_of_an_unsigned_batch_is_signed_and_the_rest_is_free(ledger: impl Store) {
    let bench = Bench::new(ledger).await;
    let all = three(&bench).await;
    let slot = batch(&bench, &all).await;
    assert!(bench.ledger.keep_members(&bench.lease, &slot, &[all[0], all[2]]).await.unwrap());
    assert!(!bench.sign(&slot, 1).await, "it is not what it was");
    let slot = bench.open().await.remove(0);
    assert_eq!((slot.kind, slot.members.len()), (SlotKind::Batch, 2));
    assert!(bench.ledger.keep_members(&bench.lease, &slot, &[all[2]]).await.unwrap());
    let slot = bench.open().await.remove(0);
    assert_eq!((slot.kind, keys(&slot)), (SlotKind::Single, vec![all[2]]));
    assert!(bench.sign(&slot, 1).await);
    assert!(!bench.ledger.keep_members(&bench.lease, &slot, &[]).await.unwrap(), "it is signed");
    let freed = batch(&bench, &all).await;
    assert_eq!(freed.members.len(), 2);
    assert!(bench.ledger.keep_members(&bench.lease, &freed, &[]).await.unwrap());
    assert_eq!(bench.open().await[1].kind, SlotKind::NoOp);
}

async fn members_come_to_different_ends_and_the_batch_stays_what_it_was(ledger: impl Store) {
    let bench = Bench::new(ledger).await;
    let all = three(&bench).await;
    let slot = batch(&bench, &all).await;
    assert!(bench.sign(&slot, 1).await);
    let mut elsewhere = proof(9, 0);
    elsewhere.transaction = "0xstranger".to_owned();
    assert!(bench.mined(&all[0], S::Signed, &elsewhere).await);
    assert!(bench.go(&all[1], S::Signed, S::Dead).await.unwrap());
    bench.ledger.acknowledge(&bench.lease, &slot).await.unwrap();
    let states = [bench.state(&all[0]).await, bench.state(&all[1]).await];
    assert_eq!(states, [S::Mined, S::Dead], "who left is not told of");
    assert_eq!(bench.state(&all[2]).await, S::Broadcast);
    let slot = bench.open().await.remove(0);
    let mut want = [(all[0], false), (all[1], false), (all[2], true)];
    want.sort();
    let want = want.map(|(key, live)| SlotMember { key, live });
    assert_eq!((slot.kind, slot.members.as_slice()), (SlotKind::Batch, want.as_slice()));
    assert!(bench.sign(&slot, 2).await, "its replacement holds the same payments");
    bench.close(&[slot.nonce]).await;
    assert!(bench.go(&all[2], S::Broadcast, S::Reserved).await.unwrap(), "without effect for it");
    assert_eq!(bench.slot(0, &all[2]).await.unwrap().kind, SlotKind::Single, "free again");
}

async fn u8_u9_each_member_has_a_log_of_its_own(ledger: impl Store) {
    let bench = Bench::new(ledger).await;
    let all = three(&bench).await;
    let slot = batch(&bench, &all).await;
    assert!(bench.sign(&slot, 1).await);
    assert!(bench.mined(&all[0], S::Signed, &proof(1, 0)).await);
    assert!(!bench.mined(&all[1], S::Signed, &proof(1, 0)).await, "that log pays for another");
    assert!(bench.mined(&all[1], S::Signed, &proof(1, 2)).await);
    assert!(bench.mined(&all[2], S::Signed, &proof(1, 4)).await);
}

async fn a_reorganisation_brings_all_members_back(ledger: impl Store) {
    let bench = Bench::new(ledger).await;
    let all = three(&bench).await;
    let slot = batch(&bench, &all).await;
    assert!(bench.sign(&slot, 1).await);
    for (n, key) in all.iter().enumerate() {
        assert!(bench.mined(key, S::Signed, &proof(1, n as u64)).await);
    }
    bench.close(&[5]).await;
    assert!(bench.open().await.is_empty());
    for key in &all {
        assert!(bench.ledger.undo_mined(&bench.lease, key).await.unwrap());
        assert_eq!(bench.state(key).await, S::Broadcast);
    }
    let slot = bench.open().await.remove(0);
    assert!(slot.members.iter().all(|member| member.live) && slot.members.len() == 3);
}
