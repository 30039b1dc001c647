//! Claims whose holder is gone, without the buyer's help.

use std::sync::Arc;
use std::time::Duration;

use faregate_gate::Route;
use faregate_ledger::{ClaimState, ClaimStore};
use faregate_protocol::{FacilitatorError, Reason};
use futures::future::join_all;
use serde_json::json;

use crate::abandoned::{KEPT, claimed, left_in, left_unkept_in};
use crate::payment::{fresh, key, now, requirements};
use crate::scripted_facilitator::{Outcome, TRANSACTION};
use crate::world::{SECRET, World, answering, config, on_both_stores, priced_route};

on_both_stores! {
    an_unresolved_settlement_is_asked_about_until_it_is_proven
    what_nobody_holds_is_released_asked_about_or_left_to_its_buyer
    a_kept_answer_waits_for_its_buyer_until_it_is_too_late
    what_dead_processes_asked_is_asked_again_and_never_granted
    a_question_that_stays_open_is_repeated_ever_more_rarely
    of_several_sweepers_one_asks
    answers_are_forgotten_after_their_time_and_not_before
    the_sweeper_ends_with_its_shutdown
}

async fn an_unresolved_settlement_is_asked_about_until_it_is_proven(store: Arc<dyn ClaimStore>) {
    let world = World::new(store);
    let payment = fresh();
    world.facilitator.will_settle(Outcome::Fail(FacilitatorError::TimedOut));
    world.pay("/weather", &payment).await.expect_refusal(503, "settlement_pending");
    world.until_unheld(&key(&payment)).await;
    let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
    let sweeper = world.gate.spawn_sweeper(async move {
        let _ = stopped.await;
    });
    for _ in 0..600 {
        if world.state(&key(&payment)).await == Some(ClaimState::Settled) {
            break;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    stop.send(()).unwrap();
    sweeper.await.unwrap();
    let claim = world.store.find_claim(&key(&payment)).await.unwrap().unwrap();
    assert_eq!((claim.state, claim.transaction.as_str()), (ClaimState::Settled, TRANSACTION));
    assert_eq!(world.grants(&key(&payment)).await, 0, "only a request can be granted");
    let asked = world.facilitator.settled();
    assert_eq!(asked.len(), 2);
    assert_eq!(asked[0].1.settle_id, asked[1].1.settle_id);
    world.until_unheld(&key(&payment)).await;
    assert_eq!(world.pay("/weather", &payment).await.status, 200);
    assert_eq!(world.facilitator.settled().len(), 2);
}

async fn what_nobody_holds_is_released_asked_about_or_left_to_its_buyer(
    store: Arc<dyn ClaimStore>,
) {
    use ClaimState::{Executed, Released, Settled, Settling, Unresolved, Verified};
    let world = World::new(store);
    let mut left = Vec::new();
    for (state, then) in [
        (Verified, Released),
        (Executed, Executed),
        // Without the payment itself the question cannot be repeated.
        (Settling, Settling),
        (Unresolved, Unresolved),
        (Settled, Settled),
    ] {
        let payment = fresh();
        left_unkept_in(&world, &payment, state).await;
        left.push((payment, then));
    }
    let held = fresh();
    claimed(&world, &held, 60_000).await;
    world.gate.sweep().await;
    for (payment, then) in &left {
        assert_eq!(world.state(&key(payment)).await, Some(*then));
    }
    assert_eq!(world.state(&key(&held)).await, Some(Verified));
    assert_eq!(world.facilitator.settled().len(), 0);
    for (payment, _) in &left {
        world.until_unheld(&key(payment)).await;
        assert_eq!(world.pay("/weather", payment).await.status, 200);
    }
}

async fn a_kept_answer_waits_for_its_buyer_until_it_is_too_late(store: Arc<dyn ClaimStore>) {
    let world = World::new(store);
    for (seconds, then) in [(14, ClaimState::Released), (17, ClaimState::Executed)] {
        let mut payment = fresh();
        payment["payload"]["authorization"]["validBefore"] = json!((now() + seconds).to_string());
        left_in(&world, &payment, ClaimState::Executed).await;
        world.gate.sweep().await;
        assert_eq!(world.state(&key(&payment)).await, Some(then), "{seconds} s left");
    }
    assert_eq!((world.facilitator.settled().len(), world.runs()), (0, 0), "nobody is charged");
}

async fn what_dead_processes_asked_is_asked_again_and_never_granted(store: Arc<dyn ClaimStore>) {
    let world = World::new(store);
    for (outcome, then) in [
        (Outcome::Paid, ClaimState::Settled),
        (Outcome::RefusedWith(Reason::PaymentNotCharged, ""), ClaimState::NotCharged),
        (Outcome::Refused("x".to_owned()), ClaimState::Unresolved),
        // A panic tells as little as silence.
        (Outcome::Panic, ClaimState::Unresolved),
    ] {
        let payment = fresh();
        let settle_id = left_in(&world, &payment, ClaimState::Settling).await;
        // Another process, which has never seen the payment and has another price now.
        let mut dear = requirements();
        dear.amount = 20_000.into();
        let dear = Route::priced("weather", "GET /weather", vec![dear]);
        let other = world.restarted(config(vec![dear]));
        other.facilitator.will_settle(outcome);
        other.gate.sweep().await;
        assert_eq!(world.state(&key(&payment)).await, Some(then));
        let [(asked, terms)] = &other.facilitator.settled()[..] else { panic!("asked once") };
        assert_eq!(asked.payment_requirements, requirements());
        assert_eq!(terms.settle_id, Some(settle_id));
        other.gate.sweep().await;
        assert_eq!(other.facilitator.settled().len(), 1, "proven or asked a moment ago");
        assert_eq!(world.grants(&key(&payment)).await, 0, "only a request can be granted");
        world.until_unheld(&key(&payment)).await;
        let seen = world.pay("/weather", &payment).await;
        let is_served = then != ClaimState::NotCharged;
        assert_eq!(seen.is_granted(), is_served, "{seen:?}");
        assert_eq!(world.runs(), 0);
    }
}

async fn a_question_that_stays_open_is_repeated_ever_more_rarely(store: Arc<dyn ClaimStore>) {
    let world = World::new(store);
    let payment = fresh();
    left_in(&world, &payment, ClaimState::Unresolved).await;
    for _ in 0..20 {
        world.facilitator.will_settle(Outcome::RefusedWith(Reason::SettlementPending, TRANSACTION));
    }
    let start = tokio::time::Instant::now();
    while start.elapsed() < Duration::from_millis(2600) {
        world.gate.sweep().await;
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    assert_eq!(world.facilitator.settled().len(), 2, "at once, after 2 s, then after 4 s more");
}

async fn of_several_sweepers_one_asks(store: Arc<dyn ClaimStore>) {
    let world = World::new(store);
    let others: Vec<_> = (0..4).map(|_| world.restarted(config(vec![priced_route()]))).collect();
    let mut payments = Vec::new();
    for _ in 0..10 {
        let payment = fresh();
        left_in(&world, &payment, ClaimState::Settling).await;
        payments.push(payment);
    }
    for other in &others {
        (0..10).for_each(|_| {
            other.facilitator.will_settle(Outcome::PaidAfter(Duration::from_millis(50)));
        });
    }
    join_all(others.iter().map(|other| other.gate.sweep())).await;
    let asked: usize = others.iter().map(|other| other.facilitator.settled().len()).sum();
    assert_eq!(asked, payments.len());
    for payment in &payments {
        assert_eq!(world.state(&key(payment)).await, Some(ClaimState::Settled));
    }
}

async fn answers_are_forgotten_after_their_time_and_not_before(store: Arc<dyn ClaimStore>) {
    let mut brief = config(vec![priced_route()]);
    brief.answer_retention = Duration::from_secs(60);
    let world = World::with(store, brief, answering(SECRET));
    let ended_before = |seconds: u64| {
        let mut payment = fresh();
        payment["payload"]["authorization"]["validBefore"] = json!((now() - seconds).to_string());
        payment
    };
    let (old, recent, unpaid, open) =
        (ended_before(61), ended_before(50), ended_before(61), ended_before(61));
    for (payment, state) in [
        (&old, ClaimState::Settled),
        (&recent, ClaimState::Settled),
        (&unpaid, ClaimState::Settled),
        (&open, ClaimState::Unresolved),
    ] {
        left_in(&world, payment, state).await;
    }
    for payment in [&old, &recent] {
        assert_eq!(world.pay("/weather", payment).await.body, KEPT);
    }
    assert_eq!(world.gate.forget_old_answers().await.unwrap(), 1);
    let seen = world.pay("/weather", &old).await;
    seen.expect_refusal(409, "payment_already_used");
    assert_eq!(seen.json()["transaction"], TRANSACTION);
    for payment in [&recent, &unpaid, &open] {
        let seen = world.pay("/weather", payment).await;
        assert_eq!(seen.body, KEPT, "whoever has not got it yet still gets it");
    }
    assert_eq!(world.runs(), 0);
    assert_eq!(world.gate.forget_old_answers().await.unwrap(), 2);
}

async fn the_sweeper_ends_with_its_shutdown(store: Arc<dyn ClaimStore>) {
    let world = World::new(store);
    let sweeper = world.gate.spawn_sweeper(std::future::ready(()));
    tokio::time::timeout(Duration::from_secs(1), sweeper).await.unwrap().unwrap();
}
