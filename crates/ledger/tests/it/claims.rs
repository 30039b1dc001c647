//! The gate's side.

use faregate_ledger::{
    ClaimMove, ClaimState, ClaimStore, Claimed, Hold, LedgerError, StoredAnswer,
};
use serde_json::json;
use uuid::Uuid;

use crate::samples::{LEASE_MS, new_claim, request};
use crate::stores::{Store, on_every_store};

on_every_store! {
    a_handler_is_marked_once_for_all_epochs,
    u1_of_64_racing_claims_one_wins,
    u2_a_claim_is_granted_once,
    nothing_is_granted_before_it_is_settled,
    a_released_key_is_claimed_again_only_for_the_same_request_and_payload,
    a_hold_is_taken_over_only_after_its_lease,
    abandoned_claims_are_listed,
    every_move_is_in_the_journal,
    of_16_racing_grants_one_is_given,
    a_settle_id_belongs_to_one_claim,
    a_grant_id_belongs_to_one_claim,
    a_lease_that_ran_out_is_not_renewed_but_taken_over,
    text_of_others_is_stored_whatever_it_is,
    an_answer_is_kept_with_the_move_and_comes_back_byte_for_byte,
    a_second_run_replaces_the_kept_answer,
    kept_answers_are_forgotten_when_nothing_can_move_any_more,
}

async fn won(ledger: &impl ClaimStore, n: u8) -> Hold {
    match ledger.claim(&new_claim(n), LEASE_MS).await.unwrap() {
        Claimed::Won(hold) => hold,
        Claimed::Exists(claim) => panic!("already claimed: {claim:?}"),
    }
}

async fn step(ledger: &impl ClaimStore, hold: &Hold, from: ClaimState, to: ClaimState) -> bool {
    let step = ClaimMove { from, to, transaction: None, evidence: json!({}) };
    ledger.move_claim(hold, step).await.unwrap()
}

async fn settled(ledger: &impl ClaimStore, n: u8) -> Hold {
    use ClaimState as S;
    let hold = won(ledger, n).await;
    for (from, to) in
        [(S::Verified, S::Executed), (S::Executed, S::Settling), (S::Settling, S::Settled)]
    {
        assert!(step(ledger, &hold, from, to).await);
    }
    hold
}

async fn u1_of_64_racing_claims_one_wins(ledger: impl Store) {
    let racers: Vec<_> = (0..64)
        .map(|_| {
            let ledger = ledger.clone();
            tokio::spawn(async move { ledger.claim(&new_claim(1), LEASE_MS).await.unwrap() })
        })
        .collect();
    let mut winners = 0;
    for racer in racers {
        if matches!(racer.await.unwrap(), Claimed::Won(_)) {
            winners += 1;
        }
    }
    assert_eq!(winners, 1);
}

async fn u2_a_claim_is_granted_once(ledger: impl Store) {
    let hold = settled(&ledger, 1).await;
    assert!(ledger.grant(&hold, Uuid::new_v4()).await.unwrap());
    assert!(!ledger.grant(&hold, Uuid::new_v4()).await.unwrap());
    let claim = ledger.find_claim(&hold.key).await.unwrap().unwrap();
    assert_eq!(claim.state, ClaimState::Granted);
}

async fn nothing_is_granted_before_it_is_settled(ledger: impl Store) {
    let hold = won(&ledger, 1).await;
    assert!(!ledger.grant(&hold, Uuid::new_v4()).await.unwrap());
    let step = ClaimMove {
        from: ClaimState::Settled,
        to: ClaimState::Granted,
        transaction: None,
        evidence: json!({}),
    };
    let refused = ledger.move_claim(&hold, step).await;
    assert!(matches!(refused, Err(LedgerError::IllegalMove { .. })), "{refused:?}");
}

async fn a_released_key_is_claimed_again_only_for_the_same_request_and_payload(ledger: impl Store) {
    let hold = won(&ledger, 1).await;
    assert!(step(&ledger, &hold, ClaimState::Verified, ClaimState::Released).await);
    for change in 0..3 {
        let mut other = new_claim(1);
        [&mut other.request_fp, &mut other.payload_hash, &mut other.requirements_hash][change]
            [0] ^= 1;
        assert!(matches!(ledger.claim(&other, LEASE_MS).await.unwrap(), Claimed::Exists(_)));
    }
    let mut again = new_claim(1);
    again.settle_id = Uuid::new_v4();
    let Claimed::Won(second) = ledger.claim(&again, LEASE_MS).await.unwrap() else {
        panic!("not claimed again");
    };
    assert_eq!((second.epoch, second.token), (hold.epoch + 1, hold.token + 1));
    assert_eq!(second.settle_id, hold.settle_id, "the settle id stays");
    assert!(!step(&ledger, &hold, ClaimState::Verified, ClaimState::Executed).await, "a zombie");
}

