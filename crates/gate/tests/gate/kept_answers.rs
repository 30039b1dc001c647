//! The answer that a payment bought, again: the same bytes, from one run and one grant, to nobody
//! but who presents the same signed payment with the same request.

use std::sync::Arc;

use bytes::Bytes;
use faregate_gate::{GateBody, Route};
use faregate_ledger::{ClaimState, ClaimStore};
use futures::future::join_all;
use http::{HeaderValue, Request, Response};
use proptest::prelude::*;
use serde_json::{Value, json};

use crate::payment::{as_v1, encoded, fresh, key, requirements};
use crate::world::{
    Resource, SECRET, Seen, World, answering, config, memory, on_both_stores, paying, priced_route,
    request,
};

const REPEATS: usize = 20;
const WAYS: usize = 64;
const LIMIT: usize = 64 * 1024;

on_both_stores! {
    every_repeat_is_the_first_answer
    every_kind_of_answer_is_kept
    copies_at_once_run_once_and_all_are_served_in_the_end
    an_answer_as_large_as_the_limit_is_kept_and_a_larger_one_is_not_sold
    both_versions_get_the_same_answer
    what_a_browser_may_read_follows_the_request_at_hand
}

async fn every_repeat_is_the_first_answer(store: Arc<dyn ClaimStore>) {
    // No two runs answer the same.
    let changing: Resource = Arc::new(|_| {
        Box::pin(async {
            let body = format!("{SECRET} {}", uuid::Uuid::new_v4());
            let answer = Response::builder()
                .status(201)
                .header("set-cookie", "b=2")
                .header("x-raw", HeaderValue::from_bytes(b"\xff\xfe").unwrap())
                .header("set-cookie", "a=1")
                .header("cache-control", "public, max-age=600")
                .header("etag", "\"1\"");
            answer.body(GateBody::full(body)).unwrap()
        })
    });
    let world = World::with(store, config(vec![priced_route()]), changing);
    let payment = fresh();
    let first = world.pay("/weather", &payment).await;
    assert_eq!((first.status.as_u16(), first.is_granted()), (201, true));
    assert_eq!(first.header("cache-control"), "private, no-store");
    assert!(first.header("etag").is_empty());
    assert!(first.receipt().unwrap().success);
    for _ in 0..REPEATS {
        assert_eq!(world.pay("/weather", &payment).await.answer(), first.answer());
    }
    let restarted = world.restarted(config(vec![priced_route()]));
    assert_eq!(restarted.pay("/weather", &payment).await.answer(), first.answer());
    assert_eq!((world.runs(), restarted.runs()), (1, 0));
    assert_eq!(world.facilitator.settled().len() + restarted.facilitator.settled().len(), 1);
    assert_eq!(world.grants(&key(&payment)).await, 1);
}

async fn every_kind_of_answer_is_kept(store: Arc<dyn ClaimStore>) {
    let by_query: Resource = Arc::new(|request| {
        let kind = request.uri().query().unwrap_or_default().to_owned();
        Box::pin(async move {
            let (status, header, body) = match kind.as_str() {
                "empty" => (204, ("x-none", ""), ""),
                "part" => (206, ("content-range", "bytes 0-3/9"), "part"),
                "moved" => (303, ("location", "/elsewhere"), ""),
                "moved-with-body" => (302, ("location", "/elsewhere"), "look there"),
                "same" => (304, ("x-none", ""), ""),
                _ => (200, ("content-length", "11"), ""),
            };
            let answer = Response::builder().status(status).header(header.0, header.1);
            answer.body(GateBody::full(body)).unwrap()
        })
    });
    let world = World::with(store, config(vec![priced_route()]), by_query);
    for (i, (method, kind)) in [
        ("GET", "empty"),
        ("GET", "part"),
        ("GET", "moved"),
        ("GET", "moved-with-body"),
        ("GET", "same"),
        ("HEAD", "head"),
    ]
    .into_iter()
    .enumerate()
    {
        let payment = fresh();
        let uri = format!("/weather?{kind}");
        let first = world.send(request(method, &uri, Some(&payment))).await;
        assert!(first.status.as_u16() < 400 && first.receipt().unwrap().success, "{first:?}");
        for _ in 0..2 {
            let again = world.send(request(method, &uri, Some(&payment))).await;
            assert_eq!(again.answer(), first.answer(), "{method} {kind}");
        }
        assert_eq!((world.runs(), world.grants(&key(&payment)).await), (i + 1, 1));
    }
}

