//! The same header again, at every state its claim can be in.

use std::sync::Arc;

use faregate_gate::{GateBody, Route};
use faregate_ledger::{ClaimMove, ClaimState, ClaimStore};
use faregate_protocol::{FacilitatorError, Reason};
use http::Response;
use serde_json::json;

use crate::abandoned::{KEPT, claimed, keep, left_in, left_unkept_in};
use crate::payment::{fresh, key, now, requirements};
use crate::scripted_facilitator::{Outcome, TRANSACTION};
use crate::world::{SECRET, World, config, on_both_stores, priced_route};

on_both_stores! {
    an_unresolved_payment_is_redeemed_once_it_is_proven
    a_crash_before_the_answer_is_kept_is_released_and_runs_anew
    a_kept_answer_that_was_never_settled_for_is_settled_for
    a_kept_answer_without_time_or_price_to_settle_for_is_given_up
    a_crash_after_settle_was_asked_repeats_it_under_the_same_id
    a_paid_payment_is_served_without_settling_again
    a_paid_payment_without_an_answer_runs_again
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
    assert_eq!(world.pay("/weather", &payment).await.answer(), seen.answer());
    assert_eq!(world.runs(), 1);
}

async fn a_crash_before_the_answer_is_kept_is_released_and_runs_anew(store: Arc<dyn ClaimStore>) {
    let world = World::new(store);
    for state in [ClaimState::Verified, ClaimState::Executed] {
        let payment = fresh();
        left_unkept_in(&world, &payment, state).await;
        assert_eq!(world.pay("/weather", &payment).await.status, 200, "{state:?}");
        let claim = world.store.find_claim(&key(&payment)).await.unwrap().unwrap();
        assert!(claim.epoch > 0, "the handler runs at most once in each epoch");
        assert_eq!(world.grants(&key(&payment)).await, 1);
    }
    assert_eq!((world.facilitator.verified().len(), world.runs()), (2, 2), "verified anew");
}

async fn a_kept_answer_that_was_never_settled_for_is_settled_for(store: Arc<dyn ClaimStore>) {
    let world = World::new(store);
    let mut soon = fresh();
    // Too late for a run of the resource, not for its answer.
    soon["payload"]["authorization"]["validBefore"] = json!((now() + 25).to_string());
    for payment in [fresh(), soon] {
        let settle_id = left_in(&world, &payment, ClaimState::Executed).await;
        let seen = world.pay("/weather", &payment).await;
        assert_eq!((seen.status.as_u16(), &seen.body[..]), (203, KEPT.as_bytes()));
        assert_eq!(seen.header("x-kept"), "yes");
        let (asked, terms) = world.facilitator.settled().pop().unwrap();
        assert_eq!(terms.settle_id, Some(settle_id));
        assert_eq!(asked.payment_requirements, requirements());
        assert_eq!(world.grants(&key(&payment)).await, 1);
        assert_eq!(world.pay("/weather", &payment).await.answer(), seen.answer());
    }
    assert_eq!((world.facilitator.verified().len(), world.runs()), (0, 0));
    // What settling comes to is told as for a first request.
    let refusal = Reason::EvmInsufficientBalance.code();
    let payment = fresh();
    left_in(&world, &payment, ClaimState::Executed).await;
    world.facilitator.will_settle(Outcome::Refused(refusal.to_owned()));
    world.pay("/weather", &payment).await.expect_refusal(402, refusal);
    assert_eq!(world.state(&key(&payment)).await, Some(ClaimState::Released));
    let payment = fresh();
    left_in(&world, &payment, ClaimState::Executed).await;
    world.facilitator.will_settle(Outcome::Fail(FacilitatorError::TimedOut));
    world.pay("/weather", &payment).await.expect_refusal(503, "settlement_pending");
    world.until_unheld(&key(&payment)).await;
    assert_eq!(world.pay("/weather", &payment).await.body, KEPT);
    assert_eq!(world.runs(), 0);
}

async fn a_kept_answer_without_time_or_price_to_settle_for_is_given_up(store: Arc<dyn ClaimStore>) {
    let world = World::new(store);
    let mut late = fresh();
    late["payload"]["authorization"]["validBefore"] = json!((now() + 14).to_string());
    left_in(&world, &late, ClaimState::Executed).await;
    let seen = world.pay("/weather", &late).await;
    seen.expect_refusal(402, "deadline_too_close");
    assert!(seen.challenge().is_some());
    assert_eq!(world.state(&key(&late)).await, Some(ClaimState::Released));

    let mut dear = requirements();
    dear.amount = 20_000.into();
    let dear = Route::priced("weather", "GET /weather", vec![dear]);
    let restarted = world.restarted(config(vec![dear]));
    let payment = fresh();
    left_in(&world, &payment, ClaimState::Executed).await;
    restarted.pay("/weather", &payment).await.expect_refusal(402, "no_matching_requirements");
    assert_eq!(world.state(&key(&payment)).await, Some(ClaimState::Released));
    let settled = [&world, &restarted].map(|world| world.facilitator.settled().len());
    assert_eq!((settled, world.runs()), ([0, 0], 0));
}