async fn a_hold_is_taken_over_only_after_its_lease(ledger: impl Store) {
    let hold = settled(&ledger, 1).await;
    let take = || ledger.take_over(&hold.key, ClaimState::Settled, LEASE_MS);
    assert_eq!(take().await.unwrap(), None, "still held");
    ledger.let_go(&hold).await.unwrap();
    let next = take().await.unwrap().expect("nobody holds it");
    assert_eq!(take().await.unwrap(), None, "held again");
    assert_eq!(next.epoch, hold.epoch + 1, "the handler runs again");
    assert!(!ledger.renew(&hold, LEASE_MS).await.unwrap());
    assert!(!ledger.grant(&hold, Uuid::new_v4()).await.unwrap(), "the zombie grants nothing");
    assert!(ledger.grant(&next, Uuid::new_v4()).await.unwrap());
}

async fn abandoned_claims_are_listed(ledger: impl Store) {
    let hold = won(&ledger, 1).await;
    let states = [ClaimState::Verified, ClaimState::Settling];
    assert!(ledger.unheld_claims(&states, 10).await.unwrap().is_empty());
    ledger.let_go(&hold).await.unwrap();
    let found = ledger.unheld_claims(&states, 10).await.unwrap();
    assert_eq!(found.iter().map(|c| c.new.key).collect::<Vec<_>>(), [hold.key]);
    assert!(ledger.unheld_claims(&[ClaimState::Settled], 10).await.unwrap().is_empty());
}

async fn every_move_is_in_the_journal(ledger: impl Store) {
    let hold = settled(&ledger, 1).await;
    ledger.grant(&hold, Uuid::new_v4()).await.unwrap();
    let states: Vec<_> =
        ledger.journal(&hold.key).await.unwrap().into_iter().map(|e| e.to_state).collect();
    assert_eq!(states, ["VERIFIED", "EXECUTED", "SETTLING", "SETTLED", "GRANTED"]);
}

async fn of_16_racing_grants_one_is_given(ledger: impl Store) {
    let hold = settled(&ledger, 1).await;
    let racers: Vec<_> = (0..16)
        .map(|_| {
            let ledger = ledger.clone();
            tokio::spawn(async move { ledger.grant(&hold, Uuid::new_v4()).await.unwrap() })
        })
        .collect();
    let mut granted = 0;
    for racer in racers {
        granted += u32::from(racer.await.unwrap());
    }
    assert_eq!(granted, 1);
}

async fn a_settle_id_belongs_to_one_claim(ledger: impl Store) {
    let hold = won(&ledger, 1).await;
    let mut other = new_claim(2);
    other.settle_id = hold.settle_id;
    let refused = ledger.claim(&other, LEASE_MS).await;
    assert!(matches!(refused, Err(LedgerError::Unavailable { .. })), "{refused:?}");
    assert_eq!(ledger.find_claim(&other.key).await.unwrap(), None);
}

async fn a_grant_id_belongs_to_one_claim(ledger: impl Store) {
    let (one, two) = (settled(&ledger, 1).await, settled(&ledger, 2).await);
    let id = Uuid::new_v4();
    assert!(ledger.grant(&one, id).await.unwrap());
    assert!(ledger.grant(&two, id).await.is_err());
    let claim = ledger.find_claim(&two.key).await.unwrap().unwrap();
    assert_eq!(claim.state, ClaimState::Settled);
    assert!(ledger.grant(&two, Uuid::new_v4()).await.unwrap());
}

async fn a_lease_that_ran_out_is_not_renewed_but_taken_over(ledger: impl Store) {
    let Claimed::Won(hold) = ledger.claim(&new_claim(1), 0).await.unwrap() else {
        panic!("not won")
    };
    assert!(!ledger.find_claim(&hold.key).await.unwrap().unwrap().held);
    assert!(!ledger.renew(&hold, LEASE_MS).await.unwrap());
    let next = ledger.take_over(&hold.key, ClaimState::Verified, LEASE_MS).await.unwrap().unwrap();
    assert_eq!((next.token, next.epoch), (hold.token + 1, hold.epoch), "nothing runs again");
    assert!(!step(&ledger, &hold, ClaimState::Verified, ClaimState::Executed).await, "a zombie");
    ledger.let_go(&hold).await.unwrap();
    assert!(ledger.find_claim(&hold.key).await.unwrap().unwrap().held, "that was not its own");
    assert!(ledger.renew(&next, LEASE_MS).await.unwrap());
}

/// A facilitator elsewhere may answer anything as a transaction; the outcome must be stored.
async fn text_of_others_is_stored_whatever_it_is(ledger: impl Store) {
    use ClaimState as S;
    let hold = won(&ledger, 1).await;
    assert!(step(&ledger, &hold, S::Verified, S::Settling).await);
    let answer = ClaimMove {
        from: S::Settling,
        to: S::Settled,
        transaction: Some("0x\u{0}\u{1f4b8}'; --".into()),
        evidence: json!({"said": "\u{0}"}),
    };
    assert!(ledger.move_claim(&hold, answer).await.unwrap());
    let claim = ledger.find_claim(&hold.key).await.unwrap().unwrap();
    assert_eq!(claim.state, S::Settled);
    assert!(claim.transaction.ends_with("\u{1f4b8}'; --"), "{:?}", claim.transaction);
}

