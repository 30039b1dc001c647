//! What the resource answers, and that nothing but a whole answer below 400 is sold.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use faregate_gate::{GateBody, PAYER, PAYMENT, Route};
use faregate_ledger::{ClaimState, ClaimStore};
use futures::stream;
use http::{Request, Response};
use http_body::Frame;
use http_body_util::StreamBody;

use crate::payment::{self, fresh, key};
use crate::world::{
    Resource, SECRET, Seen, World, answering, config, on_both_stores, priced_route, request,
};

on_both_stores! {
    a_failing_resource_passes_unpaid_and_capped
    every_status_below_400_is_sold
    an_informational_status_is_no_answer
    an_answer_that_breaks_off_is_not_sold
    an_answer_above_the_limit_is_not_sold
    a_resource_that_is_too_slow_is_not_sold
    a_panic_is_500_and_releases
    caches_are_told_nothing
    the_resource_learns_who_paid_and_nothing_of_the_payment
    a_lost_lease_stops_the_flow
    a_resource_may_run_for_many_leases
    where_nothing_may_run_twice_a_payment_runs_it_once
}

fn world(store: Arc<dyn ClaimStore>, resource: Resource) -> World {
    let mut config = config(vec![priced_route()]);
    config.limits.max_answer_bytes = 1000;
    config.limits.max_failed_answer_bytes = 100;
    World::with(store, config, resource)
}

fn answers(make: impl Fn() -> Response<GateBody> + Send + Sync + 'static) -> Resource {
    Arc::new(move |_| {
        let answer = make();
        Box::pin(async move { answer })
    })
}

async fn unsold(world: &World, payment: &serde_json::Value) -> Seen {
    let seen = world.pay("/weather", payment).await;
    assert_eq!(world.state(&key(payment)).await, Some(ClaimState::Released), "{seen:?}");
    assert_eq!(world.facilitator.settled().len(), 0);
    assert!(seen.receipt().is_none());
    assert_eq!(seen.header("cache-control"), "no-store");
    seen
}

async fn a_failing_resource_passes_unpaid_and_capped(store: Arc<dyn ClaimStore>) {
    for status in [400, 402, 404, 429, 500, 502, 503] {
        let world = world(
            Arc::clone(&store),
            answers(move || {
                let answer = Response::builder().status(status).header("etag", "x");
                let answer = answer.header("payment-required", "forged").header("x-own", "kept");
                answer.body(GateBody::full("e".repeat(300))).unwrap()
            }),
        );
        let payment = fresh();
        let seen = unsold(&world, &payment).await;
        assert_eq!(seen.status.as_u16(), status);
        assert_eq!((seen.body.len(), seen.header("content-length")), (100, "100"));
        assert_eq!((seen.header("etag"), seen.header("x-own")), ("", "kept"));
        assert!(seen.header("payment-required").is_empty());
        // Nothing was charged, so the same payment may try again.
        assert_eq!(world.pay("/weather", &payment).await.status.as_u16(), status);
        assert_eq!(world.runs(), 2);
    }
}

async fn every_status_below_400_is_sold(store: Arc<dyn ClaimStore>) {
    for status in [200, 201, 202, 204, 206, 301, 304, 308] {
        let resource =
            answers(move || Response::builder().status(status).body(GateBody::empty()).unwrap());
        let world = world(Arc::clone(&store), resource);
        let payment = fresh();
        let seen = world.pay("/weather", &payment).await;
        assert_eq!(seen.status.as_u16(), status);
        assert!(seen.receipt().unwrap().success);
        assert_eq!(world.state(&key(&payment)).await, Some(ClaimState::Granted));
        let has_length = !matches!(status, 204 | 304);
        assert_eq!(seen.headers.contains_key("content-length"), has_length);
    }
}

async fn an_informational_status_is_no_answer(store: Arc<dyn ClaimStore>) {
    let resource = answers(|| Response::builder().status(101).body(GateBody::empty()).unwrap());
    let world = world(store, resource);
    unsold(&world, &fresh()).await.expect_refusal(502, "upstream_unavailable");
}

async fn an_answer_that_breaks_off_is_not_sold(store: Arc<dyn ClaimStore>) {
    for status in [200, 500] {
        let resource = answers(move || {
            let half = Frame::data(Bytes::from_static(SECRET.as_bytes()));
            let parts = [Ok(half), Err(std::io::Error::other("broken"))];
            let body = GateBody::new(StreamBody::new(stream::iter(parts)));
            Response::builder().status(status).body(body).unwrap()
        });
        let world = world(Arc::clone(&store), resource);
        unsold(&world, &fresh()).await.expect_refusal(502, "upstream_unavailable");
    }
}