async fn a_crash_after_settle_was_asked_repeats_it_under_the_same_id(store: Arc<dyn ClaimStore>) {
    let world = World::new(store);
    for state in [ClaimState::Settling, ClaimState::Unresolved] {
        let payment = fresh();
        let settle_id = left_in(&world, &payment, state).await;
        assert_eq!(world.pay("/weather", &payment).await.body, KEPT, "{state:?}");
        let (_, terms) = world.facilitator.settled().pop().unwrap();
        assert_eq!(terms.settle_id, Some(settle_id));
        assert_eq!((world.grants(&key(&payment)).await, world.runs()), (1, 0));
    }
    for (i, state) in [ClaimState::Settling, ClaimState::Unresolved].into_iter().enumerate() {
        let payment = fresh();
        let settle_id = left_unkept_in(&world, &payment, state).await;
        assert_eq!(world.pay("/weather", &payment).await.body, SECRET, "{state:?}");
        let (_, terms) = world.facilitator.settled().pop().unwrap();
        assert_eq!(terms.settle_id, Some(settle_id));
        assert_eq!((world.grants(&key(&payment)).await, world.runs()), (1, i + 1));
    }
    assert_eq!(world.facilitator.verified().len(), 0, "what was sent is not verified again");
}

async fn a_paid_payment_is_served_without_settling_again(store: Arc<dyn ClaimStore>) {
    let world = World::new(store);
    let payment = fresh();
    left_in(&world, &payment, ClaimState::Settled).await;
    let seen = world.pay("/weather", &payment).await;
    assert_eq!((seen.status.as_u16(), &seen.body[..]), (203, KEPT.as_bytes()));
    assert_eq!(seen.receipt().unwrap().transaction, TRANSACTION);
    assert_eq!((world.runs(), world.facilitator.settled().len()), (0, 0));
    assert_eq!(world.state(&key(&payment)).await, Some(ClaimState::Granted));
}

async fn a_paid_payment_without_an_answer_runs_again(store: Arc<dyn ClaimStore>) {
    let world = World::new(store);
    let payment = fresh();
    left_unkept_in(&world, &payment, ClaimState::Settled).await;
    let seen = world.pay("/weather", &payment).await;
    assert_eq!((seen.status.as_u16(), &seen.body[..]), (200, SECRET.as_bytes()));
    assert_eq!(seen.receipt().unwrap().transaction, TRANSACTION);
    assert_eq!((world.runs(), world.facilitator.settled().len()), (1, 0));
    let claim = world.store.find_claim(&key(&payment)).await.unwrap().unwrap();
    assert_eq!((claim.state, claim.epoch), (ClaimState::Granted, 1));
    // Nothing is kept of it: all that is left to say is that it was used.
    let seen = world.pay("/weather", &payment).await;
    seen.expect_refusal(409, "payment_already_used");
    assert_eq!(seen.json()["transaction"], TRANSACTION);
    assert_eq!((world.runs(), world.grants(&key(&payment)).await), (1, 1));
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
    left_unkept_in(&world, &payment, ClaimState::Settled).await;
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
    use ClaimState::{Executed, Settled, Settling, Verified};
    for to in [Verified, Executed, Settling, Settled] {
        match to {
            Verified => {}
            Executed => keep(&world, &payment, &hold).await,
            _ => {
                let from = if to == Settling { Executed } else { Settling };
                let step = ClaimMove { from, to, transaction: None, evidence: json!({}) };
                assert!(world.store.move_claim(&hold, step).await.unwrap());
            }
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
    for (state, wants) in [(ClaimState::Settled, 203), (ClaimState::Unresolved, 203)] {
        let mut late = late.clone();
        late["payload"]["authorization"]["nonce"] =
            fresh()["payload"]["authorization"]["nonce"].take();
        left_in(&world, &late, state).await;
        assert_eq!(world.pay("/weather", &late).await.status, wants, "{state:?}");
    }
    // The price has changed since.
    let mut dear = requirements();
    dear.amount = 20_000.into();
    let dear = Route::priced("weather", "GET /weather", vec![dear]);
    let restarted = world.restarted(config(vec![dear]));
    for (state, status, code) in [
        (ClaimState::Settled, 203, ""),
        (ClaimState::Unresolved, 203, ""),
        (ClaimState::Verified, 402, "no_matching_requirements"),
    ] {
        let payment = fresh();
        left_in(&world, &payment, state).await;
        let seen = restarted.pay("/weather", &payment).await;
        assert_eq!((seen.status.as_u16(), seen.code().as_str()), (status, code), "{state:?}");
    }
    let asked = restarted.facilitator.settled();
    assert_eq!(asked.len(), 1);
    assert_eq!(asked[0].0.payment_requirements, requirements(), "as it was sent");
    // Without what was sent nothing is asked under other requirements.
    let payment = fresh();
    left_unkept_in(&world, &payment, ClaimState::Unresolved).await;
    restarted.pay("/weather", &payment).await.expect_refusal(503, "settlement_pending");
    assert_eq!(restarted.facilitator.settled().len(), 1);
}

async fn a_repeated_refusal_is_believed_only_from_a_facilitator_that_remembers(
    store: Arc<dyn ClaimStore>,
) {
    let world = World::new(store);
    let mut remembering = config(vec![priced_route()]);
    remembering.facilitator_remembers = true;
    let other = world.restarted(remembering.clone());
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
    // Nor does what another facilitator says, whatever it remembers.
    other.facilitator.call_it("another");
    other.facilitator.will_settle(refusal());
    other.pay("/weather", &payment).await.expect_refusal(503, "settlement_pending");
    other.until_unheld(&key(&payment)).await;
    ours.facilitator.will_settle(refusal());
    let code = Reason::EvmInsufficientBalance.code();
    ours.pay("/weather", &payment).await.expect_refusal(402, code);
    assert_eq!(world.state(&key(&payment)).await, Some(ClaimState::Released));
}
