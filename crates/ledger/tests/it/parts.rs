//! Bodies in parts: what a store must do with them.

use faregate_ledger::{
    BodyParts, ClaimMove, ClaimState, Claimed, Hold, LedgerError, NewClaim, StoredAnswer,
    StoredBody,
};
use serde_json::json;
use uuid::Uuid;

use crate::samples::{LEASE_MS, new_claim, request};
use crate::stores::{Store, on_every_store};

const CENTURY_MS: u64 = 100 * 365 * 24 * 3600 * 1000;
/// More than a test stores.
const ALL: u32 = 1000;

on_every_store! {
    parts_come_back_each_by_its_number,
    a_part_of_any_bytes_comes_back,
    the_same_number_again_replaces_the_part,
    who_does_not_hold_the_claim_stores_no_part,
    only_a_claim_in_verified_takes_parts,
    a_head_without_all_its_parts_is_not_kept,
    the_first_part_of_a_new_run_forgets_the_parts_of_the_last_one,
    parts_are_read_for_their_own_epoch_only,
    parts_are_forgotten_with_their_answer,
    parts_of_a_released_claim_are_forgotten_at_once,
    a_claim_that_nobody_released_keeps_its_parts,
    parts_are_forgotten_in_steps_of_the_limit,
}

pub(crate) async fn won(ledger: &impl Store, new: &NewClaim) -> Hold {
    match ledger.claim(new, LEASE_MS).await.unwrap() {
        Claimed::Won(hold) => hold,
        Claimed::Exists(claim) => panic!("already claimed: {claim:?}"),
    }
}

async fn step(ledger: &impl Store, hold: &Hold, from: ClaimState, to: ClaimState) {
    let step = ClaimMove { from, to, transaction: None, evidence: json!({}) };
    assert!(ledger.move_claim(hold, step).await.unwrap());
}

pub(crate) async fn keep_parts(ledger: &impl Store, hold: &Hold, parts: &[&[u8]]) -> BodyParts {
    for (number, part) in (0..).zip(parts) {
        assert!(ledger.keep_part(hold, number, part.to_vec()).await.unwrap());
    }
    let bytes: usize = parts.iter().map(|part| part.len()).sum();
    BodyParts {
        epoch: hold.epoch,
        count: parts.len().try_into().unwrap(),
        bytes: bytes.try_into().unwrap(),
    }
}

pub(crate) fn answer(body: BodyParts) -> StoredAnswer {
    let headers = vec![("x-odd".into(), vec![0xff])];
    StoredAnswer { status: 200, headers, body: StoredBody::Parts(body) }
}

/// VERIFIED to EXECUTED.
pub(crate) async fn kept(ledger: &impl Store, hold: &Hold, parts: &[&[u8]]) -> BodyParts {
    let body = keep_parts(ledger, hold, parts).await;
    assert!(ledger.keep_answer(hold, &answer(body), &request()).await.unwrap());
    body
}

async fn granted(ledger: &impl Store, hold: &Hold) {
    use ClaimState::{Executed, Settled, Settling};
    step(ledger, hold, Executed, Settling).await;
    step(ledger, hold, Settling, Settled).await;
    assert!(ledger.grant(hold, Uuid::new_v4()).await.unwrap());
}

/// The bodies that can be read, number by number.
async fn read(ledger: &impl Store, hold: &Hold, body: &BodyParts) -> Vec<Option<Vec<u8>>> {
    let mut found = Vec::new();
    for number in 0..body.count {
        found.push(ledger.find_part(&hold.key, body, number).await.unwrap());
    }
    found
}

fn whole(parts: &[&[u8]]) -> Vec<Option<Vec<u8>>> {
    parts.iter().map(|part| Some(part.to_vec())).collect()
}

