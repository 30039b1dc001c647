//! What the facilitator says, and what the caller hears.

use std::sync::atomic::Ordering;
use std::time::Duration;

use faregate_facilitator::{Limits, ServeLimits};
use faregate_protocol::{FacilitatorError, Reason};
use serde_json::json;

use crate::harness::{Act, PAYER, door, door_with, good};

#[tokio::test]
async fn verdicts_are_200() {
    let door = self::door(Act::Accept).await;
    let answer = door.post("/verify", good().to_string()).await;
    assert_eq!((answer.status, answer.body), (200, json!({"isValid": true, "payer": PAYER})));
    assert_eq!(answer.headers["cache-control"], "no-store");
    door.assert_counted("verify", "valid");

    for reason in [Reason::UnsupportedScheme, Reason::InvalidNetwork, Reason::EvmSignature] {
        let door = self::door(Act::Refuse(reason)).await;
        let answer = door.post("/verify", good().to_string()).await;
        assert_eq!((answer.status, &answer.body["isValid"]), (200, &json!(false)));
        assert_eq!(answer.body["invalidReason"], reason.code());
        door.assert_counted("verify", "invalid");
        let answer = door.post("/settle", good().to_string()).await;
        assert_eq!((answer.status, &answer.body["success"]), (200, &json!(false)));
        assert_eq!(answer.body["errorReason"], reason.code());
        door.assert_counted("settle", "refused");
    }
}

#[tokio::test]
async fn a_settlement_is_200_paid_or_pending() {
    let door = self::door(Act::Accept).await;
    let answer = door.post("/settle", good().to_string()).await;
    let paid = json!({
        "success": true, "payer": PAYER, "transaction": "0xabc", "network": "eip155:84532",
    });
    assert_eq!((answer.status, answer.body), (200, paid));
    door.assert_counted("settle", "paid");

    let door = self::door(Act::Pending("0xdef")).await;
    let answer = door.post("/settle", good().to_string()).await;
    assert_eq!((answer.status, &answer.body["transaction"]), (200, &json!("0xdef")));
    assert_eq!(answer.body["errorReason"], "settlement_pending");
    door.assert_counted("settle", "pending");
}

#[tokio::test]
async fn unavailable_promises_that_nothing_was_begun() {
    for (word, code) in [
        ("ledger", "facilitator_unavailable"),
        ("ledger_unavailable", "ledger_unavailable"),
        ("chain_unavailable", "chain_unavailable"),
        ("queue_full", "queue_full"),
    ] {
        let door = self::door(Act::Fail(FacilitatorError::Unavailable(word))).await;
        for path in ["/verify", "/settle"] {
            let answer = door.post(path, good().to_string()).await;
            assert_eq!((answer.status, answer.header("retry-after")), (503, "1"), "{word} {path}");
            assert_eq!(answer.body["code"], code);
            assert!(answer.body["error"].is_string());
        }
        assert_eq!(door.send("GET", "/supported").await.status, 503);
    }
}

#[tokio::test]
async fn whatever_else_leaves_a_settlement_open_is_pending_and_never_failed() {
    for (error, verify_status) in [
        (FacilitatorError::Unreachable, 502),
        (FacilitatorError::Nonsense("words"), 502),
        (FacilitatorError::TimedOut, 503),
    ] {
        let door = self::door(Act::Fail(error)).await;
        assert_eq!(door.post("/verify", good().to_string()).await.status, verify_status);
        let answer = door.post("/settle", good().to_string()).await;
        assert_eq!((answer.status, &answer.body["success"]), (200, &json!(false)));
        assert_eq!(answer.body["errorReason"], "settlement_pending");
        assert_eq!(answer.body["transaction"], "");
        assert_eq!(answer.body["network"], "eip155:84532");
        door.assert_counted("settle", "pending");
    }
}

#[tokio::test]
async fn a_slow_settlement_is_pending_and_goes_on() {
    let limits = Limits {
        verify_timeout: Duration::from_millis(50),
        settle_timeout: Duration::from_millis(50),
        supported_timeout: Duration::from_millis(50),
        ..Limits::default()
    };
    let slow = Act::Sleep(Duration::from_millis(400));
    let door = door_with(slow, limits, ServeLimits::default()).await;
    assert_eq!(door.post("/verify", good().to_string()).await.status, 503);
    assert_eq!(door.send("GET", "/supported").await.status, 503);
    let answer = door.post("/settle", good().to_string()).await;
    assert_eq!(answer.body["errorReason"], "settlement_pending");
    assert_eq!(door.seen.settle_ended.load(Ordering::SeqCst), 0);
    tokio::time::sleep(Duration::from_millis(600)).await;
    assert_eq!(door.seen.settle_ended.load(Ordering::SeqCst), 1);
}

#[tokio::test]
async fn a_panic_is_500_without_details_and_the_door_stays_open() {
    let door = self::door(Act::Panic).await;
    for (method, path) in [("POST", "/verify"), ("POST", "/settle"), ("GET", "/supported")] {
        let answer = match method {
            "POST" => door.post(path, good().to_string()).await,
            _ => door.send(method, path).await,
        };
        assert_eq!(
            (answer.status, answer.body),
            (500, json!({"error": "internal_error"})),
            "{path}"
        );
    }
    assert_eq!(door.send("GET", "/healthz").await.status, 200);
}

#[tokio::test]
async fn another_version_is_a_verdict() {
    let door = self::door(Act::Accept).await;
    let mut body = good();
    body["paymentPayload"] = json!({"x402Version": 3, "scheme": "exact", "payload": {}});
    body["paymentRequirements"]["network"] = json!("base-sepolia");
    let answer = door.post("/verify", body.to_string()).await;
    assert_eq!(
        (answer.status, &answer.body["invalidReason"]),
        (200, &json!("invalid_x402_version"))
    );
    let answer = door.post("/settle", body.to_string()).await;
    assert_eq!((answer.status, &answer.body["errorReason"]), (200, &json!("invalid_x402_version")));
    assert_eq!(answer.body["network"], "base-sepolia");
    assert_eq!(door.seen.verified.load(Ordering::SeqCst), 0);
    assert_eq!(door.seen.settle_begun.load(Ordering::SeqCst), 0);
}

#[tokio::test]
async fn the_other_paths() {
    let door = self::door(Act::Accept).await;
    let answer = door.send("GET", "/supported").await;
    assert_eq!(answer.body, json!({"kinds": [], "extensions": [], "signers": {}}));
    assert_eq!(door.send("GET", "/verify").await.body["method"], "POST");
    assert_eq!(door.send("GET", "/settle").await.body["endpoint"], "/settle");
    assert_eq!(door.send("GET", "/health").await.body, json!({"status": "ok"}));
    assert_eq!(door.send("GET", "/readyz").await.status, 200);
    assert_eq!(door.send("GET", "/nothing").await.status, 404);
    door.ready.store(false, Ordering::SeqCst);
    tokio::time::sleep(faregate_telemetry::readiness::FRESH_FOR).await;
    assert_eq!(door.send("GET", "/health").await.status, 503);
    let answer = door.send("GET", "/readyz").await;
    assert_eq!((answer.status, &answer.body["not_ready"]), (503, &json!(["chain"])));
    assert_eq!(door.send("GET", "/healthz").await.status, 200);
}
