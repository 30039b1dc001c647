//! Callers of version 1: translated on the way in, their own names on the way out.

use std::sync::atomic::Ordering;

use faregate_protocol::{FacilitatorError, PaymentKey, PaymentRequest, Reason};
use serde_json::{Value, json};

use crate::harness::{Act, Answer, Door, PAYER, door, good, good_v1};

async fn ask(door: &Door, path: &str, body: &Value) -> Answer {
    let answer = door.post(path, body.to_string()).await;
    assert_eq!(answer.status, 200, "{path} {body}: {:?}", answer.body);
    answer
}

#[tokio::test]
async fn the_facilitator_gets_version_2_and_the_caller_version_1() {
    let door = self::door(Act::Accept).await;
    let answer = ask(&door, "/verify", &good_v1()).await;
    assert_eq!(answer.body, json!({"isValid": true, "payer": PAYER}));
    let answer = ask(&door, "/settle", &good_v1()).await;
    let paid = json!({
        "success": true, "payer": PAYER, "transaction": "0xabc", "network": "base-sepolia",
    });
    assert_eq!(answer.body, paid);
    ask(&door, "/settle", &good()).await;
    let requests = door.seen.requests.lock().unwrap().clone();
    let v2 = &requests[2];
    for translated in &requests[..2] {
        assert_eq!(translated.payment_requirements, v2.payment_requirements);
        assert_eq!(translated.payment_payload.payload, v2.payment_payload.payload);
        assert_eq!((translated.x402_version, v2.x402_version), (2, 2));
    }
}

#[tokio::test]
async fn reasons_and_networks_have_their_version_1_names() {
    for (act, reason) in [
        (Act::Refuse(Reason::EvmValueMismatch), "invalid_exact_evm_authorization_value"),
        (Act::Refuse(Reason::EvmSignature), "invalid_exact_evm_signature"),
    ] {
        let door = self::door(act).await;
        assert_eq!(ask(&door, "/verify", &good_v1()).await.body["invalidReason"], reason);
        let answer = ask(&door, "/settle", &good_v1()).await;
        assert_eq!(answer.body["errorReason"], reason);
        assert_eq!(answer.body["network"], "base-sepolia");
    }
    let door = self::door(Act::Refuse(Reason::EvmValueMismatch)).await;
    let answer = ask(&door, "/verify", &good()).await;
    assert_eq!(
        answer.body["invalidReason"],
        Reason::EvmValueMismatch.code(),
        "version 2 keeps its own"
    );
}

#[tokio::test]
async fn an_open_settlement_is_pending_in_version_1_too() {
    for act in [Act::Pending("0xdef"), Act::Fail(FacilitatorError::Unreachable)] {
        let door = self::door(act).await;
        let answer = ask(&door, "/settle", &good_v1()).await;
        assert_eq!(answer.body["errorReason"], "settlement_pending");
        assert_eq!(answer.body["network"], "base-sepolia");
    }
}

#[tokio::test]
async fn an_unknown_network_name_is_a_verdict_and_nobody_is_called() {
    let door = self::door(Act::Accept).await;
    for part in ["paymentPayload", "paymentRequirements"] {
        let mut body = good_v1();
        body[part]["network"] = json!("narnia");
        let answer = ask(&door, "/verify", &body).await;
        assert_eq!(answer.body["isValid"], false);
        assert_eq!(answer.body["invalidReason"], "invalid_exact_evm_network_mismatch");
        let answer = ask(&door, "/settle", &body).await;
        assert_eq!(answer.body["success"], false);
        assert_eq!(answer.body["errorReason"], "invalid_exact_evm_network_mismatch");
        assert_eq!(answer.body["network"], body["paymentRequirements"]["network"]);
        assert_eq!(answer.body["transaction"], "");
    }
    assert_eq!(door.seen.verified.load(Ordering::SeqCst), 0);
    assert_eq!(door.seen.settle_begun.load(Ordering::SeqCst), 0);
}

#[tokio::test]
async fn mixed_versions_are_400_and_nobody_is_called() {
    let door = self::door(Act::Accept).await;
    for (payload, requirements) in [(good_v1(), good()), (good(), good_v1())] {
        let body = json!({
            "paymentPayload": payload["paymentPayload"],
            "paymentRequirements": requirements["paymentRequirements"],
        });
        for path in ["/verify", "/settle"] {
            let answer = door.post(path, body.to_string()).await;
            assert_eq!(answer.status, 400);
            let error = answer.body["error"].as_str().unwrap();
            assert!(error.ends_with("both must be of one version"), "{error}");
        }
    }
    assert!(door.seen.requests.lock().unwrap().is_empty());
}

#[tokio::test]
async fn what_is_answered_is_measured() {
    let door = self::door(Act::Accept).await;
    let mut unknown = good_v1();
    unknown["paymentRequirements"]["network"] = json!("narnia");
    for path in ["/verify", "/settle"] {
        for body in [good(), good_v1(), unknown.clone()] {
            ask(&door, path, &body).await;
        }
        door.post(path, "{}").await;
    }
    let text = door.metrics.render();
    for (network, scheme, count) in [("eip155:84532", "exact", 2), ("other", "other", 1)] {
        for operation in ["verify", "settle"] {
            let line = format!(
                r#"x402_payment_duration_seconds_count{{network="{network}",scheme="{scheme}",operation="{operation}"}} {count}"#
            );
            assert!(text.contains(&line), "no {line} in\n{text}");
        }
    }
    let failing = self::door(Act::Fail(FacilitatorError::Unavailable("queue_full"))).await;
    failing.post("/settle", good().to_string()).await;
    assert!(!failing.metrics.render().contains("x402_payment_duration_seconds_count{"));
}

/// Signed content with a payment key.
fn signed() -> Value {
    json!({
        "authorization": {
            "from": PAYER, "to": "0x209693Bc6afc0C5328bA36FaF03C514EF312287C",
            "value": "10000", "validAfter": "0", "validBefore": "1770000060",
            "nonce": format!("0x{}", "11".repeat(32)),
        },
        "signature": format!("0x{}", "ab".repeat(65)),
    })
}

#[tokio::test]
async fn presented_in_both_versions_it_is_one_settlement() {
    let door = self::door(Act::Accept).await;
    for mut body in [good_v1(), good()] {
        body["paymentPayload"]["payload"] = signed();
        ask(&door, "/settle", &body).await;
    }
    let requests = door.seen.requests.lock().unwrap().clone();
    let [one, two] = &requests[..] else { panic!("{} settlements", requests.len()) };
    // All that a ledger ties a settlement to: the key, the seller's terms, the signed content.
    let key = |request: &PaymentRequest| {
        PaymentKey::of(&request.payment_payload, &request.payment_requirements).unwrap().0
    };
    assert_eq!(key(one), key(two));
    let terms = |request: &PaymentRequest| request.payment_requirements.hash().unwrap();
    assert_eq!(terms(one), terms(two));
    let content = |request: &PaymentRequest| request.payment_payload.signed_hash().unwrap();
    assert_eq!(content(one), content(two));
}
