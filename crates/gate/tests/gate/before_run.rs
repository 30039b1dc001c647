//! The money moves before the handler runs: an answer for everybody who paid, once, or a debt of
//! the payee.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use faregate_gate::{GateBody, GateConfig, Route, SettleMode};
use faregate_ledger::{ClaimMove, ClaimState, Claimed, DeferredStore, Hold};
use faregate_protocol::{FacilitatorError, Reason};
use http::Response;
use serde_json::{Value, json};

use crate::faulty_ledger::{FaultyLedger, When};
use crate::payment::{fresh, key, requirements};
use crate::scripted_facilitator::{Outcome, TRANSACTION};
use crate::world::{
    Resource, SECRET, Seen, World, answering, config, on_both_stores, priced_route,
};

on_both_stores! {
    the_money_moves_before_anything_runs
    without_the_money_nothing_runs
    a_handler_that_fails_leaves_a_debt_and_is_not_run_again
    a_handler_that_breaks_off_leaves_a_debt
    what_was_interrupted_runs_again_or_is_owed
    the_sweeper_owes_what_must_not_run_again
    an_answer_that_was_kept_is_granted_without_another_run
    whatever_call_of_the_ledger_fails_the_payment_is_charged_and_served_once
    where_nothing_may_run_twice_a_fault_runs_it_once_at_most
}

/// The challenge says so, so the payment accepts it.
fn upfront() -> Value {
    let mut payment = fresh();
    payment["accepted"]["extra"]["paymentFlow"] = json!("upfront");
    payment
}

fn route(rerun: bool) -> Route {
    Route { settle: SettleMode::BeforeRun, rerun, ..priced_route() }
}

fn first(rerun: bool) -> GateConfig {
    config(vec![route(rerun)])
}

fn failing(status: u16) -> Resource {
    Arc::new(move |_| {
        Box::pin(async move {
            Response::builder().status(status).body(GateBody::full("own words")).unwrap()
        })
    })
}

async fn the_money_moves_before_anything_runs(store: Arc<dyn DeferredStore>) {
    let runs = Arc::new(AtomicUsize::new(0));
    let seen = Arc::clone(&store);
    let payment = upfront();
    let paid_for = key(&payment);
    let resource: Resource = Arc::new(move |_| {
        let (store, runs) = (Arc::clone(&seen), Arc::clone(&runs));
        Box::pin(async move {
            let claim = store.find_claim(&paid_for).await.unwrap().unwrap();
            assert_eq!(claim.state, ClaimState::Executing);
            assert_eq!(claim.transaction, TRANSACTION);
            runs.fetch_add(1, Ordering::SeqCst);
            Response::new(GateBody::full(SECRET))
        })
    });
    let world = World::with(store, first(true), resource);
    let challenge = world.get("/weather").await.challenge().unwrap();
    let flow = challenge.accepts[0].extra.as_ref().unwrap().get("paymentFlow");
    assert_eq!(flow, Some(&json!("upfront")));
    let bought = world.pay("/weather", &payment).await;
    assert!(bought.is_granted(), "{bought:?}");
    assert!(bought.receipt().unwrap().success);
    let journal = world.store.journal(&paid_for).await.unwrap();
    let moves: Vec<_> = journal.iter().map(|entry| entry.to_state.as_str()).collect();
    assert_eq!(moves, ["VERIFIED", "SETTLING", "SETTLED", "EXECUTING", "ANSWERED", "GRANTED"]);
    assert_eq!(world.pay("/weather", &payment).await.answer(), bought.answer());
    assert_eq!((world.runs(), world.facilitator.settled().len()), (1, 1));
}

async fn without_the_money_nothing_runs(store: Arc<dyn DeferredStore>) {
    let world = World::with(store, first(false), answering(SECRET));
    for (outcome, status, code, state) in [
        (Outcome::Refused("x".to_owned()), 402, "x", ClaimState::Released),
        (
            Outcome::RefusedWith(Reason::PaymentNotCharged, ""),
            402,
            "payment_not_charged",
            ClaimState::NotCharged,
        ),
        (
            Outcome::Fail(FacilitatorError::Unavailable("x")),
            503,
            "facilitator_unavailable",
            ClaimState::Released,
        ),
        (Outcome::Hang, 503, "settlement_pending", ClaimState::Unresolved),
    ] {
        let payment = upfront();
        world.facilitator.will_settle(outcome);
        world.pay("/weather", &payment).await.expect_refusal(status, code);
        assert_eq!(world.state(&key(&payment)).await, Some(state));
        assert_eq!(world.runs(), 0);
        world.until_unheld(&key(&payment)).await;
        if state != ClaimState::NotCharged {
            // The same payment is asked for again, and then served.
            assert!(world.pay("/weather", &payment).await.is_granted());
            assert_eq!(world.runs(), 1);
            return_runs(&world);
        }
    }
}

