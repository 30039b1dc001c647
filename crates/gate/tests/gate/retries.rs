//! The same header again, at every state its claim can be in.

use std::sync::Arc;

use faregate_gate::{GateBody, Route};
use faregate_ledger::{ClaimMove, ClaimState, ClaimStore};
use faregate_protocol::{FacilitatorError, Reason};
use http::Response;
use serde_json::json;

use crate::abandoned::{claimed, left_in};
use crate::payment::{fresh, key, now, requirements};
use crate::scripted_facilitator::{Outcome, TRANSACTION};
use crate::world::{SECRET, World, config, on_both_stores, priced_route};

on_both_stores! {
    an_unresolved_payment_is_redeemed_once_it_is_proven
    a_crash_before_settle_is_released_and_runs_anew
    a_crash_after_settle_was_asked_repeats_it_under_the_same_id
    a_paid_payment_is_served_without_settling_again
    a_paid_payment_whose_resource_fails_stays_redeemable
    a_held_payment_is_in_progress
    another_signature_is_somebody_else
    a_sent_payment_outlives_its_time_and_its_price
    a_repeated_refusal_is_believed_only_from_a_facilitator_that_remembers
}

async fn an_unresolved_payment_is_redeemed_once_it_is_proven(store: Arc<dyn ClaimStore>) {
    let world = World::new(store);
    let payment = fresh();
    for _ in 0..3 {
        world.facilitator.will_settle(Outcome::Fail(FacilitatorError::TimedOut));
    }
    for _ in 0..3 {
        world.pay("/weather", &payment).await.expect_refusal(503, "settlement_pending");
        world.until_unheld(&key(&payment)).await;
    }
    let seen = world.pay("/weather", &payment).await;
    assert_eq!((seen.status.as_u16(), &seen.body[..]), (200, SECRET.as_bytes()));
    assert_eq!(seen.receipt().unwrap().transaction, TRANSACTION);
    let ids: std::collections::HashSet<_> =
        world.facilitator.settled().iter().map(|(_, terms)| terms.settle_id).collect();
    assert_eq!((ids.len(), world.facilitator.settled().len()), (1, 4));
    assert_eq!(world.grants(&key(&payment)).await, 1);
    world.pay("/weather", &payment).await.expect_refusal(409, "payment_already_used");
}

async fn a_crash_before_settle_is_released_and_runs_anew(store: Arc<dyn ClaimStore>) {
    let world = World::new(store);
    for state in [ClaimState::Verified, ClaimState::Executed] {
        let payment = fresh();
        left_in(&world, &payment, state).await;
        assert_eq!(world.pay("/weather", &payment).await.status, 200, "{state:?}");
        let claim = world.store.find_claim(&key(&payment)).await.unwrap().unwrap();
        assert!(claim.epoch > 0, "the handler runs at most once in each epoch");
        assert_eq!(world.grants(&key(&payment)).await, 1);
    }
    assert_eq!(world.facilitator.verified().len(), 2, "verified anew");
}

async fn a_crash_after_settle_was_asked_repeats_it_under_the_same_id(store: Arc<dyn ClaimStore>) {
    let world = World::new(store);
    for state in [ClaimState::Settling, ClaimState::Unresolved] {
        let payment = fresh();
        let settle_id = left_in(&world, &payment, state).await;
        assert_eq!(world.pay("/weather", &payment).await.status, 200, "{state:?}");
        let (_, terms) = world.facilitator.settled().pop().unwrap();
        assert_eq!(terms.settle_id, Some(settle_id));
        assert_eq!(world.grants(&key(&payment)).await, 1);
    }
    assert_eq!(world.facilitator.verified().len(), 0, "what was sent is not verified again");
}

async fn a_paid_payment_is_served_without_settling_again(store: Arc<dyn ClaimStore>) {
    let world = World::new(store);
    let payment = fresh();
    left_in(&world, &payment, ClaimState::Settled).await;
    let seen = world.pay("/weather", &payment).await;
    assert_eq!(seen.status, 200);
    assert_eq!(seen.receipt().unwrap().transaction, TRANSACTION);
    assert_eq!((world.runs(), world.facilitator.settled().len()), (1, 0));
    let claim = world.store.find_claim(&key(&payment)).await.unwrap().unwrap();
    assert_eq!((claim.state, claim.epoch), (ClaimState::Granted, 1));
}

async fn a_paid_payment_whose_resource_fails_stays_redeemable(store: Arc<dyn ClaimStore>) {
    let count = std::sync::atomic::AtomicUsize::new(0);
    let flaky: crate::world::Resource = Arc::new(move |_| {
        let run = count.fetch_add(1, std::sync::atomic::Ordering::SeqCst);
        Box::pin(async move {
            match run {
                0 => Response::builder().status(500).body(GateBody::full("oops")).unwrap(),
                1 => panic!("scripted"),
                _ => Response::new(GateBody::full(SECRET)),
            }
        })
    });
    let world = World::with(store, config(vec![priced_route()]), flaky);
    let payment = fresh();
    left_in(&world, &payment, ClaimState::Settled).await;
    let seen = world.pay("/weather", &payment).await;
    assert_eq!((seen.status.as_u16(), &seen.body[..]), (500, b"oops".as_slice()));
    assert!(seen.receipt().unwrap().success, "the buyer learns that it has paid");
    world.until_unheld(&key(&payment)).await;
    let seen = world.pay("/weather", &payment).await;
    seen.expect_refusal(503, "settlement_pending");
    assert_eq!(seen.receipt().unwrap().transaction, TRANSACTION);
    world.until_unheld(&key(&payment)).await;
    assert_eq!(world.pay("/weather", &payment).await.status, 200);
    assert_eq!(world.facilitator.settled().len(), 0);
}

