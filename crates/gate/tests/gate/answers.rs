//! The rows of the answer table that come before settlement.

use std::sync::Arc;
use std::time::Duration;

use faregate_gate::{GateBody, Route};
use faregate_ledger::{ClaimState, ClaimStore};
use faregate_protocol::{FacilitatorError, Reason};
use http::Request;
use serde_json::{Value, json};

use crate::payment::{self, encoded, fresh, key, now};
use crate::scripted_facilitator::{TRANSACTION, Verdict};
use crate::world::{SECRET, World, config, on_both_stores, paying, priced_route, request};

on_both_stores! {
    a_payment_buys_the_resource_once
    no_payment_is_a_challenge
    what_cannot_be_read_is_challenged_again
    another_option_is_challenged_again
    times_outside_of_the_window_are_challenged_again
    verdicts_are_passed_on
    a_facilitator_without_verdict_is_502_and_nothing_is_claimed
    sizes_are_bounded
    payments_at_once_are_bounded
}

async fn a_payment_buys_the_resource_once(store: Arc<dyn ClaimStore>) {
    let world = World::new(store);
    let payment = fresh();
    let seen = world.pay("/weather", &payment).await;
    assert_eq!(seen.status, 200);
    assert_eq!(seen.body, SECRET);
    let receipt = seen.receipt().unwrap();
    assert!(receipt.success);
    assert_eq!(receipt.transaction, TRANSACTION);
    assert_eq!(seen.header("cache-control"), "private, no-store");
    assert_eq!(seen.header("vary"), "PAYMENT-SIGNATURE, X-PAYMENT");
    assert_eq!(seen.header("content-length"), SECRET.len().to_string());
    assert_eq!(world.state(&key(&payment)).await, Some(ClaimState::Granted));
    assert_eq!((world.runs(), world.grants(&key(&payment)).await), (1, 1));
    let journal = world.store.journal(&key(&payment)).await.unwrap();
    let states: Vec<_> = journal.iter().map(|entry| entry.to_state.as_str()).collect();
    assert_eq!(states, ["VERIFIED", "EXECUTED", "SETTLING", "SETTLED", "GRANTED"]);

    let again = world.pay("/weather", &payment).await;
    assert_eq!(again.answer(), seen.answer());
    world.pay("/weather?a=b", &payment).await.expect_refusal(409, "payment_already_claimed");
    assert_eq!((world.runs(), world.facilitator.settled().len()), (1, 1));
    let (asked, terms) = world.facilitator.settled().remove(0);
    assert_eq!(asked.payment_requirements, payment::requirements());
    assert_eq!(terms.deployment, Some(world.store.deployment()));
    assert!(terms.settle_id.is_some() && terms.deadline_unix_ms > Some(now() * 1000));
}

async fn no_payment_is_a_challenge(store: Arc<dyn ClaimStore>) {
    let world = World::new(store);
    let seen = world.get("/weather?city=x").await;
    seen.expect_refusal(402, "Payment required");
    let challenge = seen.challenge().unwrap();
    assert_eq!(challenge.resource.url, "https://api.example.com/weather?city=x");
    assert_eq!(challenge.accepts, [payment::requirements()]);
    assert!(seen.header("access-control-allow-origin").is_empty());
    let mut cross = request("GET", "/weather", None);
    cross.headers_mut().insert("origin", "https://page.example".parse().unwrap());
    cross.headers_mut().insert("host", "evil.example".parse().unwrap());
    let seen = world.send(cross).await;
    assert_eq!(seen.header("access-control-allow-origin"), "*");
    assert!(seen.header("access-control-expose-headers").contains("PAYMENT-REQUIRED"));
    assert!(seen.header("access-control-allow-credentials").is_empty());
    assert_eq!(seen.challenge().unwrap().resource.url, "https://api.example.com/weather");
    assert_eq!(world.runs(), 0);
}

