//! The engine's side: reservations, leases, moves, proof.

use std::time::Duration;

use faregate_ledger::{Change, Hint, LedgerError, NewSettlement, Reserved, SettlementState};
use uuid::Uuid;

use crate::bench::{Bench, NETWORK, SIGNER, WAIT_MS, attempt, proof};
use crate::samples::new_settlement;
use crate::stores::{Store, on_every_store};

on_every_store! {
    u3_a_key_is_reserved_once_and_reads_back,
    u4_one_success_is_reported,
    u5_of_two_owners_one_holds_the_lease_and_an_old_token_writes_nothing,
    u8_u9_one_log_pays_for_one_payment,
    a_strangers_proof_that_is_taken_back_leaves_a_payment_to_make,
    moves_are_compare_and_set_and_legal,
    lanes_get_what_is_wanted_and_lives_nowhere,
    of_those_that_end_together_the_first_comes_first,
    a_move_is_hinted_to_whoever_listens,
    a_settle_id_belongs_to_one_payment,
    of_16_racing_reservations_with_one_settle_id_one_is_new,
    of_16_racing_callers_one_gets_the_success,
    a_lease_that_ran_out_is_taken_with_a_new_token_and_its_holder_writes_nothing,
    what_never_expires_survives_a_reorganisation,
    a_proof_is_taken_back_only_if_there_is_one,
    what_is_not_there_moves_nothing,
    the_journal_says_who_moved_what_and_why,
    calls_that_are_dropped_midway_take_nothing_with_them,
}

/// A caller that hangs up drops its call wherever it is, its commit too.
async fn calls_that_are_dropped_midway_take_nothing_with_them(ledger: impl Store) {
    let kept = new_settlement(1);
    ledger.reserve(&kept, WAIT_MS).await.unwrap();
    let kept = kept.key;
    for round in 0..200_u64 {
        let calls: Vec<_> = (2..8)
            .map(|n| {
                let ledger = ledger.clone();
                tokio::spawn(async move { ledger.reserve(&new_settlement(n), WAIT_MS).await })
            })
            .collect();
        tokio::time::sleep(Duration::from_micros(round * 37 % 1500)).await;
        calls.iter().for_each(tokio::task::JoinHandle::abort);
        assert!(ledger.find_settlement(&kept).await.unwrap().is_some(), "round {round}");
        ledger.want(&kept, WAIT_MS).await.unwrap();
    }
    for n in 2..8 {
        ledger.reserve(&new_settlement(n), WAIT_MS).await.unwrap();
        let key = new_settlement(n).key;
        assert!(ledger.find_settlement(&key).await.unwrap().is_some());
    }
}

