//! Buyers of version 1: what they read, how they pay, what they get; and that one authorization in
//! both forms is one payment.

use std::sync::Arc;
use std::time::Duration;

use faregate_gate::{GateBody, Route};
use faregate_ledger::{ClaimState, ClaimStore};
use faregate_protocol::v1::{HEADER_MISSING, NO_MATCH, PaymentRequiredV1};
use faregate_protocol::{FacilitatorError, Network, Reason};
use futures::future::join_all;
use http::Response;
use serde_json::{Value, json};
use tower::ServiceExt;

use crate::payment::{PAYER, as_v1, fresh, key, requirements};
use crate::scripted_facilitator::{Outcome, TRANSACTION, Verdict};
use crate::world::{
    SECRET, Seen, World, answering, config, on_both_stores, paying, priced_route, request,
};

on_both_stores! {
    a_challenge_speaks_both_versions
    without_a_name_the_body_is_that_of_version_2
    a_payment_of_version_1_buys_the_resource
    the_version_is_what_the_payment_says
    of_two_headers_that_of_version_2_counts
    what_matches_nothing_is_told_so
    what_version_1_does_not_say_is_read_from_what_was_signed
    a_refused_payment_is_answered_in_names_of_version_1
    a_refused_settlement_is_answered_in_names_of_version_1
    what_is_unknown_stays_payable_by_the_same_header
    both_forms_of_one_authorization_race_for_one_answer
    one_form_is_no_second_payment_after_the_other
    either_form_is_served_what_the_other_one_paid
}

async fn pay_v1(world: &World, uri: &str, payment: &Value) -> Seen {
    world.send(paying(uri, &[("X-PAYMENT", &as_v1(payment))])).await
}

fn body_v1(seen: &Seen) -> PaymentRequiredV1 {
    serde_json::from_slice(&seen.body).unwrap()
}

/// A receipt for a buyer of version 1, and none of version 2.
#[track_caller]
fn expect_receipt(seen: &Seen, success: bool, reason: Option<&str>) {
    assert!(seen.receipt().is_none(), "{seen:?}");
    let receipt = seen.receipt_v1().unwrap();
    assert_eq!((receipt.success, receipt.error_reason.as_deref()), (success, reason));
    assert_eq!(receipt.network, "base-sepolia");
}

async fn a_challenge_speaks_both_versions(store: Arc<dyn ClaimStore>) {
    let mut dear = requirements();
    dear.amount = 20_000.into();
    let mut elsewhere = requirements();
    elsewhere.network = Network::eip155(8453);
    let mut unnamed = requirements();
    unnamed.network = Network::eip155(31_337);
    let options = vec![unnamed, requirements(), dear, elsewhere];
    let mut route = Route::priced("weather", "GET /weather", options.clone());
    route.description = "sunny".to_owned();
    let world = World::with(store, config(vec![route]), answering(SECRET));
    let seen = world.get("/weather?city=x").await;
    seen.expect_refusal(402, "Payment required");
    let challenge = seen.challenge().unwrap();
    assert_eq!((challenge.x402_version, challenge.accepts), (2, options));
    let body = body_v1(&seen);
    assert_eq!((body.x402_version, body.error.as_deref()), (1, Some(HEADER_MISSING)));
    let offered: Vec<_> = body.accepts.iter().map(|option| option.network.as_str()).collect();
    assert_eq!(offered, ["base-sepolia", "base"]);
    assert_eq!(body.accepts[0].max_amount_required, 10_000.into(), "the first of its network");
    assert_eq!(body.accepts[0].resource, "https://api.example.com/weather?city=x");
    assert_eq!(body.accepts[0].description, "sunny");
    assert!(seen.json().get("payer").is_none());
}

async fn without_a_name_the_body_is_that_of_version_2(store: Arc<dyn ClaimStore>) {
    let mut unnamed = requirements();
    unnamed.network = Network::eip155(31_337);
    let route = Route::priced("weather", "GET /weather", vec![unnamed]);
    let world = World::with(store, config(vec![route]), answering(SECRET));
    let seen = world.get("/weather").await;
    assert_eq!(seen.json(), serde_json::to_value(seen.challenge().unwrap()).unwrap());
    let seen = pay_v1(&world, "/weather", &fresh()).await;
    seen.expect_refusal(402, "no_matching_requirements");
}

async fn a_payment_of_version_1_buys_the_resource(store: Arc<dyn ClaimStore>) {
    let world = World::new(store);
    let payment = fresh();
    let seen = pay_v1(&world, "/weather", &payment).await;
    assert_eq!((seen.status.as_u16(), &seen.body[..]), (200, SECRET.as_bytes()));
    expect_receipt(&seen, true, None);
    assert_eq!(seen.receipt_v1().unwrap().transaction, TRANSACTION);
    assert_eq!(world.state(&key(&payment)).await, Some(ClaimState::Granted));
    let settled = world.facilitator.settled();
    for asked in world.facilitator.verified().iter().chain(settled.iter().map(|(asked, _)| asked)) {
        assert_eq!((asked.x402_version, asked.payment_payload.x402_version), (2, 2));
        assert_eq!(asked.payment_requirements, requirements());
        let accepted = Value::Object(asked.payment_payload.accepted.clone());
        assert_eq!(accepted, serde_json::to_value(requirements()).unwrap());
        assert_eq!(Value::Object(asked.payment_payload.payload.clone()), payment["payload"]);
    }
    assert_eq!((world.facilitator.verified().len(), settled.len()), (1, 1));
}