async fn copies_at_once_run_once_and_all_are_served_in_the_end(store: Arc<dyn ClaimStore>) {
    let slow: Resource = Arc::new(|_| {
        Box::pin(async {
            tokio::time::sleep(std::time::Duration::from_millis(50)).await;
            Response::new(GateBody::full(format!("{SECRET} {}", uuid::Uuid::new_v4())))
        })
    });
    let world = World::with(store, config(vec![priced_route()]), slow);
    let replica = world.restarted(config(vec![priced_route()]));
    let payment = fresh();
    let until_served = |i: usize| {
        let world = if i.is_multiple_of(2) { &world } else { &replica };
        let payment = &payment;
        async move {
            for _ in 0..200 {
                let seen = world.pay("/weather", payment).await;
                if seen.status == 200 {
                    return seen;
                }
                assert_eq!(seen.status, 409, "{seen:?}");
                tokio::time::sleep(std::time::Duration::from_millis(10)).await;
            }
            panic!("never served");
        }
    };
    let served = join_all((0..WAYS).map(until_served)).await;
    for seen in &served {
        assert_eq!(seen.answer(), served[0].answer());
    }
    assert_eq!(world.runs() + replica.runs(), 1);
    assert_eq!(world.facilitator.settled().len() + replica.facilitator.settled().len(), 1);
    assert_eq!(world.grants(&key(&payment)).await, 1);
}

async fn an_answer_as_large_as_the_limit_is_kept_and_a_larger_one_is_not_sold(
    store: Arc<dyn ClaimStore>,
) {
    let sized: Resource = Arc::new(|request| {
        let size: usize = request.uri().query().unwrap().parse().unwrap();
        Box::pin(async move {
            let bytes: Vec<u8> = (0..=255).cycle().take(size).collect();
            Response::new(GateBody::full(bytes))
        })
    });
    let mut config = config(vec![priced_route()]);
    config.limits.max_answer_bytes = LIMIT;
    let world = World::with(store, config, sized);
    let (fits, too_large) = (fresh(), fresh());
    let first = world.pay(&format!("/weather?{LIMIT}"), &fits).await;
    assert_eq!((first.status.as_u16(), first.body.len()), (200, LIMIT));
    let again = world.pay(&format!("/weather?{LIMIT}"), &fits).await;
    assert!(again.answer() == first.answer());
    let seen = world.pay(&format!("/weather?{}", LIMIT + 1), &too_large).await;
    seen.expect_refusal(502, "answer_too_large");
    assert_eq!(world.store.find_answer(&key(&too_large)).await.unwrap(), None);
    assert_eq!(world.facilitator.settled().len(), 1);
}

async fn both_versions_get_the_same_answer(store: Arc<dyn ClaimStore>) {
    let world = World::new(store);
    let payment = fresh();
    let v1 = as_v1(&payment);
    let first = world.send(paying("/weather", &[("X-PAYMENT", &v1)])).await;
    let again = world.send(paying("/weather", &[("X-PAYMENT", &v1)])).await;
    assert_eq!(again.answer(), first.answer());
    let other = world.pay("/weather", &payment).await;
    assert_eq!(other.content(), first.content());
    let (old, new) = (first.receipt_v1().unwrap(), other.receipt().unwrap());
    assert_eq!((old.success, &old.transaction), (new.success, &new.transaction));
    assert_eq!((old.network.as_str(), new.network.as_str()), ("base-sepolia", "eip155:84532"));
    assert_eq!((world.runs(), world.grants(&key(&payment)).await), (1, 1));
}

async fn what_a_browser_may_read_follows_the_request_at_hand(store: Arc<dyn ClaimStore>) {
    let world = World::new(store);
    let payment = fresh();
    let mut cross = request("GET", "/weather", Some(&payment));
    cross.headers_mut().insert("origin", "https://page.example".parse().unwrap());
    let first = world.send(cross).await;
    assert_eq!(first.header("access-control-allow-origin"), "*");
    let again = world.pay("/weather", &payment).await;
    assert!(again.is_granted() && again.header("access-control-allow-origin").is_empty());
}