async fn a_held_payment_is_in_progress(store: Arc<dyn ClaimStore>) {
    let world = World::new(store);
    let payment = fresh();
    let (hold, _) = claimed(&world, &payment, 60_000).await;
    use ClaimState::{Executed, Settling, Verified};
    let steps = [(Verified, Executed), (Executed, Settling)];
    for step in [None, Some(steps[0]), Some(steps[1])] {
        if let Some((from, to)) = step {
            let step = ClaimMove { from, to, transaction: None, evidence: json!({}) };
            assert!(world.store.move_claim(&hold, step).await.unwrap());
        }
        let seen = world.pay("/weather", &payment).await;
        seen.expect_refusal(409, "payment_in_progress");
        assert_eq!(seen.header("retry-after"), "1");
        world.pay("/weather?other", &payment).await.expect_refusal(409, "payment_already_claimed");
    }
    assert_eq!((world.runs(), world.facilitator.settled().len()), (0, 0));
}

async fn another_signature_is_somebody_else(store: Arc<dyn ClaimStore>) {
    let world = World::new(store);
    let payment = fresh();
    assert_eq!(world.pay("/weather", &payment).await.status, 200);
    let mut forged = payment.clone();
    forged["payload"]["signature"] = json!(format!("0x{}", "cd".repeat(65)));
    world.pay("/weather", &forged).await.expect_refusal(409, "payment_already_claimed");
    // A stranger whose signature is refused claims nothing.
    let victim = fresh();
    let mut stranger = victim.clone();
    stranger["payload"]["signature"] = json!(format!("0x{}", "cd".repeat(65)));
    for _ in 0..50 {
        let said = Reason::EvmSignature.code().to_owned();
        world.facilitator.will_say(crate::scripted_facilitator::Verdict::Invalid(said));
        world.pay("/weather", &stranger).await.expect_refusal(402, Reason::EvmSignature.code());
    }
    assert_eq!(world.pay("/weather", &victim).await.status, 200);
}

async fn a_sent_payment_outlives_its_time_and_its_price(store: Arc<dyn ClaimStore>) {
    let world = World::new(store);
    // Its time is about to run out: as a new payment it would be refused.
    let mut late = fresh();
    late["payload"]["authorization"]["validBefore"] = json!((now() + 5).to_string());
    for (state, wants) in [(ClaimState::Settled, 200), (ClaimState::Unresolved, 200)] {
        let mut late = late.clone();
        late["payload"]["authorization"]["nonce"] =
            fresh()["payload"]["authorization"]["nonce"].take();
        left_in(&world, &late, state).await;
        assert_eq!(world.pay("/weather", &late).await.status, wants, "{state:?}");
    }
    // The price has changed since, and the process knows nothing of the old one.
    let mut dear = requirements();
    dear.amount = 20_000.into();
    let dear = Route::priced("weather", "GET /weather", vec![dear]);
    let restarted = world.restarted(config(vec![dear]));
    for (state, status, code) in [
        (ClaimState::Settled, 200, ""),
        (ClaimState::Unresolved, 503, "settlement_pending"),
        (ClaimState::Verified, 402, "no_matching_requirements"),
    ] {
        let payment = fresh();
        left_in(&world, &payment, state).await;
        let seen = restarted.pay("/weather", &payment).await;
        assert_eq!((seen.status.as_u16(), seen.code().as_str()), (status, code), "{state:?}");
    }
    assert_eq!(restarted.facilitator.settled().len(), 0, "never under other requirements");
}

async fn a_repeated_refusal_is_believed_only_from_a_facilitator_that_remembers(
    store: Arc<dyn ClaimStore>,
) {
    let world = World::new(store);
    let mut remembering = config(vec![priced_route()]);
    remembering.facilitator_remembers = true;
    let ours = world.restarted(remembering);
    let refusal = || Outcome::Refused(Reason::EvmInsufficientBalance.code().to_owned());
    let payment = fresh();
    left_in(&world, &payment, ClaimState::Settling).await;
    world.facilitator.will_settle(refusal());
    world.pay("/weather", &payment).await.expect_refusal(503, "settlement_pending");
    world.until_unheld(&key(&payment)).await;
    // Not taken up this time says nothing about the first time.
    ours.facilitator.will_settle(Outcome::Fail(FacilitatorError::Unavailable("x")));
    ours.pay("/weather", &payment).await.expect_refusal(503, "settlement_pending");
    ours.until_unheld(&key(&payment)).await;
    ours.facilitator.will_settle(refusal());
    let code = Reason::EvmInsufficientBalance.code();
    ours.pay("/weather", &payment).await.expect_refusal(402, code);
    assert_eq!(world.state(&key(&payment)).await, Some(ClaimState::Released));
}