async fn what_cannot_be_read_is_challenged_again(store: Arc<dyn ClaimStore>) {
    let world = World::new(store);
    let mut v1 = fresh();
    v1["x402Version"] = json!(1);
    let mut v3 = fresh();
    v3["x402Version"] = json!(3);
    let mut no_authorization = fresh();
    no_authorization["payload"] = json!({});
    let mut short_nonce = fresh();
    short_nonce["payload"]["authorization"]["nonce"] = json!("0x11");
    let mut permit2 = fresh();
    permit2["payload"] = json!({"permit2Authorization": {}, "signature": "0x"});
    for (value, code) in [
        (String::new(), "invalid_payload"),
        ("not base64".to_owned(), "invalid_payload"),
        (encoded(&json!([])), "invalid_payload"),
        (encoded(&json!({"x402Version": 2})), "invalid_payload"),
        (encoded(&json!({"x402Version": 1, "scheme": "exact"})), "invalid_payload"),
        (encoded(&json!({"x402Version": 3, "scheme": "exact"})), "invalid_x402_version"),
        (encoded(&v1), "invalid_payload"),
        (encoded(&v3), "invalid_x402_version"),
        (encoded(&no_authorization), "invalid_payload"),
        (encoded(&short_nonce), "invalid_payload"),
        (encoded(&permit2), "unsupported_payload_type"),
    ] {
        let mut asked = request("GET", "/weather", None);
        asked.headers_mut().insert("payment-signature", value.parse().unwrap());
        let seen = world.send(asked).await;
        seen.expect_refusal(402, code);
        assert_eq!(seen.challenge().unwrap().error.as_deref(), Some(code));
    }
    for header in ["payment-signature", "x-payment"] {
        let twice = paying("/weather", &[(header, &fresh()), (header, &fresh())]);
        world.send(twice).await.expect_refusal(402, "invalid_payload");
    }
    assert_eq!((world.runs(), world.facilitator.verified().len()), (0, 0));
}

async fn another_option_is_challenged_again(store: Arc<dyn ClaimStore>) {
    let world = World::new(store);
    let other = "0x70997970C51812dc3A010C7d01b50e0d17dc79C8";
    for (pointer, value, code) in [
        ("/accepted/scheme", json!("upto"), "no_matching_requirements"),
        ("/accepted/network", json!("eip155:8453"), "no_matching_requirements"),
        ("/accepted/asset", json!(other), "no_matching_requirements"),
        ("/accepted/payTo", json!(other), "no_matching_requirements"),
        ("/accepted/amount", json!("9999"), "no_matching_requirements"),
        ("/accepted/extra/name", json!("USD Coin"), "no_matching_requirements"),
        ("/payload/authorization/to", json!(other), Reason::EvmRecipientMismatch.code()),
        ("/payload/authorization/value", json!("9999"), Reason::EvmValueMismatch.code()),
        ("/payload/authorization/value", json!("10001"), Reason::EvmValueMismatch.code()),
    ] {
        let mut payment = fresh();
        *payment.pointer_mut(pointer).unwrap() = value;
        let seen = world.pay("/weather", &payment).await;
        seen.expect_refusal(402, code);
        assert_eq!(seen.challenge().unwrap().accepts, [payment::requirements()]);
    }
    assert_eq!((world.runs(), world.facilitator.verified().len()), (0, 0));
}

async fn times_outside_of_the_window_are_challenged_again(store: Arc<dyn ClaimStore>) {
    let world = World::new(store);
    let until = |seconds: u64| {
        let mut payment = fresh();
        payment["payload"]["authorization"]["validBefore"] = json!((now() + seconds).to_string());
        payment
    };
    // 30 s for the upstream and 15 s to settle.
    world.pay("/weather", &until(45)).await.expect_refusal(402, "deadline_too_close");
    world.pay("/weather", &until(0)).await.expect_refusal(402, "deadline_too_close");
    world.pay("/weather", &until(86_410)).await.expect_refusal(402, "validity_too_long");
    assert_eq!(world.pay("/weather", &until(48)).await.status, 200);
    assert_eq!(world.pay("/weather", &until(86_390)).await.status, 200);
    let mut huge = fresh();
    huge["payload"]["authorization"]["validBefore"] = json!("9".repeat(77));
    world.pay("/weather", &huge).await.expect_refusal(402, "validity_too_long");
}