#[tokio::test]
async fn a_kept_answer_is_not_sent_before_its_grant() {
    let world = World::new(memory());
    // At every state on the way, also without a facilitator that could prove anything.
    for state in [ClaimState::Executed, ClaimState::Settling, ClaimState::Unresolved] {
        let payment = fresh();
        crate::abandoned::left_in(&world, &payment, state).await;
        for _ in 0..5 {
            let pending = faregate_protocol::FacilitatorError::TimedOut;
            world.facilitator.will_settle(crate::scripted_facilitator::Outcome::Fail(pending));
            let seen = world.pay("/weather", &payment).await;
            assert!(!seen.is_granted(), "{seen:?}");
            assert_eq!(world.grants(&key(&payment)).await, 0);
            world.until_unheld(&key(&payment)).await;
        }
    }
}

/// All that a payment is tied to, and what it is not.
#[derive(Clone, Debug, PartialEq)]
struct Asked {
    method: &'static str,
    path: &'static str,
    query: &'static str,
    body: &'static str,
    range: &'static str,
    signature: &'static str,
    accept: &'static str,
    version: u8,
}

impl Asked {
    /// What they differ in counts.
    fn buys_the_same_as(&self, other: &Self) -> bool {
        Self { accept: "", version: 2, ..self.clone() }
            == Self { accept: "", version: 2, ..other.clone() }
    }

    fn request(&self, payment: &Value) -> Request<GateBody> {
        let mut payment = payment.clone();
        let signed = payment["payload"]["signature"].as_str().unwrap();
        payment["payload"]["signature"] = json!(format!("{signed}{}", self.signature));
        let (header, payment) = match self.version {
            1 => ("X-PAYMENT", as_v1(&payment)),
            _ => ("PAYMENT-SIGNATURE", payment),
        };
        let uri = format!("{}{}", self.path, self.query);
        let mut request = Request::builder()
            .method(self.method)
            .uri(uri)
            .header(header, encoded(&payment))
            .header("accept", self.accept);
        if !self.range.is_empty() {
            request = request.header("range", self.range);
        }
        request.body(GateBody::full(Bytes::from_static(self.body.as_bytes()))).unwrap()
    }
}

fn asked() -> impl Strategy<Value = Asked> {
    let of = |texts: &'static [&'static str]| prop::sample::select(texts);
    (
        of(&["GET", "HEAD", "POST"]),
        of(&["/a", "/b"]),
        of(&["", "?q=1", "?q=2"]),
        of(&["", "body", "bodz"]),
        of(&["", "bytes=0-1", "bytes=0-2"]),
        of(&["", "00"]),
        of(&["text/plain", "text/html"]),
        1..=2_u8,
    )
        .prop_map(|(method, path, query, body, range, signature, accept, version)| Asked {
            method,
            path,
            query,
            body,
            range,
            signature,
            accept,
            version,
        })
}

/// Requests that mostly differ in one thing or in none.
fn pairs() -> impl Strategy<Value = (Asked, Asked)> {
    (asked(), asked(), 0..10_usize).prop_map(|(first, other, differs_in)| {
        let mut second = first.clone();
        match differs_in {
            0 => second.method = other.method,
            1 => second.path = other.path,
            2 => second.query = other.query,
            3 => second.body = other.body,
            4 => second.range = other.range,
            5 => second.signature = other.signature,
            6 => second.accept = other.accept,
            7 => second.version = other.version,
            8 => second = other,
            _ => {}
        }
        (first, second)
    })
}

proptest! {
    #[test]
    fn only_the_same_payment_with_the_same_request_gets_it((first, second) in pairs()) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let route = |name: &str, matcher: &str| {
                Route::priced(name, matcher, vec![requirements()])
            };
            let routes = config(vec![route("a", "/a"), route("b", "/b")]);
            let world = World::with(memory(), routes, answering(SECRET));
            let payment = fresh();
            let bought: Seen = world.send(first.request(&payment)).await;
            prop_assert!(bought.is_granted(), "{:?}", bought);
            let seen = world.send(second.request(&payment)).await;
            if second.buys_the_same_as(&first) {
                prop_assert_eq!(seen.content(), bought.content());
            } else {
                seen.expect_refusal(409, "payment_already_claimed");
            }
            prop_assert_eq!((world.runs(), world.facilitator.settled().len()), (1, 1));
            Ok(())
        })?;
    }
}
