//! The ledger fails at every call of a flow, one after the other. Whatever fails: no answer without
//! a grant on disk, no fresh challenge after settle was asked, at most one grant, and the buyer
//! gets what it paid for by sending the same header again.

use std::sync::Arc;
use std::time::Duration;

use faregate_ledger::{ClaimState, ClaimStore};
use faregate_protocol::FacilitatorError;

use crate::faulty_ledger::{FaultyLedger, When};
use crate::payment::{fresh, key};
use crate::scripted_facilitator::Outcome;
use crate::world::{SECRET, World, answering, config, on_both_stores, priced_route};

on_both_stores! {
    a_flow_survives_a_fault_at_every_call
    a_ledger_that_stays_away_sells_nothing
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
        // The grant was stored and its answer lost: the one loss that cannot be repaired before
        // answers are stored. It is never hidden.
        if state == Some(ClaimState::Granted) {
            world.pay("/weather", &payment).await.expect_refusal(409, "payment_already_used");
            return;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    panic!("{case}: never served");
}