async fn verdicts_are_passed_on(store: Arc<dyn ClaimStore>) {
    let world = World::new(store);
    let bad_signature = Reason::EvmSignature.code();
    for (said, status, code) in [
        (bad_signature, 402, bad_signature),
        ("invalid_exact_evm_something_new", 402, "invalid_exact_evm_something_new"),
        ("permit2_allowance_required", 412, "permit2_allowance_required"),
        ("chain_unavailable", 503, "chain_unavailable"),
        ("Error: https://rpc.example/canary-endpoint-words", 402, "unexpected_verify_error"),
        ("", 402, "unexpected_verify_error"),
    ] {
        let payment = fresh();
        world.facilitator.will_say(Verdict::Invalid(said.to_owned()));
        let seen = world.pay("/weather", &payment).await;
        seen.expect_refusal(status, code);
        assert_eq!(seen.challenge().is_some(), status != 503);
        assert!(!format!("{seen:?}").contains("canary"));
        assert_eq!(world.state(&key(&payment)).await, None, "nothing is claimed");
    }
    assert_eq!((world.runs(), world.facilitator.settled().len()), (0, 0));
}

async fn a_facilitator_without_verdict_is_502_and_nothing_is_claimed(store: Arc<dyn ClaimStore>) {
    let world = World::new(store);
    for fault in [
        Verdict::Fail(FacilitatorError::Unavailable("x")),
        Verdict::Fail(FacilitatorError::Unreachable),
        Verdict::Fail(FacilitatorError::TimedOut),
        Verdict::Fail(FacilitatorError::Nonsense("x")),
        Verdict::Hang,
        Verdict::Panic,
    ] {
        let payment = fresh();
        world.facilitator.will_say(fault);
        let seen = world.pay("/weather", &payment).await;
        seen.expect_refusal(502, "facilitator_unavailable");
        assert_eq!(seen.header("retry-after"), "1");
        assert_eq!(world.state(&key(&payment)).await, None);
        assert_eq!(world.pay("/weather", &payment).await.status, 200, "the same payment, later");
    }
}

async fn sizes_are_bounded(store: Arc<dyn ClaimStore>) {
    let mut config = config(vec![Route { matcher: "/weather".to_owned(), ..priced_route() }]);
    config.limits.max_request_body_bytes = 1000;
    config.limits.request_body_timeout = Duration::from_millis(100);
    let world = World::with(store, config, crate::world::answering(SECRET));
    let with_body = |payment: &Value, body: GateBody| {
        let builder = Request::builder().method("POST").uri("/weather");
        builder.header("PAYMENT-SIGNATURE", encoded(payment)).body(body).unwrap()
    };
    let mut long = fresh();
    long["padding"] = json!("x".repeat(30_000));
    world.pay("/weather", &long).await.expect_refusal(431, "header_too_large");

    let payment = fresh();
    let seen = world.send(with_body(&payment, GateBody::full(vec![0; 1001]))).await;
    seen.expect_refusal(413, "body_too_large");
    let chunks = vec![0_u8; 600];
    let unsized_body = http_body_util::StreamBody::new(futures::stream::iter(
        [chunks.clone(), chunks].map(|c| Ok::<_, std::io::Error>(http_body::Frame::data(c.into()))),
    ));
    let seen = world.send(with_body(&payment, GateBody::new(unsized_body))).await;
    seen.expect_refusal(413, "body_too_large");
    let never = http_body_util::StreamBody::new(futures::stream::pending::<
        Result<http_body::Frame<bytes::Bytes>, std::io::Error>,
    >());
    let seen = world.send(with_body(&payment, GateBody::new(never))).await;
    seen.expect_refusal(408, "request_body_broken");
    assert_eq!(world.state(&key(&payment)).await, None);
    assert_eq!((world.runs(), world.facilitator.verified().len()), (0, 0));
    let seen = world.send(with_body(&payment, GateBody::full(vec![0; 1000]))).await;
    assert_eq!(seen.status, 200);
}

async fn payments_at_once_are_bounded(store: Arc<dyn ClaimStore>) {
    let mut config = config(vec![priced_route()]);
    config.limits.max_payments = 2;
    let world = World::with(store, config, crate::world::answering(SECRET));
    world.facilitator.will_say(Verdict::Hang);
    world.facilitator.will_say(Verdict::Hang);
    let (first, second, late) = (fresh(), fresh(), fresh());
    let crowd = async {
        while world.facilitator.verified().len() < 2 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        let seen = world.pay("/weather", &late).await;
        seen.expect_refusal(503, "queue_full");
        assert_eq!(seen.header("retry-after"), "1");
        world.get("/weather").await.expect_refusal(402, "Payment required");
    };
    tokio::join!(world.pay("/weather", &first), world.pay("/weather", &second), crowd);
    assert_eq!(world.pay("/weather", &late).await.status, 200);
}
