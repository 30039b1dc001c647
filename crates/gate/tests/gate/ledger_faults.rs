//! The ledger fails at every call of a flow, one after the other. Whatever fails: no answer without
//! a grant on disk, no fresh challenge after settle was asked, at most one grant, and the buyer
//! gets what it paid for by sending the same header again.

use std::sync::Arc;
use std::time::Duration;

use faregate_ledger::{ClaimState, ClaimStore};
use faregate_protocol::FacilitatorError;

use crate::faulty_ledger::{FaultyLedger, When};
use crate::payment::{fresh, key};
use crate::scripted_facilitator::{Outcome, Verdict};
use crate::world::{SECRET, World, answering, config, on_both_stores, priced_route};

on_both_stores! {
    a_flow_survives_a_fault_at_every_call
    a_ledger_that_stays_away_sells_nothing
    a_paid_request_is_one_read_and_five_writes
    a_grant_whose_reply_is_lost_is_answered
    a_grant_that_cannot_be_read_is_not_answered
}

/// What the first question to settle is answered.
const FIRST: [fn() -> Outcome; 3] = [
    || Outcome::Paid,
    || Outcome::Fail(FacilitatorError::TimedOut),
    || Outcome::Fail(FacilitatorError::Unavailable("x")),
];

async fn a_flow_survives_a_fault_at_every_call(store: Arc<dyn ClaimStore>) {
    for when in [When::Before, When::After] {
        for first in FIRST {
            let mut calls = usize::MAX;
            let mut from = 0;
            while from < calls {
                let faulty = Arc::new(FaultyLedger::new(Arc::clone(&store), when, from, 1));
                survive(Arc::clone(&faulty), &store, first(), &format!("{when:?} {from}")).await;
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
            // on disk.
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
    assert_eq!(counting.calls(), 1);
    assert_eq!(world.pay("/weather", &fresh()).await.status, 200);
    assert_eq!(counting.calls(), 1 + GRANT + 1);
}

async fn a_grant_whose_reply_is_lost_is_answered(store: Arc<dyn ClaimStore>) {
    // The grant fails; then also the look at what became of it.
    let whens = [When::Before, When::After];
    for (when, failing) in whens.into_iter().flat_map(|when| [1, 2].map(|n| (when, n))) {
        let faulty = FaultyLedger::new(Arc::clone(&store), when, GRANT, failing);
        let world = World::with(Arc::new(faulty), config(vec![priced_route()]), answering(SECRET));
        let payment = fresh();
        let seen = world.pay("/weather", &payment).await;
        assert_eq!(seen.status, 200, "{when:?} {failing}: {seen:?}");
        assert!(seen.is_granted() && seen.receipt().unwrap().success);
        assert_eq!(world.grants(&key(&payment)).await, 1);
        assert_eq!((world.runs(), world.facilitator.settled().len()), (1, 1));
        world.pay("/weather", &payment).await.expect_refusal(409, "payment_already_used");
    }
}

async fn a_grant_that_cannot_be_read_is_not_answered(store: Arc<dyn ClaimStore>) {
    for when in [When::Before, When::After] {
        let faulty = FaultyLedger::new(Arc::clone(&store), when, GRANT, usize::MAX);
        let world = World::with(Arc::new(faulty), config(vec![priced_route()]), answering(SECRET));
        let payment = fresh();
        let seen = world.pay("/weather", &payment).await;
        seen.expect_refusal(503, "settlement_pending");
        let claim = store.find_claim(&key(&payment)).await.unwrap().unwrap();
        let stored = if when == When::After { ClaimState::Granted } else { ClaimState::Settled };
        assert_eq!(claim.state, stored);
    }
}

async fn survive(
    faulty: Arc<FaultyLedger>,
    store: &Arc<dyn ClaimStore>,
    first: Outcome,
    case: &str,
) {
    let mut config = config(vec![priced_route()]);
    config.lease_ms = 300;
    let world = World::with(faulty, config, answering(SECRET));
    world.facilitator.will_settle(first);
    let payment = fresh();
    for attempt in 0..40 {
        let seen = world.pay("/weather", &payment).await;
        let claim = store.find_claim(&key(&payment)).await.unwrap();
        let state = claim.as_ref().map(|claim| claim.state);
        if seen.is_granted() {
            assert_eq!(seen.status, 200);
            assert_eq!(state, Some(ClaimState::Granted), "{case}: an answer without a grant");
            return;
        }
        assert_ne!(seen.status, 200, "{case}");
        assert_ne!(seen.status, 402, "{case}: told to pay again at attempt {attempt}");
        assert_ne!(state, Some(ClaimState::Granted), "{case}: a grant without its answer");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    panic!("{case}: never served");
}
