//! The ledger fails at every call of a flow, one after the other. Whatever fails: no answer without
//! a grant on disk, no fresh challenge after settle was asked, at most one grant, and the buyer
//! gets what it paid for by sending the same header again. No fault makes the resource run twice
//! once it has answered and that is known to be on disk.

use std::sync::Arc;
use std::time::Duration;

use faregate_ledger::{ClaimState, ClaimStore};
use faregate_protocol::FacilitatorError;

use crate::abandoned::left_in;
use crate::faulty_ledger::{FaultyLedger, When};
use crate::payment::{fresh, key};
use crate::scripted_facilitator::{Outcome, Verdict};
use crate::world::{SECRET, Seen, World, answering, config, on_both_stores, priced_route};

on_both_stores! {
    a_flow_survives_a_fault_at_every_call
    a_ledger_that_stays_away_sells_nothing
    a_paid_request_is_one_read_and_five_writes
    a_repeat_is_two_reads
    a_grant_whose_reply_is_lost_is_answered_at_the_next_try
    an_answer_that_cannot_be_read_is_neither_lost_nor_made_again
}

/// What the first question to settle is answered, and how often the resource may run: once, once
/// more if keeping its answer fails, and once more if nothing was taken up.
const FIRST: [(fn() -> Outcome, usize); 3] = [
    (|| Outcome::Paid, 2),
    (|| Outcome::Fail(FacilitatorError::TimedOut), 2),
    (|| Outcome::Fail(FacilitatorError::Unavailable("x")), 3),
];

async fn a_flow_survives_a_fault_at_every_call(store: Arc<dyn ClaimStore>) {
    for when in [When::Before, When::After] {
        for (i, (first, runs)) in FIRST.into_iter().enumerate() {
            let mut calls = usize::MAX;
            let mut from = 0;
            while from < calls {
                let faulty = Arc::new(FaultyLedger::new(Arc::clone(&store), when, from, 1));
                let case = format!("{when:?} {from} of {i}");
                survive(Arc::clone(&faulty), &store, (first(), runs), &case).await;
                calls = faulty.calls();
                from += 1;
            }
        }
    }
}

async fn a_ledger_that_stays_away_sells_nothing(store: Arc<dyn ClaimStore>) {
    for when in [When::Before, When::After] {
        for from in 0..6 {
            let faulty = FaultyLedger::new(Arc::clone(&store), when, from, usize::MAX);
            let world =
                World::with(Arc::new(faulty), config(vec![priced_route()]), answering(SECRET));
            let payment = fresh();
            let seen = world.pay("/weather", &payment).await;
            // Look up, claim, EXECUTED, SETTLING: nothing is asked before the fourth is known to be
            // on disk, nor without its answer.
            let sent = !world.facilitator.settled().is_empty();
            assert_eq!(sent, from >= 4, "{when:?} {from}");
            let code = if sent { "settlement_pending" } else { "ledger_unavailable" };
            seen.expect_refusal(503, code);
            assert!(!seen.header("retry-after").is_empty());
            assert_eq!(seen.receipt().is_some(), sent);
        }
    }
}

/// Calls before the grant: look up, claim, EXECUTED, SETTLING, SETTLED.
const GRANT: usize = 5;

async fn a_paid_request_is_one_read_and_five_writes(store: Arc<dyn ClaimStore>) {
    let counting = Arc::new(FaultyLedger::new(store, When::Before, usize::MAX, 0));
    let asked: Arc<dyn ClaimStore> = counting.clone();
    let world = World::with(asked, config(vec![priced_route()]), answering(SECRET));
    assert_eq!(world.get("/weather").await.status, 402);
    assert_eq!(counting.calls(), 0);
    world.facilitator.will_say(Verdict::Invalid("x".to_owned()));
    assert_eq!(world.pay("/weather", &fresh()).await.status, 402);
    // Before the verification and after it, which went against the payment.
    assert_eq!(counting.calls(), 2);
    assert_eq!(world.pay("/weather", &fresh()).await.status, 200);
    assert_eq!(counting.calls(), 2 + GRANT + 1);
}