async fn an_answer_above_the_limit_is_not_sold(store: Arc<dyn ClaimStore>) {
    let endless = answers(|| {
        let chunk = || Ok::<_, std::io::Error>(Frame::data(Bytes::from_static(&[b'x'; 400])));
        Response::new(GateBody::new(StreamBody::new(stream::repeat_with(chunk))))
    });
    let world = world(Arc::clone(&store), endless);
    unsold(&world, &fresh()).await.expect_refusal(502, "answer_too_large");
    let just_fits = self::world(store, answers(|| Response::new(GateBody::full(vec![b'x'; 1000]))));
    assert_eq!(just_fits.pay("/weather", &fresh()).await.status, 200);
}

async fn a_resource_that_is_too_slow_is_not_sold(store: Arc<dyn ClaimStore>) {
    let hang: Resource = Arc::new(|_| Box::pin(std::future::pending()));
    let mut route = priced_route();
    route.upstream_timeout = Duration::from_millis(50);
    let world = World::with(Arc::clone(&store), config(vec![route.clone()]), hang);
    unsold(&world, &fresh()).await.expect_refusal(504, "upstream_timed_out");
    let stuck = answers(|| {
        let never = stream::pending::<Result<Frame<Bytes>, std::io::Error>>();
        Response::new(GateBody::new(StreamBody::new(never)))
    });
    let world = World::with(store, config(vec![route]), stuck);
    unsold(&world, &fresh()).await.expect_refusal(504, "upstream_timed_out");
}

async fn a_panic_is_500_and_releases(store: Arc<dyn ClaimStore>) {
    let world = world(store, Arc::new(|_| Box::pin(async { panic!("scripted") })));
    unsold(&world, &fresh()).await.expect_refusal(500, "internal_error");
}

async fn caches_are_told_nothing(store: Arc<dyn ClaimStore>) {
    let names = [
        "expires",
        "etag",
        "last-modified",
        "age",
        "surrogate-control",
        "cdn-cache-control",
        "cloudflare-cdn-cache-control",
        "x-accel-expires",
        "x-accel-redirect",
        "payment-response",
        "payment-required",
        "x-payment-response",
        "settlement-overrides",
        "connection",
        "keep-alive",
        "x-hop",
    ];
    let resource = answers(move || {
        let mut answer = Response::new(GateBody::full(SECRET));
        for name in names {
            let value = if name == "connection" { "x-hop" } else { "1" };
            answer.headers_mut().insert(name, value.parse().unwrap());
        }
        answer.headers_mut().insert("cache-control", "public, max-age=3600".parse().unwrap());
        answer.headers_mut().insert("content-length", "3".parse().unwrap());
        answer.headers_mut().insert("vary", "accept".parse().unwrap());
        answer.headers_mut().insert("set-cookie", "a=b".parse().unwrap());
        answer
    });
    let world = world(store, resource);
    let seen = world.pay("/weather", &fresh()).await;
    assert_eq!(seen.status, 200);
    for name in names.iter().filter(|name| **name != "payment-response") {
        assert!(!seen.headers.contains_key(*name), "{name}");
    }
    assert!(seen.receipt().unwrap().success, "ours, not the application's");
    assert_eq!(seen.header("cache-control"), "private, no-store");
    assert_eq!(seen.header("content-length"), SECRET.len().to_string());
    let vary: Vec<_> = seen.headers.get_all("vary").iter().collect();
    assert_eq!(vary, ["accept", "PAYMENT-SIGNATURE, X-PAYMENT"]);
    assert_eq!(seen.header("set-cookie"), "a=b");
}

