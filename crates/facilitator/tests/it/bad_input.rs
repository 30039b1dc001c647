//! Input that is not the protocol: refused with the right status, and nobody is called.

use std::sync::atomic::Ordering;

use serde_json::json;

use crate::harness::{Act, CANARY, door, good};

#[tokio::test]
async fn bodies_that_are_not_the_protocol_are_400() {
    let door = self::door(Act::Accept).await;
    let mut bodies: Vec<String> =
        ["", " ", "x", "[]", "{}", "null", "1", "\"\"", "{\"a\":", "{}{}", "\u{feff}{}"]
            .map(String::from)
            .to_vec();
    bodies.push(format!("{}{}", "[".repeat(100_000), "]".repeat(100_000)));
    bodies.push(format!(r#"{{"{CANARY}":1,"{CANARY}":2}}"#));
    let good_text = good().to_string();
    bodies.push(good_text.replacen(r#""amount":"10000""#, r#""amount":"10000","amount":"1""#, 1));
    for member in ["paymentPayload", "paymentRequirements"] {
        for bad in [json!(null), json!(1), json!(CANARY), json!([]), json!({}), json!(true)] {
            let mut body = good();
            body[member] = bad;
            bodies.push(body.to_string());
        }
    }
    for body in bodies {
        for path in ["/verify", "/settle"] {
            let answer = door.post(path, body.clone()).await;
            assert_eq!(answer.status, 400, "{path} {}", &body[..body.len().min(80)]);
            assert!(answer.body["error"].is_string());
        }
    }
    assert_eq!(door.seen.verified.load(Ordering::SeqCst), 0);
    assert_eq!(door.seen.settle_begun.load(Ordering::SeqCst), 0);
}

#[tokio::test]
async fn every_member_of_every_wrong_type_is_400_and_named() {
    let door = self::door(Act::Accept).await;
    let shape = good();
    for part in ["paymentPayload", "paymentRequirements"] {
        for member in shape[part].as_object().unwrap().keys() {
            for bad in [json!(CANARY), json!([]), json!(false), json!(-1), json!("")] {
                let mut body = good();
                body[part][member] = bad.clone();
                // Any non-empty text is well-formed here; whether it can be paid is a verdict.
                let free_text = ["scheme", "asset", "payTo"].contains(&member.as_str());
                let want = if free_text && bad == json!(CANARY) { 200 } else { 400 };
                let answer = door.post("/verify", body.to_string()).await;
                assert_eq!(answer.status, want, "{part}.{member} {bad}");
                if want == 400 {
                    let error = answer.body["error"].as_str().unwrap();
                    assert!(error.starts_with(&format!("{part}.{member} must")), "{error}");
                }
            }
        }
    }
}

#[tokio::test]
async fn what_is_missing_is_said() {
    let door = self::door(Act::Accept).await;
    let answer = door.post("/settle", "{}").await;
    assert_eq!(answer.body["error"], "Missing paymentPayload or paymentRequirements");
}

#[tokio::test]
async fn a_content_type_is_not_asked_for() {
    let door = self::door(Act::Accept).await;
    let kind = [("content-type", "text/plain")];
    assert_eq!(door.post_with("/verify", &kind).await.status, 200);
    assert_eq!(door.post_with("/verify", &[]).await.status, 200);
}

#[tokio::test]
async fn a_megabyte_is_413() {
    let door = self::door(Act::Accept).await;
    for size in [256 * 1024 + 1, 1024 * 1024, 3 * 1024 * 1024] {
        let mut body = good().to_string();
        body.push_str(&" ".repeat(size - body.len()));
        let answer = door.post("/settle", body).await;
        assert_eq!(answer.status, 413, "{size}");
        assert_eq!(answer.body["error"], "the request body is larger than 262144 bytes");
    }
    let mut body = good().to_string();
    body.push_str(&" ".repeat(256 * 1024 - body.len()));
    assert_eq!(door.post("/settle", body).await.status, 200);
}

#[tokio::test]
async fn other_methods_are_405_with_allow() {
    let door = self::door(Act::Accept).await;
    for (path, allow) in [
        ("/verify", "GET,HEAD,POST"),
        ("/settle", "GET,HEAD,POST"),
        ("/supported", "GET,HEAD"),
        ("/health", "GET,HEAD"),
    ] {
        for method in ["PUT", "DELETE", "PATCH", "OPTIONS", "BREW"] {
            let answer = door.send(method, path).await;
            assert_eq!((answer.status, answer.header("allow")), (405, allow), "{method} {path}");
            assert!(answer.body["error"].is_string());
        }
    }
    assert_eq!(door.send("POST", "/supported").await.status, 405);
}
