//! A payment buys one request: pairs that differ in one component, in both orders.

use std::sync::Arc;

use faregate_gate::{GateBody, Route};
use faregate_ledger::ClaimStore;
use http::Request;
use serde_json::Value;

use crate::payment::{encoded, fresh, requirements};
use crate::world::{SECRET, World, answering, config, on_both_stores};

on_both_stores! { each_component_is_bought_alone equal_requests_are_one }

type Make = fn(&Value) -> Request<GateBody>;

fn make(
    method: &str,
    uri: &str,
    body: &'static str,
    range: &str,
    payment: &Value,
) -> Request<GateBody> {
    let mut request =
        Request::builder().method(method).uri(uri).header("X-PAYMENT", encoded(payment));
    if !range.is_empty() {
        request = request.header("Range", range);
    }
    request.body(GateBody::full(body)).unwrap()
}

fn world(store: Arc<dyn ClaimStore>) -> World {
    let route = |name: &str, matcher: &str| Route::priced(name, matcher, vec![requirements()]);
    let routes = vec![route("a", "/a"), route("b", "/b"), route("c", "PUT /a")];
    World::with(store, config(routes), answering(SECRET))
}

async fn each_component_is_bought_alone(store: Arc<dyn ClaimStore>) {
    let world = world(store);
    let one: Make = |p| make("POST", "/a?q=1", "body", "bytes=0-1", p);
    let others: [Make; 9] = [
        |p| make("PATCH", "/a?q=1", "body", "bytes=0-1", p),
        |p| make("PUT", "/a?q=1", "body", "bytes=0-1", p),
        |p| make("POST", "/b?q=1", "body", "bytes=0-1", p),
        |p| make("POST", "/a?q=2", "body", "bytes=0-1", p),
        |p| make("POST", "/a", "body", "bytes=0-1", p),
        |p| make("POST", "/a?q=1", "bodz", "bytes=0-1", p),
        |p| make("POST", "/a?q=1", "", "bytes=0-1", p),
        |p| make("POST", "/a?q=1", "body", "bytes=0-2", p),
        |p| make("POST", "/a?q=1", "body", "", p),
    ];
    for (i, other) in others.iter().enumerate() {
        for (first, second) in [(&one, other), (other, &one)] {
            let payment = fresh();
            let runs = world.runs();
            assert_eq!(world.send(first(&payment)).await.status, 200, "{i}");
            let seen = world.send(second(&payment)).await;
            seen.expect_refusal(409, "payment_already_claimed");
            assert_eq!(world.runs(), runs + 1);
        }
    }
}

async fn equal_requests_are_one(store: Arc<dyn ClaimStore>) {
    let world = world(store);
    let payment = fresh();
    let mut first = make("GET", "/a?q=1", "", "", &payment);
    first.headers_mut().insert("accept", "text/plain".parse().unwrap());
    assert_eq!(world.send(first).await.status, 200);
    // An absolute target at the configured origin is the same request.
    for uri in ["/a?q=1", "https://api.example.com/a?q=1", "https://API.example.com:443/a?q=1"] {
        let seen = world.send(make("GET", uri, "", "", &payment)).await;
        assert_eq!((seen.status.as_u16(), &seen.body[..]), (200, SECRET.as_bytes()));
    }
    assert_eq!(world.runs(), 1);
}