async fn u3_a_key_is_reserved_once_and_reads_back(ledger: impl Store) {
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

async fn u4_one_success_is_reported(ledger: impl Store) {
    let bench = Bench::new(ledger).await;
    let key = bench.signed(1).await;
    let (one, two) = (Uuid::new_v4(), Uuid::new_v4());
    let ledger = &bench.ledger;
    assert!(!ledger.report_success(&key, one).await.unwrap(), "not paid yet");
    assert!(bench.mined(&key, SettlementState::Signed, &proof(1, 0)).await);
    assert!(ledger.report_success(&key, one).await.unwrap());
    assert!(!ledger.report_success(&key, two).await.unwrap());
    assert!(ledger.report_success(&key, one).await.unwrap(), "the same caller may ask again");
}

async fn u5_of_two_owners_one_holds_the_lease_and_an_old_token_writes_nothing(ledger: impl Store) {
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
    assert!(lost(ledger.allocate_slot(lease, NETWORK, SIGNER, 0, &[key]).await.unwrap_err()));
    let holder = Bench { ledger: ledger.clone(), lease: second };
    let slot = holder.slot(0, &key).await.unwrap();
    assert!(lost(ledger.record_attempt(lease, &slot, &attempt(1)).await.unwrap_err()));
    assert!(lost(ledger.keep_members(lease, &slot, &[]).await.unwrap_err()));
    assert!(lost(ledger.close_slots(lease, NETWORK, SIGNER, &[0]).await.unwrap_err()));
    assert!(lost(ledger.reopen_slots(lease, NETWORK, SIGNER, 0, 1).await.unwrap_err()));
    assert!(lost(ledger.looked(lease, &[key], 1).await.unwrap_err()));
    assert!(holder.sign(&slot, 1).await);
    let (from, to) = (SettlementState::Signed, SettlementState::Broadcast);
    assert!(lost(zombie.go(&key, from, to).await.unwrap_err()));
    assert!(lost(ledger.record_mined(lease, &key, from, &proof(1, 0)).await.unwrap_err()));
    assert_eq!(holder.state(&key).await, SettlementState::Signed);
}

async fn u8_u9_one_log_pays_for_one_payment(ledger: impl Store) {
    let bench = Bench::new(ledger).await;
    let (one, two) = (bench.signed(1).await, bench.signed(2).await);
    let from = SettlementState::Signed;
    assert!(bench.mined(&one, from, &proof(7, 3)).await);
    assert!(!bench.mined(&two, from, &proof(7, 3)).await, "the log is taken");
    assert_eq!(bench.state(&two).await, from);
    assert!(bench.mined(&two, from, &proof(7, 4)).await, "another log of it");
    assert!(!bench.mined(&two, from, &proof(7, 5)).await, "proven already");
}

async fn a_strangers_proof_that_is_taken_back_leaves_a_payment_to_make(ledger: impl Store) {
    use SettlementState as S;
    let bench = Bench::new(ledger).await;
    let key = bench.reserved(1).await;
    assert!(bench.mined(&key, S::Reserved, &proof(9, 0)).await);
    assert!(bench.ledger.undo_mined(&bench.lease, &key).await.unwrap());
    assert_eq!(bench.state(&key).await, S::Reserved);
}

async fn moves_are_compare_and_set_and_legal(ledger: impl Store) {
    use SettlementState as S;
    let bench = Bench::new(ledger).await;
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

async fn lanes_get_what_is_wanted_and_lives_nowhere(ledger: impl Store) {
    let bench = Bench::new(ledger).await;
    let wanted = || async {
        let rows = bench.ledger.wanted(NETWORK, 0, 10).await.unwrap();
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
    let end = unwanted.valid_before;
    for (ends_after, found) in [(end - 1, 1), (end, 0)] {
        let rows = bench.ledger.wanted(NETWORK, ends_after, 10).await.unwrap();
        assert_eq!(rows.len(), found, "{ends_after}");
    }
}

/// The order of keys is nobody's turn: whoever has a high one would wait for ever on a busy day.
async fn of_those_that_end_together_the_first_comes_first(ledger: impl Store) {
    let bench = Bench::new(ledger).await;
    let mut came = Vec::new();
    for n in [5, 1, 4, 2, 3] {
        came.push(bench.reserved(n).await);
        tokio::time::sleep(Duration::from_millis(3)).await;
    }
    let rows = bench.ledger.wanted(NETWORK, 0, 3).await.unwrap();
    let keys: Vec<_> = rows.iter().map(|stored| stored.new.key).collect();
    assert_eq!(keys, came[..3]);
}

async fn a_move_is_hinted_to_whoever_listens(ledger: impl Store) {
    let bench = Bench::new(ledger).await;
    let mut hints = bench.ledger.hints();
    let key = bench.reserved(1).await;
    // Reserved by another caller already: nothing changed.
    bench.ledger.reserve(&new_settlement(1), WAIT_MS).await.unwrap();
    bench.ledger.want(&key, WAIT_MS).await.unwrap();
    let slot = bench.slot(0, &key).await.unwrap();
    assert!(bench.sign(&slot, 1).await);
    bench.ledger.acknowledge(&bench.lease, &slot).await.unwrap();
    bench.close(&[slot.nonce]).await;
    assert!(bench.mined(&key, SettlementState::Broadcast, &proof(1, 0)).await);
    bench.ledger.undo_mined(&bench.lease, &key).await.unwrap();
    for change in
        [Change::Wanted, Change::Wanted, Change::Sent, Change::Due, Change::Outcome, Change::Wanted]
    {
        assert_eq!(hints.recv().await.unwrap(), Hint { key, change });
    }
    assert!(hints.try_recv().is_err());
}

async fn a_settle_id_belongs_to_one_payment(ledger: impl Store) {
    let first = new_settlement(1);
    ledger.reserve(&first, WAIT_MS).await.unwrap();
    assert!(matches!(ledger.reserve(&first, WAIT_MS).await.unwrap(), Reserved::Exists(_)));
    let mut other = new_settlement(2);
    other.settle_id = first.settle_id;
    let refused = ledger.reserve(&other, WAIT_MS).await;
    assert!(matches!(refused, Err(LedgerError::Unavailable { .. })), "{refused:?}");
    assert_eq!(ledger.find_settlement(&other.key).await.unwrap(), None);
}

async fn of_16_racing_reservations_with_one_settle_id_one_is_new(ledger: impl Store) {
    let new = std::sync::Arc::new(new_settlement(1));
    let racers: Vec<_> = (0..16)
        .map(|_| {
            let (ledger, new) = (ledger.clone(), new.clone());
            tokio::spawn(async move { ledger.reserve(&new, WAIT_MS).await.unwrap() })
        })
        .collect();
    let mut winners = 0;
    for racer in racers {
        winners += u32::from(matches!(racer.await.unwrap(), Reserved::New(_)));
    }
    assert_eq!(winners, 1);
    assert_eq!(ledger.journal(&new.key).await.unwrap().len(), 1);
}

async fn of_16_racing_callers_one_gets_the_success(ledger: impl Store) {
    let bench = Bench::new(ledger).await;
    let key = bench.signed(1).await;
    assert!(bench.mined(&key, SettlementState::Signed, &proof(1, 0)).await);
    let racers: Vec<_> = (0..16)
        .map(|_| {
            let ledger = bench.ledger.clone();
            tokio::spawn(async move { ledger.report_success(&key, Uuid::new_v4()).await.unwrap() })
        })
        .collect();
    let mut told = 0;
    for racer in racers {
        told += u32::from(racer.await.unwrap());
    }
    assert_eq!(told, 1);
}

async fn a_lease_that_ran_out_is_taken_with_a_new_token_and_its_holder_writes_nothing(
    ledger: impl Store,
) {
    let (one, two) = (Uuid::new_v4(), Uuid::new_v4());
    let first = ledger.lease("lane", one, 0).await.unwrap().unwrap();
    let slept = Bench { ledger: ledger.clone(), lease: first.clone() };
    let key = slept.reserved(1).await;
    let lost = ledger.allocate_slot(&first, NETWORK, SIGNER, 0, &[key]).await.unwrap_err();
    assert!(matches!(lost, LedgerError::LeaseLost { .. }), "{lost:?}");
    let second = ledger.lease("lane", two, WAIT_MS).await.unwrap().unwrap();
    assert_eq!(second.token, first.token + 1);
    assert_eq!(ledger.lease("lane", one, WAIT_MS).await.unwrap(), None);
    ledger.give_up(&first).await.unwrap();
    assert_eq!(ledger.lease("lane", one, WAIT_MS).await.unwrap(), None, "that was not its own");
}

async fn what_never_expires_survives_a_reorganisation(ledger: impl Store) {
    let bench = Bench::new(ledger).await;
    let new = NewSettlement { valid_before: u64::MAX, ..new_settlement(1) };
    bench.ledger.reserve(&new, 0).await.unwrap();
    assert!(bench.mined(&new.key, SettlementState::Reserved, &proof(1, 0)).await);
    assert!(bench.ledger.undo_mined(&bench.lease, &new.key).await.unwrap());
    let stored = bench.ledger.find_settlement(&new.key).await.unwrap().unwrap();
    assert!(stored.wanted, "until it expires");
    assert_eq!(stored.new.valid_before, i64::MAX.unsigned_abs());
}

async fn a_proof_is_taken_back_only_if_there_is_one(ledger: impl Store) {
    use SettlementState as S;
    let bench = Bench::new(ledger).await;
    let key = bench.signed(1).await;
    assert!(!bench.ledger.undo_mined(&bench.lease, &key).await.unwrap(), "in its slot");
    bench.close(&[5]).await;
    assert!(bench.go(&key, S::Signed, S::Reserved).await.unwrap());
    assert!(!bench.ledger.undo_mined(&bench.lease, &key).await.unwrap(), "in no slot");
    bench.slot(0, &key).await.unwrap();
    assert!(!bench.ledger.undo_mined(&bench.lease, &key).await.unwrap(), "in another slot");
    let stored = bench.ledger.find_settlement(&key).await.unwrap().unwrap();
    assert_eq!((stored.state, stored.in_open_slot), (S::Reserved, true));
}

async fn what_is_not_there_moves_nothing(ledger: impl Store) {
    use SettlementState as S;
    let bench = Bench::new(ledger).await;
    let key = new_settlement(1).key;
    let ledger = &bench.ledger;
    assert_eq!(bench.slot(0, &key).await, None);
    assert!(!bench.go(&key, S::Reserved, S::Dormant).await.unwrap());
    assert!(!bench.mined(&key, S::Reserved, &proof(1, 0)).await);
    assert!(!ledger.undo_mined(&bench.lease, &key).await.unwrap());
    assert!(!ledger.report_success(&key, Uuid::new_v4()).await.unwrap());
    ledger.want(&key, WAIT_MS).await.unwrap();
    ledger.looked(&bench.lease, &[key], 0).await.unwrap();
    assert!(ledger.count_try(&key).await.is_err());
    bench.close(&[1, 2]).await;
    assert_eq!(ledger.find_settlement(&key).await.unwrap(), None);
    assert!(ledger.journal(&key).await.unwrap().is_empty());
}

async fn the_journal_says_who_moved_what_and_why(ledger: impl Store) {
    use SettlementState as S;
    let bench = Bench::new(ledger).await;
    let key = bench.signed(1).await;
    assert!(bench.go(&key, S::Signed, S::Broadcast).await.unwrap());
    assert!(bench.mined(&key, S::Broadcast, &proof(1, 3)).await);
    assert!(bench.go(&key, S::Mined, S::Final).await.unwrap());
    let rows = bench.ledger.journal(&key).await.unwrap();
    let moves: Vec<_> = rows.iter().map(|e| (&*e.actor, &*e.from_state, &*e.to_state)).collect();
    assert_eq!(
        moves,
        [
            ("api", "", "RESERVED"),
            ("lane", "RESERVED", "SIGNED"),
            ("lane", "SIGNED", "BROADCAST"),
            ("reconciler", "BROADCAST", "MINED"),
            ("reconciler", "MINED", "FINAL"),
        ]
    );
    assert!(rows.iter().all(|e| e.subject == "settlement"));
    assert!(rows.is_sorted_by_key(|e| e.id) && rows.is_sorted_by_key(|e| e.at_unix_ms));
    assert!(rows[3].evidence.contains("\"log_index\":3"), "{}", rows[3].evidence);
}