async fn the_version_is_what_the_payment_says(store: Arc<dyn ClaimStore>) {
    let world = World::new(store);
    let seen = world.send(paying("/weather", &[("PAYMENT-SIGNATURE", &as_v1(&fresh()))])).await;
    assert_eq!(seen.status, 200);
    expect_receipt(&seen, true, None);
    let seen = world.send(paying("/weather", &[("X-PAYMENT", &fresh())])).await;
    assert_eq!(seen.status, 200);
    assert!(seen.receipt().unwrap().success && seen.receipt_v1().is_none());
}

async fn of_two_headers_that_of_version_2_counts(store: Arc<dyn ClaimStore>) {
    let world = World::new(store);
    let (new, old) = (fresh(), fresh());
    let both = [("X-PAYMENT", &as_v1(&old)), ("PAYMENT-SIGNATURE", &new)];
    let seen = world.send(paying("/weather", &both)).await;
    assert_eq!(seen.status, 200);
    assert!(seen.receipt().unwrap().success && seen.receipt_v1().is_none());
    assert_eq!(world.state(&key(&old)).await, None, "the other payment stays unused");
    assert_eq!(pay_v1(&world, "/weather", &old).await.status, 200);

    let broken = [("X-PAYMENT", &as_v1(&fresh())), ("PAYMENT-SIGNATURE", &json!([]))];
    world.send(paying("/weather", &broken)).await.expect_refusal(402, "invalid_payload");
    let mut asked = paying("/weather", &[("PAYMENT-SIGNATURE", &fresh())]);
    asked.headers_mut().insert("x-payment", "A".repeat(33_000).parse().unwrap());
    world.send(asked).await.expect_refusal(431, "header_too_large");
}

async fn what_matches_nothing_is_told_so(store: Arc<dyn ClaimStore>) {
    let world = World::new(store);
    for (member, value) in [
        ("network", "narnia"),
        ("network", "base"),
        ("network", "Base-Sepolia"),
        ("network", "eip155:84532"),
        ("network", ""),
        ("scheme", "upto"),
    ] {
        let mut payment = as_v1(&fresh());
        payment[member] = json!(value);
        let seen = world.send(paying("/weather", &[("X-PAYMENT", &payment)])).await;
        seen.expect_refusal(402, "no_matching_requirements");
        assert_eq!(seen.said(), NO_MATCH);
        assert_eq!(body_v1(&seen).accepts.len(), 1);
    }
    assert_eq!((world.runs(), world.facilitator.verified().len()), (0, 0));
}

async fn what_version_1_does_not_say_is_read_from_what_was_signed(store: Arc<dyn ClaimStore>) {
    let world = World::new(store);
    let other = "0x70997970C51812dc3A010C7d01b50e0d17dc79C8";
    for (member, value, code) in [
        ("to", json!(other), Reason::EvmRecipientMismatch.code()),
        ("value", json!("9999"), Reason::EvmValueV1.code()),
        ("value", json!("10001"), Reason::EvmValueV1.code()),
        ("validBefore", json!("1"), Reason::DeadlineTooClose.code()),
    ] {
        let mut payment = fresh();
        payment["payload"]["authorization"][member] = value;
        let seen = pay_v1(&world, "/weather", &payment).await;
        assert_eq!((seen.status.as_u16(), seen.said().as_str()), (402, code));
        assert!(seen.challenge().is_some());
    }
    assert_eq!((world.runs(), world.facilitator.verified().len()), (0, 0));
}

async fn a_refused_payment_is_answered_in_names_of_version_1(store: Arc<dyn ClaimStore>) {
    let world = World::new(store);
    let value = Reason::EvmValueMismatch.code();
    world.facilitator.will_say(Verdict::Invalid(value.to_owned()));
    let seen = pay_v1(&world, "/weather", &fresh()).await;
    seen.expect_refusal(402, value);
    assert_eq!(seen.said(), Reason::EvmValueV1.code());
    assert_eq!(seen.json()["payer"], PAYER);
    assert_eq!(seen.json()["x402Version"], 1);
}

