//! The port to a facilitator over HTTP, against real sockets.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use faregate_gate::{ClientError, GateBody, RemoteConfig, RemoteFacilitator};
use faregate_protocol::{
    Facilitator, FacilitatorError, PaymentPayload, PaymentRequest, SettleTerms,
};
use faregate_telemetry::Redacted;
use http::{Response, request::Parts};
use http_body_util::BodyExt;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use uuid::Uuid;

use crate::payment::{fresh, requirements};
use crate::upstream::Upstream;

type Heard = Arc<Mutex<Vec<(Parts, Value)>>>;

/// A facilitator that says one thing, and what it was asked.
async fn saying(status: u16, body: String) -> (Upstream, Heard) {
    let heard = Heard::default();
    let listening = Arc::clone(&heard);
    let upstream = Upstream::start(Arc::new(move |request| {
        let (listening, body) = (Arc::clone(&listening), body.clone());
        Box::pin(async move {
            let (parts, asked) = request.into_parts();
            let asked = asked.collect().await.unwrap().to_bytes();
            let asked = serde_json::from_slice(&asked).unwrap_or(Value::Null);
            listening.lock().unwrap().push((parts, asked));
            let answer = Response::builder().status(status).header("location", "/elsewhere");
            answer.body(GateBody::full(body)).unwrap()
        })
    }))
    .await;
    (upstream, heard)
}

fn remote(upstream: &Upstream) -> RemoteFacilitator {
    let mut config = RemoteConfig::new(upstream.url().join("/x402/").unwrap());
    config.verify_timeout = Duration::from_millis(300);
    config.settle_timeout = Duration::from_millis(300);
    config.token = Some(Redacted::new("canary-token".to_owned()));
    RemoteFacilitator::new(config).unwrap()
}

fn asked() -> PaymentRequest {
    let payload: PaymentPayload = serde_json::from_value(fresh()).unwrap();
    PaymentRequest::new(payload, requirements())
}

#[tokio::test]
async fn questions_carry_the_terms_and_the_token() {
    let paid = json!({"success": true, "transaction": "0x1", "network": "eip155:84532"});
    let (upstream, heard) = saying(200, paid.to_string()).await;
    let (remote, request) = (remote(&upstream), asked());
    let terms = SettleTerms {
        settle_id: Some(Uuid::from_u128(5)),
        deadline_unix_ms: Some(1234),
        deployment: Some(Uuid::from_u128(6)),
        patient: true,
    };
    assert!(remote.settle(&request, &terms).await.unwrap().success);
    let (parts, body) = heard.lock().unwrap().remove(0);
    assert_eq!((parts.method.as_str(), parts.uri.path()), ("POST", "/x402/settle"));
    assert_eq!(parts.headers["idempotency-key"], Uuid::from_u128(5).to_string());
    assert_eq!(parts.headers["faregate-deadline"], "1234");
    assert_eq!(parts.headers["faregate-deployment"], Uuid::from_u128(6).to_string());
    assert_eq!(parts.headers["faregate-patient"], "true");
    assert_eq!(parts.headers["authorization"], "Bearer canary-token");
    assert_eq!(body, serde_json::to_value(&request).unwrap());
    assert_eq!(body["paymentRequirements"], serde_json::to_value(requirements()).unwrap());
    assert!(
        !format!(
            "{:?}",
            RemoteConfig {
                token: Some(Redacted::new("canary".to_owned())),
                ..RemoteConfig::new(upstream.url())
            }
        )
        .contains("canary")
    );
}

