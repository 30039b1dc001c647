//! Many proofs at once, and which payments a block's transactions carry.

use std::collections::HashSet;

use faregate_ledger::{Lease, LedgerError, Proven, SettlementState as State};
use faregate_protocol::PaymentKey;
use uuid::Uuid;

use crate::bench::{Bench, NETWORK, attempt, proof};
use crate::stores::{Store, on_every_store};

on_every_store! {
    of_many_proofs_each_stands_for_itself,
    a_block_names_the_payments_in_flight_that_it_carries,
    many_become_final_together,
    many_were_looked_at_together,
}

fn proven(key: PaymentKey, from: State, n: u8, log_index: u64) -> Proven {
    Proven { key, from, evidence: proof(n, log_index) }
}

async fn of_many_proofs_each_stands_for_itself(ledger: impl Store) {
    let bench = Bench::new(ledger).await;
    let mut keys = Vec::new();
    for n in 1..=6 {
        keys.push(bench.signed(n).await);
    }
    bench.go(&keys[5], State::Signed, State::Broadcast).await.unwrap();
    assert!(bench.mined(&keys[0], State::Signed, &proof(9, 9)).await);
    let proofs = [
        proven(keys[0], State::Signed, 1, 0), // proven before
        proven(keys[1], State::Signed, 9, 9), // its log is taken
        proven(keys[2], State::Signed, 3, 0),
        proven(keys[3], State::Signed, 3, 0), // the same log, in the same breath
        proven(keys[4], State::Broadcast, 5, 0), // it is not where it was seen
        proven(keys[5], State::Broadcast, 6, 0),
        proven(keys[5], State::Broadcast, 6, 1), // twice
        proven(PaymentKey([99; 32]), State::Signed, 7, 0),
        proven(keys[2], State::Dead, 8, 0), // no legal move
    ];
    let mut hints = bench.ledger.hints();
    let moved = bench.ledger.record_all_mined(&bench.lease, &proofs).await.unwrap();
    let either = moved.contains(&keys[2]) ^ moved.contains(&keys[3]);
    assert!(either && moved.contains(&keys[5]) && moved.len() == 2, "{moved:?}");
    let hinted: HashSet<_> =
        [hints.recv().await.unwrap().key, hints.recv().await.unwrap().key].into();
    assert_eq!(hinted, moved.iter().copied().collect());
    for (key, state) in keys.iter().zip([State::Mined, State::Signed]) {
        assert_eq!(bench.state(key).await, state);
    }
    assert_eq!(bench.state(&keys[4]).await, State::Signed);
    for key in &moved {
        let stored = bench.ledger.find_settlement(key).await.unwrap().unwrap();
        assert_eq!(stored.state, State::Mined);
        assert!(stored.evidence.is_some() && !stored.in_open_slot);
    }
    assert_eq!(bench.ledger.record_all_mined(&bench.lease, &proofs).await.unwrap(), []);
    assert_eq!(bench.ledger.record_all_mined(&bench.lease, &[]).await.unwrap(), []);
    // A zombie records nothing.
    let old = Lease { owner: Uuid::new_v4(), ..bench.lease.clone() };
    let late = [proven(keys[4], State::Signed, 5, 0)];
    let refused = bench.ledger.record_all_mined(&old, &late).await;
    assert!(matches!(refused, Err(LedgerError::LeaseLost { .. })));
    assert_eq!(bench.state(&keys[4]).await, State::Signed);
}

async fn a_block_names_the_payments_in_flight_that_it_carries(ledger: impl Store) {
    let bench = Bench::new(ledger).await;
    assert_eq!(bench.ledger.in_flight(NETWORK).await.unwrap(), 0);
    let (one, two, three) = (bench.signed(1).await, bench.signed(2).await, bench.signed(3).await);
    bench.reserved(4).await;
    bench.go(&two, State::Signed, State::Broadcast).await.unwrap();
    assert_eq!(bench.ledger.in_flight(NETWORK).await.unwrap(), 3);
    let carried = async |hashes: &[u8], limit| {
        let hashes: Vec<String> = hashes.iter().map(|n| attempt(*n).transaction).collect();
        let found = bench.ledger.carried_by(NETWORK, &hashes, limit).await.unwrap();
        found.into_iter().map(|stored| stored.new.key).collect::<Vec<_>>()
    };
    assert_eq!(carried(&[2, 77, 1], 10).await, [one, two]);
    assert_eq!(carried(&[1, 2, 3], 2).await, [one, two]);
    assert_eq!(carried(&[], 10).await, []);
    assert!(bench.mined(&one, State::Signed, &proof(1, 0)).await);
    bench.go(&three, State::Signed, State::Dead).await.unwrap();
    assert_eq!(carried(&[1, 2, 3], 10).await, [two], "the others need no proof any more");
    assert_eq!(bench.ledger.in_flight(NETWORK).await.unwrap(), 1);
    let elsewhere = bench.ledger.carried_by("eip155:1", &[attempt(2).transaction], 10).await;
    assert_eq!(elsewhere.unwrap(), []);
}

async fn many_become_final_together(ledger: impl Store) {
    let bench = Bench::new(ledger).await;
    let (one, two, three) = (bench.signed(1).await, bench.signed(2).await, bench.signed(3).await);
    for (key, n) in [(&one, 1), (&two, 2)] {
        assert!(bench.mined(key, State::Signed, &proof(n, 0)).await);
    }
    let all = [two, three, PaymentKey([99; 32]), one, one];
    let old = Lease { owner: Uuid::new_v4(), ..bench.lease.clone() };
    let refused = bench.ledger.record_all_final(&old, &all, 7).await;
    assert!(matches!(refused, Err(LedgerError::LeaseLost { .. })));
    assert_eq!(bench.state(&one).await, State::Mined);
    let mut hints = bench.ledger.hints();
    let moved = bench.ledger.record_all_final(&bench.lease, &all, 7).await.unwrap();
    assert_eq!(moved.iter().copied().collect::<HashSet<_>>(), HashSet::from([one, two]));
    assert_eq!(moved.len(), 2, "each once");
    let hinted: HashSet<_> =
        [hints.recv().await.unwrap().key, hints.recv().await.unwrap().key].into();
    assert_eq!(hinted, HashSet::from([one, two]));
    for (key, state) in [(one, State::Final), (two, State::Final), (three, State::Signed)] {
        assert_eq!(bench.state(&key).await, state);
    }
    assert_eq!(bench.ledger.record_all_final(&bench.lease, &all, 8).await.unwrap(), []);
    assert_eq!(bench.ledger.record_all_final(&bench.lease, &[], 8).await.unwrap(), []);
}

async fn many_were_looked_at_together(ledger: impl Store) {
    let bench = Bench::new(ledger).await;
    let (one, two, three) = (bench.signed(1).await, bench.signed(2).await, bench.signed(3).await);
    let looks = async |key| bench.ledger.find_settlement(key).await.unwrap().unwrap().looks;
    bench.ledger.looked(&bench.lease, &[one, two, one], 60_000).await.unwrap();
    bench.ledger.looked(&bench.lease, &[], 60_000).await.unwrap();
    bench.ledger.looked(&bench.lease, &[two, PaymentKey([99; 32])], 60_000).await.unwrap();
    assert_eq!((looks(&one).await, looks(&two).await, looks(&three).await), (1, 2, 0));
    assert_eq!(bench.due(0).await, [three]);
}