async fn the_resource_learns_who_paid_and_nothing_of_the_payment(store: Arc<dyn ClaimStore>) {
    let (send, heard) = std::sync::mpsc::channel();
    let send = std::sync::Mutex::new(send);
    let echo: Resource = Arc::new(move |request: Request<GateBody>| {
        send.lock().unwrap().send(request.headers().clone()).unwrap();
        Box::pin(async { Response::new(GateBody::full(SECRET)) })
    });
    let world = world(store, echo);
    let payment = fresh();
    let mut asked = request("GET", "/weather", Some(&payment));
    for (name, value) in [
        ("x-faregate-payer", "forged"),
        ("x_faregate_payer", "forged"),
        ("x_faregate_payment", "forged"),
        ("connection", "x-faregate-payer, x-faregate-payment"),
        ("if-none-match", "\"x\""),
        ("if-modified-since", "Thu, 01 Jan 1970 00:00:00 GMT"),
        ("x-http-method-override", "DELETE"),
        ("x_http_method_override", "DELETE"),
        ("x-original-url", "/other"),
        ("accept-encoding", "gzip"),
        ("transfer-encoding", "chunked"),
    ] {
        let name: http::HeaderName = name.parse().unwrap();
        asked.headers_mut().append(name, value.parse().unwrap());
    }
    assert_eq!(world.send(asked).await.status, 200);
    let headers = heard.recv().unwrap();
    assert_eq!(headers.get(PAYER).unwrap(), payment::PAYER);
    assert_eq!(headers.get(PAYMENT).unwrap(), &key(&payment).to_string());
    assert_eq!(headers.get("accept-encoding").unwrap(), "gzip");
    assert_eq!(headers.len(), 4, "{headers:?}");
}

async fn a_lost_lease_stops_the_flow(store: Arc<dyn ClaimStore>) {
    let hang: Resource = Arc::new(|_| Box::pin(std::future::pending()));
    let world = world(store, hang);
    let payment = fresh();
    let thief = async {
        while world.runs() == 0 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        // As another process would see a claim whose lease ran out while this one slept.
        let claim = world.store.find_claim(&key(&payment)).await.unwrap().unwrap();
        let hold = faregate_ledger::Hold {
            key: key(&payment),
            token: claim.token,
            epoch: claim.epoch,
            settle_id: claim.new.settle_id,
        };
        world.store.let_go(&hold).await.unwrap();
        world.store.take_over(&key(&payment), ClaimState::Verified, 60_000).await.unwrap().unwrap();
    };
    let (seen, ()) = tokio::join!(world.pay("/weather", &payment), thief);
    seen.expect_refusal(503, "payment_in_progress");
    assert_eq!(world.state(&key(&payment)).await, Some(ClaimState::Verified));
    assert_eq!(world.facilitator.settled().len(), 0);
}

async fn a_resource_may_run_for_many_leases(store: Arc<dyn ClaimStore>) {
    let slow: Resource = Arc::new(|_| {
        Box::pin(async {
            tokio::time::sleep(Duration::from_millis(1500)).await;
            Response::new(GateBody::full(SECRET))
        })
    });
    let mut config = config(vec![priced_route()]);
    config.lease_ms = 600;
    let world = World::with(store, config, slow);
    let payment = fresh();
    let impatient = async {
        tokio::time::sleep(Duration::from_millis(1100)).await;
        world.gate.sweep().await;
        world.pay("/weather", &payment).await.expect_refusal(409, "payment_in_progress");
    };
    let (seen, ()) = tokio::join!(world.pay("/weather", &payment), impatient);
    assert_eq!((seen.status.as_u16(), world.runs()), (200, 1));
}

/// D5.1: whatever became of the one run, nothing was charged for it unless it was sold.
async fn where_nothing_may_run_twice_a_payment_runs_it_once(store: Arc<dyn ClaimStore>) {
    let once = || Route { rerun: false, ..priced_route() };
    let good = World::with(Arc::clone(&store), config(vec![once()]), answering(SECRET));
    let payment = fresh();
    let seen = good.pay("/weather", &payment).await;
    assert!(seen.is_granted(), "{seen:?}");
    assert_eq!(good.pay("/weather", &payment).await.answer(), seen.answer(), "the kept answer");
    assert_eq!(good.runs(), 1);

    let panics: Resource = Arc::new(|_| panic!("scripted"));
    let fails = answers(|| Response::builder().status(500).body(GateBody::empty()).unwrap());
    for resource in [panics, fails] {
        let world = World::with(Arc::clone(&store), config(vec![once()]), resource);
        let payment = fresh();
        unsold(&world, &payment).await;
        for _ in 0..2 {
            let again = unsold(&world, &payment).await;
            again.expect_refusal(409, "handler_interrupted");
            assert!(again.challenge().is_none());
        }
        assert_eq!(world.runs(), 1);
        let other = fresh();
        unsold(&world, &other).await;
        assert_eq!(world.runs(), 2, "another payment runs it");
    }
}