fn return_runs(world: &World) {
    world.runs.store(0, Ordering::SeqCst);
}

async fn a_handler_that_fails_leaves_a_debt_and_is_not_run_again(store: Arc<dyn DeferredStore>) {
    for (rerun, status) in [(true, 500), (false, 503), (true, 404)] {
        let world = World::with(store.clone(), first(rerun), failing(status));
        let payment = upfront();
        let seen = world.pay("/weather", &payment).await;
        assert_eq!((seen.status.as_u16(), &seen.body[..]), (status, &b"own words"[..]));
        let receipt = seen.receipt().unwrap();
        assert!(receipt.success && receipt.transaction == TRANSACTION, "it says not to pay again");
        assert_eq!(world.state(&key(&payment)).await, Some(ClaimState::Credit));
        let debt = store.find_debt(&key(&payment)).await.unwrap().unwrap();
        assert_eq!((debt.reason.as_str(), debt.closed_unix_ms), ("handler_failed", None));
        for _ in 0..2 {
            let again = world.pay("/weather", &payment).await;
            again.expect_refusal(409, "payment_owed");
            assert_eq!(again.json()["transaction"], TRANSACTION);
        }
        assert_eq!((world.runs(), world.facilitator.settled().len()), (1, 1));
    }
}

async fn a_handler_that_breaks_off_leaves_a_debt(store: Arc<dyn DeferredStore>) {
    let hanging: Resource = Arc::new(|_| Box::pin(std::future::pending()));
    let breaking: Resource = Arc::new(|_| Box::pin(async { panic!("scripted") }));
    for (resource, why) in [(hanging, "upstream_timed_out"), (breaking, "internal_error")] {
        let mut config = first(true);
        config.routes[0].upstream_timeout = Duration::from_millis(100);
        let world = World::with(store.clone(), config, resource);
        let payment = upfront();
        let seen = world.pay("/weather", &payment).await;
        seen.expect_refusal(409, "payment_owed");
        assert!(seen.receipt().unwrap().success, "the money moved");
        let debt = store.find_debt(&key(&payment)).await.unwrap().unwrap();
        assert_eq!(debt.reason, why);
        world.pay("/weather", &payment).await.expect_refusal(409, "payment_owed");
        assert_eq!(world.runs(), 1);
    }
}

/// A process died in `state` with a payment that it had settled.
async fn died_in(world: &World, payment: &Value, state: ClaimState) {
    use ClaimState as S;
    let step = async |hold: &Hold, from, to| {
        let transaction = Some(TRANSACTION.to_owned());
        let step = ClaimMove { from, to, transaction, evidence: json!({}) };
        assert!(world.store.move_claim(hold, step).await.unwrap());
    };
    // The claim as a gate makes it, from one that was refused before anything ran.
    world.facilitator.will_settle(Outcome::Refused("x".to_owned()));
    world.pay("/weather", payment).await;
    let claim = world.store.find_claim(&key(payment)).await.unwrap().unwrap();
    let Claimed::Won(hold) = world.store.claim(&claim.new, 60_000).await.unwrap() else {
        panic!("not claimed again")
    };
    step(&hold, S::Verified, S::Settling).await;
    step(&hold, S::Settling, S::Settled).await;
    if state == S::Executing {
        step(&hold, S::Settled, S::Executing).await;
    }
    world.store.let_go(&hold).await.unwrap();
    assert_eq!(world.runs(), 0);
}

async fn what_was_interrupted_runs_again_or_is_owed(store: Arc<dyn DeferredStore>) {
    use ClaimState::{Executing, Settled};
    for (rerun, state, runs) in
        [(true, Settled, 1), (false, Settled, 1), (true, Executing, 1), (false, Executing, 0)]
    {
        let world = World::with(store.clone(), first(rerun), answering(SECRET));
        let payment = upfront();
        died_in(&world, &payment, state).await;
        let asked = world.facilitator.settled().len();
        let seen = world.pay("/weather", &payment).await;
        if runs == 0 {
            seen.expect_refusal(409, "payment_owed");
            let debt = store.find_debt(&key(&payment)).await.unwrap().unwrap();
            assert_eq!(debt.reason, "handler_interrupted");
        } else {
            assert!(seen.is_granted(), "{rerun} {state:?}: {seen:?}");
            assert!(seen.receipt().unwrap().success);
            assert_eq!(world.grants(&key(&payment)).await, 1);
        }
        assert_eq!(world.runs(), runs, "{rerun} {state:?}");
        assert_eq!(world.facilitator.settled().len(), asked, "nothing is charged again");
    }
}