async fn a_repeat_is_two_reads(store: Arc<dyn ClaimStore>) {
    let counting = Arc::new(FaultyLedger::new(store, When::Before, usize::MAX, 0));
    let asked: Arc<dyn ClaimStore> = counting.clone();
    let world = World::with(asked, config(vec![priced_route()]), answering(SECRET));
    let payment = fresh();
    assert_eq!(world.pay("/weather", &payment).await.status, 200);
    let (calls, journal) = (counting.calls(), world.store.journal(&key(&payment)).await.unwrap());
    assert_eq!(world.pay("/weather", &payment).await.status, 200);
    assert_eq!(counting.calls(), calls + 2);
    assert_eq!(world.store.journal(&key(&payment)).await.unwrap(), journal, "nothing is written");
}

async fn a_grant_whose_reply_is_lost_is_answered_at_the_next_try(store: Arc<dyn ClaimStore>) {
    for when in [When::Before, When::After] {
        let faulty = FaultyLedger::new(Arc::clone(&store), when, GRANT, 1);
        let world = World::with(Arc::new(faulty), config(vec![priced_route()]), answering(SECRET));
        let payment = fresh();
        let seen = world.pay("/weather", &payment).await;
        seen.expect_refusal(503, "settlement_pending");
        let claim = store.find_claim(&key(&payment)).await.unwrap().unwrap();
        let stored = if when == When::After { ClaimState::Granted } else { ClaimState::Settled };
        assert_eq!(claim.state, stored);
        world.until_unheld(&key(&payment)).await;
        let seen = world.pay("/weather", &payment).await;
        assert_eq!((seen.status.as_u16(), &seen.body[..]), (200, SECRET.as_bytes()));
        assert!(seen.receipt().unwrap().success);
        assert_eq!(world.grants(&key(&payment)).await, 1);
        assert_eq!((world.runs(), world.facilitator.settled().len()), (1, 1));
    }
}

async fn an_answer_that_cannot_be_read_is_neither_lost_nor_made_again(store: Arc<dyn ClaimStore>) {
    let world = World::new(Arc::clone(&store));
    let states = [ClaimState::Executed, ClaimState::Unresolved, ClaimState::Settled];
    for state in states.map(Some).into_iter().chain([None]) {
        let payment = fresh();
        match state {
            Some(state) => {
                left_in(&world, &payment, state).await;
            }
            None => assert_eq!(world.pay("/weather", &payment).await.status, 200),
        }
        let (runs, grants) = (world.runs(), world.grants(&key(&payment)).await);
        let blind = FaultyLedger::blind(Arc::clone(&store));
        let blind = World::with(Arc::new(blind), config(vec![priced_route()]), answering(SECRET));
        let seen = blind.pay("/weather", &payment).await;
        let was_asked = state != Some(ClaimState::Executed);
        let code = if was_asked { "settlement_pending" } else { "ledger_unavailable" };
        seen.expect_refusal(503, code);
        assert_eq!((blind.runs(), blind.facilitator.settled().len()), (0, 0), "{state:?}");
        assert_eq!(world.grants(&key(&payment)).await, grants);
        world.until_unheld(&key(&payment)).await;
        let seen = world.pay("/weather", &payment).await;
        assert!(seen.is_granted(), "{state:?}: {seen:?}");
        assert_eq!((world.runs(), world.grants(&key(&payment)).await), (runs, 1));
    }
}

async fn survive(
    faulty: Arc<FaultyLedger>,
    store: &Arc<dyn ClaimStore>,
    (first, runs): (Outcome, usize),
    case: &str,
) {
    let mut config = config(vec![priced_route()]);
    config.lease_ms = 300;
    let world = World::with(faulty, config, answering(SECRET));
    world.facilitator.will_settle(first);
    let payment = fresh();
    let mut bought: Option<Seen> = None;
    for attempt in 0..40 {
        let seen = world.pay("/weather", &payment).await;
        let state = store.find_claim(&key(&payment)).await.unwrap().map(|claim| claim.state);
        if let Some(bought) = bought.as_ref().filter(|_| seen.status != 503) {
            assert_eq!(seen.answer(), bought.answer(), "{case}: another answer");
            return;
        }
        if seen.is_granted() {
            assert_eq!(seen.status, 200);
            assert_eq!(state, Some(ClaimState::Granted), "{case}: an answer without a grant");
            assert_eq!(world.grants(&key(&payment)).await, 1, "{case}");
            // Only what was not known to be kept, or was given back, is made again.
            assert!(world.runs() <= runs, "{case}: {} runs", world.runs());
            bought = Some(seen);
            continue;
        }
        assert_ne!(seen.status, 200, "{case}");
        assert_ne!(seen.status, 402, "{case}: told to pay again at attempt {attempt}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    panic!("{case}: never served");
}