fn answer(text: &str) -> StoredAnswer {
    StoredAnswer {
        status: 200,
        headers: vec![("x-odd".into(), vec![0xff]), ("content-type".into(), b"text/plain".into())],
        body: text.as_bytes().to_vec().into(),
    }
}

async fn an_answer_is_kept_with_the_move_and_comes_back_byte_for_byte(ledger: impl Store) {
    let hold = won(&ledger, 1).await;
    assert_eq!(ledger.find_answer(&hold.key).await.unwrap(), None);
    assert!(ledger.keep_answer(&hold, &answer("sunny"), &request()).await.unwrap());
    let claim = ledger.find_claim(&hold.key).await.unwrap().unwrap();
    assert_eq!(claim.state, ClaimState::Executed);
    assert_eq!(ledger.find_answer(&hold.key).await.unwrap(), Some(answer("sunny")));
    assert_eq!(ledger.find_request(&hold.key).await.unwrap(), Some(request()));
    assert!(!ledger.keep_answer(&hold, &answer("rain"), &request()).await.unwrap(), "not VERIFIED");
    let zombie = Hold { token: hold.token + 1, ..hold };
    assert!(!ledger.keep_answer(&zombie, &answer("rain"), &request()).await.unwrap());
    assert_eq!(ledger.find_answer(&hold.key).await.unwrap(), Some(answer("sunny")));
}

async fn a_second_run_replaces_the_kept_answer(ledger: impl Store) {
    let first = won(&ledger, 1).await;
    assert!(ledger.keep_answer(&first, &answer("old"), &request()).await.unwrap());
    assert!(step(&ledger, &first, ClaimState::Executed, ClaimState::Released).await);
    let mut again = new_claim(1);
    again.settle_id = first.settle_id;
    let Claimed::Won(second) = ledger.claim(&again, LEASE_MS).await.unwrap() else {
        panic!("not claimed again")
    };
    assert!(ledger.keep_answer(&second, &answer("new"), &request()).await.unwrap());
    assert_eq!(ledger.find_answer(&first.key).await.unwrap(), Some(answer("new")));
}

async fn kept_answers_are_forgotten_when_nothing_can_move_any_more(ledger: impl Store) {
    use ClaimState as S;
    let hold = won(&ledger, 1).await;
    assert!(ledger.keep_answer(&hold, &answer("x"), &request()).await.unwrap());
    for (from, to) in [(S::Executed, S::Settling), (S::Settling, S::Settled)] {
        assert!(step(&ledger, &hold, from, to).await);
    }
    assert_eq!(ledger.forget_answers(0, 10).await.unwrap(), 0, "it is owed");
    assert!(ledger.grant(&hold, Uuid::new_v4()).await.unwrap());
    let century_ms = 100 * 365 * 24 * 3600 * 1000;
    assert_eq!(ledger.forget_answers(century_ms, 10).await.unwrap(), 0, "not that old");
    assert_eq!(ledger.forget_answers(0, 10).await.unwrap(), 1);
    assert_eq!(ledger.find_answer(&hold.key).await.unwrap(), None);
    let claim = ledger.find_claim(&hold.key).await.unwrap().unwrap();
    assert_eq!(claim.state, S::Granted, "the claim itself stays");
}

async fn a_handler_is_marked_once_for_all_epochs(ledger: impl Store) {
    let new = new_claim(1);
    let Claimed::Won(hold) = ledger.claim(&new, 0).await.unwrap() else { panic!() };
    let find = async || ledger.find_claim(&new.key).await.unwrap().unwrap();
    assert!(!find().await.handler_started);
    assert_eq!(ledger.start_handler(&hold).await.unwrap(), Some(true));
    assert_eq!(ledger.start_handler(&hold).await.unwrap(), Some(false));
    assert!(find().await.handler_started);
    let taken = ledger.take_over(&new.key, ClaimState::Verified, LEASE_MS).await.unwrap().unwrap();
    assert_eq!(ledger.start_handler(&hold).await.unwrap(), None, "a zombie starts nothing");
    let (from, to) = (ClaimState::Verified, ClaimState::Released);
    let step = ClaimMove { from, to, transaction: None, evidence: json!({}) };
    assert!(ledger.move_claim(&taken, step).await.unwrap());
    assert_eq!(ledger.start_handler(&taken).await.unwrap(), None, "not VERIFIED");
    let Claimed::Won(again) = ledger.claim(&new, LEASE_MS).await.unwrap() else { panic!() };
    assert_eq!(again.epoch, 1);
    assert_eq!(ledger.start_handler(&again).await.unwrap(), Some(false));
    let marks = ledger.journal(&new.key).await.unwrap();
    let marks = marks.iter().filter(|entry| entry.evidence.contains("handler_started"));
    assert_eq!(marks.count(), 1);
}
