//! One id for each request: on its answer, towards the application, never a client's own words.

use std::sync::Arc;

use faregate_gate::{GateBody, GateLayer, ProxyConfig, ReverseProxy, Route, Unmatched};
use faregate_telemetry::RequestId;
use http::{Request, Response};
use tower::{Layer, ServiceExt};

use crate::payment::fresh;
use crate::upstream::{App, Upstream};
use crate::world::{ORIGIN, Resource, Seen, World, config, memory, priced_route, request};

/// Answers with the ids it was told, and with one of its own.
fn telling() -> Resource {
    Arc::new(|request: Request<GateBody>| {
        Box::pin(async move {
            let told: Vec<_> = request
                .headers()
                .iter()
                .filter(|(name, _)| name.as_str().replace('_', "-") == "x-request-id")
                .map(|(_, value)| value.to_str().unwrap().to_owned())
                .collect();
            let answer = Response::builder().header("x-request-id", "the-application-s");
            answer.body(GateBody::full(told.join(","))).unwrap()
        })
    })
}

fn world() -> World {
    let mut config = config(vec![priced_route(), Route::free("free", "/free")]);
    config.unmatched = Unmatched::Deny;
    World::with(memory(), config, telling())
}

fn told(seen: &Seen) -> &str {
    std::str::from_utf8(&seen.body).unwrap()
}

#[tokio::test]
async fn every_answer_has_an_id() {
    let world = world();
    let mut ids = std::collections::HashSet::new();
    for (uri, status) in [
        ("/free", 200),
        ("/weather", 402),
        ("/weather/", 400),
        ("/nowhere", 404),
        ("https://evil.example/weather", 400),
    ] {
        let seen = world.get(uri).await;
        assert_eq!(seen.status, status, "{uri}");
        assert_eq!(seen.header("x-request-id").len(), 36);
        assert!(ids.insert(seen.header("x-request-id").to_owned()), "an id of its own");
    }
    let mut preflight = request("OPTIONS", "/weather", None);
    preflight.headers_mut().insert("origin", "https://page.example".parse().unwrap());
    preflight.headers_mut().insert("access-control-request-method", "GET".parse().unwrap());
    let seen = world.send(preflight).await;
    assert_eq!((seen.status.as_u16(), seen.header("x-request-id").len()), (204, 36));
}

#[tokio::test]
async fn the_application_is_told_the_id_of_the_answer() {
    let world = world();
    for (uri, payment) in [("/free", None), ("/weather", Some(fresh()))] {
        let seen = world.send(request("GET", uri, payment.as_ref())).await;
        assert_eq!(seen.status, 200);
        assert_eq!(told(&seen), seen.header("x-request-id"), "{uri}");
    }
}

#[tokio::test]
async fn a_good_id_is_kept_and_a_bad_one_replaced() {
    let world = world();
    for (uri, payment) in [("/free", None), ("/weather", Some(fresh()))] {
        let mut asked = request("GET", uri, payment.as_ref());
        let headers = asked.headers_mut();
        headers.append("x-request-id", "mine_1".parse().unwrap());
        headers.append("x-request-id", "another".parse().unwrap());
        headers.append("x_request_id", "forged".parse().unwrap());
        headers.append("connection", "x-request-id".parse().unwrap());
        let seen = world.send(asked).await;
        assert_eq!((seen.header("x-request-id"), told(&seen)), ("mine_1", "mine_1"), "{uri}");
    }
    for bad in ["", "a b", "\"}", "../x", &"a".repeat(65)] {
        let mut asked = request("GET", "/free", None);
        asked.headers_mut().insert("x-request-id", bad.parse().unwrap());
        let seen = world.send(asked).await;
        assert_eq!(told(&seen).len(), 36, "{bad:?}");
    }
}

#[tokio::test]
async fn an_id_given_further_out_is_kept() {
    let world = world();
    let mut asked = request("GET", "/free", None);
    let given = RequestId::fresh();
    asked.extensions_mut().insert(given.clone());
    asked.headers_mut().insert("x-request-id", "mine".parse().unwrap());
    let seen = world.send(asked).await;
    assert_eq!((seen.header("x-request-id"), told(&seen)), (given.as_str(), given.as_str()));
}

#[tokio::test]
async fn an_application_behind_the_proxy_is_told_too() {
    let app: App = Arc::new(|request| {
        let told = request.headers().get("x-request-id").cloned();
        let told = told.map_or(String::new(), |id| id.to_str().unwrap().to_owned());
        Box::pin(async move { Response::new(GateBody::full(told)) })
    });
    let upstream = Upstream::start(app).await;
    let proxied = ProxyConfig::new(ORIGIN.parse().unwrap());
    let proxy = ReverseProxy::new(&upstream.url(), proxied).unwrap();
    let gate = world().gate;
    for (uri, payment) in [("/free", None), ("/weather", Some(fresh()))] {
        let mut asked = request("GET", uri, payment.as_ref());
        asked.headers_mut().insert("x-request-id", "mine".parse().unwrap());
        asked.headers_mut().insert("connection", "x-request-id, close".parse().unwrap());
        let service = GateLayer::new(Arc::clone(&gate)).layer(proxy.clone());
        let Ok(answer) = service.oneshot(asked).await;
        let seen = Seen::of(answer).await;
        assert_eq!((seen.header("x-request-id"), told(&seen)), ("mine", "mine"), "{uri}");
    }
}