async fn parts_come_back_each_by_its_number(ledger: impl Store) {
    let (hold, other) = (won(&ledger, &new_claim(1)).await, won(&ledger, &new_claim(2)).await);
    assert_eq!(ledger.find_answer(&hold.key).await.unwrap(), None);
    let body = kept(&ledger, &hold, &[b"sun", b"ny", b" day"]).await;
    let others = kept(&ledger, &other, &[b"rain"]).await;
    assert_eq!(ledger.find_answer(&hold.key).await.unwrap(), Some(answer(body)));
    assert_eq!(ledger.find_request(&hold.key).await.unwrap(), Some(request()));
    assert_eq!(read(&ledger, &hold, &body).await, whole(&[b"sun", b"ny", b" day"]));
    assert_eq!(read(&ledger, &other, &others).await, whole(&[b"rain"]));
    assert_eq!(ledger.find_part(&hold.key, &body, 3).await.unwrap(), None);
    assert_eq!(ledger.find_part(&new_claim(3).key, &body, 0).await.unwrap(), None);
    let journal = ledger.journal(&hold.key).await.unwrap();
    let moves: Vec<_> = journal.iter().map(|e| (&*e.to_state, &*e.evidence)).collect();
    assert_eq!(moves.len(), 2, "parts are no moves: {moves:?}");
    assert_eq!(moves[1], ("EXECUTED", r#"{"answer_bytes":9}"#));
}

async fn a_part_of_any_bytes_comes_back(ledger: impl Store) {
    let hold = won(&ledger, &new_claim(1)).await;
    let large: Vec<u8> = (0..=255).cycle().take(300_000).collect();
    let parts: [&[u8]; 3] = [b"", &large, b"\0"];
    let body = kept(&ledger, &hold, &parts).await;
    assert!(read(&ledger, &hold, &body).await == whole(&parts));
}

async fn the_same_number_again_replaces_the_part(ledger: impl Store) {
    let hold = won(&ledger, &new_claim(1)).await;
    keep_parts(&ledger, &hold, &[b"a", b"b"]).await;
    assert!(
        ledger.keep_part(&hold, 1, b"c".to_vec()).await.unwrap(),
        "after an answer that got lost"
    );
    let body = BodyParts { epoch: 0, count: 2, bytes: 2 };
    assert_eq!(read(&ledger, &hold, &body).await, whole(&[b"a", b"c"]));
}

async fn who_does_not_hold_the_claim_stores_no_part(ledger: impl Store) {
    let new = new_claim(1);
    let Claimed::Won(zombie) = ledger.claim(&new, 0).await.unwrap() else { panic!("not won") };
    keep_parts(&ledger, &zombie, &[b"old", b"old"]).await;
    let hold = ledger.take_over(&new.key, ClaimState::Verified, LEASE_MS).await.unwrap().unwrap();
    for number in [0, 1, 2] {
        assert!(!ledger.keep_part(&zombie, number, b"late".to_vec()).await.unwrap(), "{number}");
    }
    let body = BodyParts { epoch: 0, count: 3, bytes: 9 };
    let old = [Some(b"old".to_vec()), Some(b"old".to_vec()), None];
    assert_eq!(read(&ledger, &hold, &body).await, old, "nothing replaced, nothing forgotten");
    let stranger = Hold { key: new_claim(2).key, ..hold };
    assert!(!ledger.keep_part(&stranger, 0, b"x".to_vec()).await.unwrap(), "no such claim");
}

async fn only_a_claim_in_verified_takes_parts(ledger: impl Store) {
    use ClaimState as S;
    let hold = won(&ledger, &new_claim(1)).await;
    let body = kept(&ledger, &hold, &[b"x"]).await;
    for (from, to) in [(S::Executed, S::Settling), (S::Settling, S::Settled)] {
        assert!(!ledger.keep_part(&hold, 0, b"y".to_vec()).await.unwrap(), "{from:?}");
        assert!(!ledger.keep_part(&hold, 1, b"y".to_vec()).await.unwrap(), "{from:?}");
        step(&ledger, &hold, from, to).await;
    }
    assert!(ledger.grant(&hold, Uuid::new_v4()).await.unwrap());
    assert!(!ledger.keep_part(&hold, 0, b"y".to_vec()).await.unwrap());
    assert_eq!(read(&ledger, &hold, &body).await, whole(&[b"x"]));
}

async fn a_head_without_all_its_parts_is_not_kept(ledger: impl Store) {
    let hold = won(&ledger, &new_claim(1)).await;
    let body = keep_parts(&ledger, &hold, &[b"a", b"b"]).await;
    for wrong in [
        BodyParts { count: 3, ..body },
        BodyParts { epoch: 1, ..body },
        BodyParts { epoch: -1, ..body },
    ] {
        let refused = ledger.keep_answer(&hold, &answer(wrong), &request()).await;
        assert!(matches!(refused, Err(LedgerError::Corrupt { .. })), "{refused:?}");
        let claim = ledger.find_claim(&hold.key).await.unwrap().unwrap();
        assert_eq!(claim.state, ClaimState::Verified);
        assert_eq!(ledger.find_answer(&hold.key).await.unwrap(), None);
    }
    let zombie = Hold { token: hold.token + 1, ..hold };
    assert!(!ledger.keep_answer(&zombie, &answer(body), &request()).await.unwrap());
    assert!(ledger.keep_answer(&hold, &answer(body), &request()).await.unwrap());
}

async fn again(ledger: &impl Store, first: &Hold) -> Hold {
    won(ledger, &new_claim(first.key.0[0])).await
}

async fn the_first_part_of_a_new_run_forgets_the_parts_of_the_last_one(ledger: impl Store) {
    let first = won(&ledger, &new_claim(1)).await;
    let old = kept(&ledger, &first, &[b"old", b"old", b"old"]).await;
    step(&ledger, &first, ClaimState::Executed, ClaimState::Released).await;
    let second = again(&ledger, &first).await;
    assert_eq!(second.epoch, 1);
    let body = kept(&ledger, &second, &[b"new", b"new"]).await;
    assert_eq!(read(&ledger, &second, &body).await, whole(&[b"new", b"new"]));
    assert_eq!(read(&ledger, &second, &old).await, [None, None, None]);
    assert_eq!(ledger.find_answer(&first.key).await.unwrap(), Some(answer(body)));
}

async fn parts_are_read_for_their_own_epoch_only(ledger: impl Store) {
    let first = won(&ledger, &new_claim(1)).await;
    let old = keep_parts(&ledger, &first, &[b"old", b"old"]).await;
    step(&ledger, &first, ClaimState::Verified, ClaimState::Released).await;
    let second = again(&ledger, &first).await;
    let now = BodyParts { epoch: second.epoch, ..old };
    assert_eq!(read(&ledger, &second, &now).await, [None, None]);
    let refused = ledger.keep_answer(&second, &answer(now), &request()).await;
    assert!(refused.is_err(), "the parts are those of another run: {refused:?}");
}

async fn parts_are_forgotten_with_their_answer(ledger: impl Store) {
    let hold = won(&ledger, &new_claim(1)).await;
    let body = kept(&ledger, &hold, &[b"a", b"b", b"c"]).await;
    assert_eq!(ledger.forget_answers(0, ALL).await.unwrap(), 0, "it waits for its buyer");
    granted(&ledger, &hold).await;
    assert_eq!(ledger.forget_answers(CENTURY_MS, ALL).await.unwrap(), 0, "not that old");
    assert_eq!(read(&ledger, &hold, &body).await, whole(&[b"a", b"b", b"c"]));
    assert_eq!(ledger.forget_answers(0, ALL).await.unwrap(), 4, "a head and three parts");
    assert_eq!(ledger.find_answer(&hold.key).await.unwrap(), None);
    assert_eq!(read(&ledger, &hold, &body).await, [None, None, None]);
    assert_eq!(ledger.forget_answers(0, ALL).await.unwrap(), 0);
    let claim = ledger.find_claim(&hold.key).await.unwrap().unwrap();
    assert_eq!(claim.state, ClaimState::Granted, "the claim itself stays");
}

async fn parts_of_a_released_claim_are_forgotten_at_once(ledger: impl Store) {
    use ClaimState::{Executed, Released, Verified};
    let interrupted = won(&ledger, &new_claim(1)).await;
    let body = keep_parts(&ledger, &interrupted, &[b"a", b"b"]).await;
    step(&ledger, &interrupted, Verified, Released).await;
    let refused = won(&ledger, &new_claim(2)).await;
    kept(&ledger, &refused, &[b"a", b"b"]).await;
    step(&ledger, &refused, Executed, Released).await;
    let asked_for = won(&ledger, &new_claim(3)).await;
    keep_parts(&ledger, &asked_for, &[b"a", b"b"]).await;
    step(&ledger, &asked_for, Verified, Released).await;

    ledger.forget_parts(&asked_for.key).await.unwrap();
    assert_eq!(read(&ledger, &asked_for, &body).await, [None, None]);
    assert_eq!(read(&ledger, &interrupted, &body).await, whole(&[b"a", b"b"]));
    assert_eq!(ledger.forget_answers(CENTURY_MS, ALL).await.unwrap(), 4);
    for hold in [&interrupted, &refused] {
        assert_eq!(read(&ledger, hold, &body).await, [None, None]);
        assert_eq!(ledger.find_answer(&hold.key).await.unwrap(), None);
    }
    assert_eq!(ledger.forget_answers(0, ALL).await.unwrap(), 1, "the head that was left");
}

async fn a_claim_that_nobody_released_keeps_its_parts(ledger: impl Store) {
    use ClaimState::{Executed, Settled, Settling, Unresolved};
    let hold = won(&ledger, &new_claim(1)).await;
    let body = keep_parts(&ledger, &hold, &[b"a", b"b"]).await;
    let stays = async |state: &str| {
        ledger.forget_parts(&hold.key).await.unwrap();
        assert_eq!(ledger.forget_answers(0, ALL).await.unwrap(), 0, "{state}");
        assert_eq!(read(&ledger, &hold, &body).await, whole(&[b"a", b"b"]), "{state}");
    };
    stays("VERIFIED").await;
    assert!(ledger.keep_answer(&hold, &answer(body), &request()).await.unwrap());
    stays("EXECUTED").await;
    for (from, to) in [(Executed, Settling), (Settling, Unresolved), (Unresolved, Settled)] {
        step(&ledger, &hold, from, to).await;
        stays(to.name()).await;
    }
    assert!(ledger.grant(&hold, Uuid::new_v4()).await.unwrap());
    ledger.forget_parts(&hold.key).await.unwrap();
    assert_eq!(read(&ledger, &hold, &body).await, whole(&[b"a", b"b"]), "GRANTED");
}

async fn parts_are_forgotten_in_steps_of_the_limit(ledger: impl Store) {
    for n in 1..=3 {
        let hold = won(&ledger, &new_claim(n)).await;
        kept(&ledger, &hold, &[b"a", b"b", b"c", b"d"]).await;
        granted(&ledger, &hold).await;
    }
    let body = BodyParts { epoch: 0, count: 4, bytes: 4 };
    let mut steps = Vec::new();
    loop {
        let forgotten = ledger.forget_answers(0, 2).await.unwrap();
        // Whoever still has a head has all of its parts.
        for n in 1..=3 {
            let key = new_claim(n).key;
            let whole = ledger.find_answer(&key).await.unwrap() == Some(answer(body));
            let last = ledger.find_part(&key, &body, 3).await.unwrap();
            assert!(!whole || last.is_some());
        }
        steps.push(forgotten);
        if forgotten < 2 {
            break;
        }
    }
    assert_eq!(steps.iter().sum::<u64>(), 15, "{steps:?}");
    assert_eq!(steps, [4, 3, 2, 2, 2, 2, 0], "two heads and two parts at most");
}