#[tokio::test]
async fn what_is_an_answer_and_what_is_not() {
    let valid = json!({"isValid": true, "payer": "0x1"}).to_string();
    let invalid = json!({"isValid": false, "invalidReason": "x"}).to_string();
    let refused = json!({"success": false, "errorReason": "x", "network": "n"}).to_string();
    let nonsense = |what| Err(FacilitatorError::Nonsense(what));
    let (shape, not_json) = ("its JSON has another shape", "it is not JSON");
    let error = "its status is an error and its body is no verdict";
    for (status, body, verify) in [
        (200, valid.as_str(), Ok(true)),
        (200, &invalid, Ok(false)),
        (400, &invalid, Ok(false)),
        (402, &invalid, Ok(false)),
        (500, &invalid, Ok(false)),
        (200, "", nonsense(not_json)),
        (200, "{}", nonsense(shape)),
        (200, &refused, nonsense(shape)),
        (200, r#"{"isValid":"true"}"#, nonsense(shape)),
        (200, r#"{"isValid":false,"isValid":true}"#, nonsense(not_json)),
        (500, "<html>canary</html>", nonsense(not_json)),
        (500, r#"{"error":"canary"}"#, nonsense(error)),
        (503, r#"{"error":"busy"}"#, nonsense(error)),
        (
            503,
            r#"{"error":"x","code":"queue_full"}"#,
            Err(FacilitatorError::Unavailable("it says so")),
        ),
        (500, r#"{"error":"x","code":"queue_full"}"#, nonsense(error)),
        (307, "", nonsense(not_json)),
    ] {
        let (upstream, heard) = saying(status, body.to_owned()).await;
        let verdict = remote(&upstream).verify(&asked()).await.map(|verdict| verdict.is_valid);
        assert_eq!(verdict, verify, "{status} {body}");
        assert_eq!(heard.lock().unwrap().len(), 1, "asked once, no redirect followed");
    }
    let (upstream, _) = saying(402, refused).await;
    let answer = remote(&upstream).settle(&asked(), &SettleTerms::default()).await.unwrap();
    assert!(!answer.success && answer.transaction.is_empty());
}

#[tokio::test]
async fn a_settlement_is_asked_for_once_whatever_happens() {
    let terms = SettleTerms::default();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let nobody = format!("http://{}", listener.local_addr().unwrap());
    drop(listener);
    let gone = RemoteFacilitator::new(RemoteConfig::new(nobody.parse().unwrap())).unwrap();
    assert_eq!(gone.settle(&asked(), &terms).await, Err(FacilitatorError::Unreachable));

    let hangs = Upstream::start(Arc::new(|_| Box::pin(std::future::pending()))).await;
    assert_eq!(remote(&hangs).settle(&asked(), &terms).await, Err(FacilitatorError::TimedOut));
    assert_eq!(hangs.hits(), 1);

    let half =
        Upstream::saying(b"HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\n{\"success\":true").await;
    assert_eq!(remote(&half).settle(&asked(), &terms).await, Err(FacilitatorError::Unreachable));
    assert_eq!(half.hits(), 1);

    let closes = Upstream::saying(b"").await;
    assert_eq!(remote(&closes).settle(&asked(), &terms).await, Err(FacilitatorError::Unreachable));
    assert_eq!(closes.hits(), 1);

    let (long, heard) = saying(200, format!("{{\"x\":\"{}\"}}", "y".repeat(1024 * 1024))).await;
    let answer = remote(&long).settle(&asked(), &terms).await;
    assert_eq!(answer, Err(FacilitatorError::Nonsense("it is too long")));
    assert_eq!(heard.lock().unwrap().len(), 1);
}

#[tokio::test]
async fn only_plain_urls_are_facilitators() {
    for url in ["ftp://h/", "http://user:canary@h/", "http://h/?canary", "http://h/#canary"] {
        let Err(error) = RemoteFacilitator::new(RemoteConfig::new(url.parse().unwrap())) else {
            panic!("{url} was taken")
        };
        assert!(!error.to_string().contains("canary"), "{error}");
    }
    // Whether this machine has root certificates is its own affair; either way nothing panics.
    let tls = RemoteFacilitator::new(RemoteConfig::new("https://h/".parse().unwrap()));
    assert!(matches!(tls, Ok(_) | Err(ClientError::Roots(_))));
    let (upstream, heard) = saying(200, json!({"kinds": []}).to_string()).await;
    let remote = remote(&upstream);
    assert!(remote.supported().await.unwrap().kinds.is_empty());
    assert_eq!(heard.lock().unwrap()[0].0.uri.path(), "/x402/supported");
    assert_eq!(remote.name(), upstream.url().join("/x402").unwrap().as_str());
}