async fn the_sweeper_owes_what_must_not_run_again(store: Arc<dyn DeferredStore>) {
    for rerun in [true, false] {
        let world = World::with(store.clone(), first(rerun), answering(SECRET));
        let payment = upfront();
        died_in(&world, &payment, ClaimState::Executing).await;
        world.gate.sweep().await;
        world.until_unheld(&key(&payment)).await;
        let state = if rerun { ClaimState::Executing } else { ClaimState::Credit };
        assert_eq!(world.state(&key(&payment)).await, Some(state));
        assert_eq!(store.find_debt(&key(&payment)).await.unwrap().is_some(), !rerun);
        assert_eq!(world.runs(), 0);
    }
}

async fn an_answer_that_was_kept_is_granted_without_another_run(store: Arc<dyn DeferredStore>) {
    // Look up, claim, SETTLING, SETTLED, EXECUTING, ANSWERED; the grant is the seventh call.
    let faulty = FaultyLedger::new(store.clone(), When::Before, 6, 1);
    let world = World::with(Arc::new(faulty), first(false), answering(SECRET));
    let payment = upfront();
    world.pay("/weather", &payment).await.expect_refusal(503, "settlement_pending");
    world.until_unheld(&key(&payment)).await;
    assert_eq!(world.state(&key(&payment)).await, Some(ClaimState::Answered));
    assert!(world.pay("/weather", &payment).await.is_granted());
    assert_eq!((world.runs(), world.facilitator.settled().len()), (1, 1));
}

async fn whatever_call_of_the_ledger_fails_the_payment_is_charged_and_served_once(
    store: Arc<dyn DeferredStore>,
) {
    for when in [When::Before, When::After] {
        let (mut calls, mut from) = (usize::MAX, 0);
        while from < calls {
            let case = format!("{when:?} {from}");
            let faulty = Arc::new(FaultyLedger::new(Arc::clone(&store), when, from, 1));
            let mut config = first(true);
            config.lease_ms = 300;
            let world = World::with(faulty.clone(), config, answering(SECRET));
            let payment = upfront();
            served(&world, &payment, &case).await;
            assert_eq!(world.grants(&key(&payment)).await, 1, "{case}");
            let ids: std::collections::HashSet<_> =
                world.facilitator.settled().iter().map(|(_, terms)| terms.settle_id).collect();
            assert_eq!(ids.len(), 1, "{case}");
            assert!(world.runs() <= 2, "{case}: {} runs", world.runs());
            (calls, from) = (faulty.calls(), from + 1);
        }
    }
}

async fn where_nothing_may_run_twice_a_fault_runs_it_once_at_most(store: Arc<dyn DeferredStore>) {
    for when in [When::Before, When::After] {
        let (mut calls, mut from) = (usize::MAX, 0);
        while from < calls {
            let case = format!("{when:?} {from}");
            let faulty = Arc::new(FaultyLedger::new(Arc::clone(&store), when, from, 1));
            let mut config = first(false);
            config.lease_ms = 300;
            let world = World::with(faulty.clone(), config, answering(SECRET));
            let payment = upfront();
            let end = ended(&world, &payment, &case).await;
            let owed = store.find_debt(&key(&payment)).await.unwrap().is_some();
            assert_eq!(end.is_granted(), !owed, "{case}");
            assert!(world.runs() <= 1, "{case}: {} runs", world.runs());
            (calls, from) = (faulty.calls(), from + 1);
        }
    }
}

/// Asks until there is an answer.
async fn served(world: &World, payment: &Value, case: &str) {
    let seen = ended(world, payment, case).await;
    assert!(seen.is_granted(), "{case}: {seen:?}");
}

/// Asks until there is an answer, or it is owed. Nobody is told to pay again.
async fn ended(world: &World, payment: &Value, case: &str) -> Seen {
    for attempt in 0..60 {
        let seen = world.pay("/weather", payment).await;
        if seen.is_granted() || seen.code() == "payment_owed" {
            return seen;
        }
        assert_ne!(seen.status, 402, "{case}: told to pay again at attempt {attempt}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    panic!("{case}: no end");
}

#[tokio::test]
async fn a_payment_for_the_price_without_the_order_is_challenged_again() {
    let world = World::with(crate::world::memory(), first(true), answering(SECRET));
    let plain = fresh();
    assert_eq!(plain["accepted"]["extra"], json!(requirements().extra));
    world.pay("/weather", &plain).await.expect_refusal(402, "no_matching_requirements");
}