async fn a_refused_settlement_is_answered_in_names_of_version_1(store: Arc<dyn ClaimStore>) {
    let world = World::new(store);
    let code = Reason::EvmValueV1.code();
    world.facilitator.will_settle(Outcome::Refused(Reason::EvmValueMismatch.code().to_owned()));
    let seen = pay_v1(&world, "/weather", &fresh()).await;
    seen.expect_refusal(402, code);
    assert!(seen.challenge().is_none());
    expect_receipt(&seen, false, Some(code));

    world.facilitator.will_settle(Outcome::RefusedWith(Reason::PaymentNotCharged, TRANSACTION));
    let seen = pay_v1(&world, "/weather", &fresh()).await;
    seen.expect_refusal(402, "payment_not_charged");
    assert_eq!(body_v1(&seen).error.as_deref(), Some("payment_not_charged"));
    expect_receipt(&seen, false, Some("payment_not_charged"));
}

async fn what_is_unknown_stays_payable_by_the_same_header(store: Arc<dyn ClaimStore>) {
    let world = World::new(store);
    let payment = fresh();
    world.facilitator.will_settle(Outcome::Fail(FacilitatorError::TimedOut));
    let seen = pay_v1(&world, "/weather", &payment).await;
    seen.expect_refusal(503, "settlement_pending");
    expect_receipt(&seen, false, Some("settlement_pending"));
    world.until_unheld(&key(&payment)).await;
    let seen = pay_v1(&world, "/weather", &payment).await;
    assert_eq!((seen.status.as_u16(), &seen.body[..]), (200, SECRET.as_bytes()));
    expect_receipt(&seen, true, None);
    let asked = world.facilitator.settled();
    assert_eq!(asked.len(), 2);
    assert_eq!((&asked[0].0, asked[0].1.settle_id), (&asked[1].0, asked[1].1.settle_id));
}

async fn both_forms_of_one_authorization_race_for_one_answer(store: Arc<dyn ClaimStore>) {
    const WAYS: usize = 64;
    let slow: crate::world::Resource = Arc::new(|_| {
        Box::pin(async {
            tokio::time::sleep(Duration::from_millis(30)).await;
            Response::new(GateBody::full(SECRET))
        })
    });
    let world = World::with(store, config(vec![priced_route()]), slow);
    for round in 0..4 {
        let payment = fresh();
        let barrier = tokio::sync::Barrier::new(WAYS);
        let requests = (0..WAYS).map(|i| {
            let (barrier, world, payment) = (&barrier, &world, &payment);
            async move {
                barrier.wait().await;
                if i % 2 == 0 {
                    world.pay("/weather", payment).await
                } else {
                    pay_v1(world, "/weather", payment).await
                }
            }
        });
        let seen = join_all(requests).await;
        let first = seen.iter().find(|seen| seen.is_granted()).unwrap();
        for seen in &seen {
            assert!(seen.status == 409 || seen.content() == first.content(), "{seen:?}");
        }
        assert_eq!((world.runs(), world.facilitator.settled().len()), (round + 1, round + 1));
        assert_eq!(world.grants(&key(&payment)).await, 1);
    }
}

async fn one_form_is_no_second_payment_after_the_other(store: Arc<dyn ClaimStore>) {
    let world = World::new(store);
    let (first, second) = (fresh(), fresh());
    assert_eq!(world.pay("/weather", &first).await.status, 200);
    let bought = world.pay("/weather", &first).await;
    let seen = pay_v1(&world, "/weather", &first).await;
    assert_eq!(seen.content(), bought.content());
    expect_receipt(&seen, true, None);
    assert_eq!(seen.receipt_v1().unwrap().transaction, TRANSACTION);
    pay_v1(&world, "/weather?b", &first).await.expect_refusal(409, "payment_already_claimed");
    assert_eq!(pay_v1(&world, "/weather", &second).await.status, 200);
    let seen = world.pay("/weather", &second).await;
    assert!(seen.is_granted() && seen.receipt().unwrap().success && seen.receipt_v1().is_none());
    world.pay("/weather?b", &second).await.expect_refusal(409, "payment_already_claimed");
    assert_eq!((world.runs(), world.facilitator.settled().len()), (2, 2));
}

async fn either_form_is_served_what_the_other_one_paid(store: Arc<dyn ClaimStore>) {
    let world = World::new(store);
    for v1_first in [true, false] {
        let payment = fresh();
        let old = paying("/weather", &[("X-PAYMENT", &as_v1(&payment))]);
        let new = request("GET", "/weather", Some(&payment));
        let (first, second) = if v1_first { (old, new) } else { (new, old) };
        let settled = world.facilitator.settled().len();
        world.facilitator.will_settle(Outcome::PaidAfter(Duration::from_millis(50)));
        let asked = world.service().oneshot(first);
        assert!(tokio::time::timeout(Duration::from_millis(20), asked).await.is_err());
        assert!(world.gate.wait_idle(Duration::from_secs(5)).await);
        world.until_unheld(&key(&payment)).await;
        let seen = world.send(second).await;
        assert_eq!(seen.status, 200, "{seen:?}");
        assert_eq!(seen.receipt().is_some(), v1_first);
        assert_eq!(seen.receipt_v1().is_some(), !v1_first);
        assert_eq!(world.facilitator.settled().len(), settled + 1);
        assert_eq!(world.grants(&key(&payment)).await, 1);
    }
}
