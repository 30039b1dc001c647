//! `GET /settlements/{payment_key}`.

use faregate_facilitator::{Caller, Callers};
use faregate_protocol::PaymentKey;
use serde_json::Value;
use sha2::{Digest, Sha256};

use crate::harness::{Act, PAID, UNREADABLE, door, door_to, paid_status};

#[tokio::test]
async fn strangers_hear_what_the_chain_tells_everybody() {
    let door = door(Act::Accept).await;
    for key in [PAID.to_string(), format!("0x{PAID}"), PAID.to_string().to_uppercase()] {
        let answer = door.send("GET", &format!("/settlements/{key}")).await;
        assert_eq!(answer.status, 200, "{key}");
        assert_eq!(answer.header("cache-control"), "no-store");
        assert_eq!(answer.body["outcome"], "paid");
        assert_eq!(answer.body["final"], true);
        assert_eq!(answer.body["proof"]["blockNumber"], 9);
        assert_eq!(answer.body["payment"], Value::Null, "who paid whom is not theirs to know");
    }
}

#[tokio::test]
async fn where_callers_have_tokens_only_they_ask_and_they_hear_all() {
    let caller = Caller { name: "shop".to_owned(), token_sha256: Sha256::digest("token").into() };
    let door = door_to(Act::Accept, Callers(vec![caller])).await;
    let path = format!("/settlements/{PAID}");
    assert_eq!(door.send("GET", &path).await.status, 401);
    let answer = door.get_with(&path, &[("Authorization", "Bearer token")]).await;
    assert_eq!(answer.status, 200);
    assert_eq!(answer.body, serde_json::to_value(paid_status()).unwrap());
    assert_eq!(answer.body["payment"]["amount"], "10000");
}

#[tokio::test]
async fn what_is_not_there_and_what_is_no_key_are_told_apart() {
    let door = door(Act::Accept).await;
    let unknown = PaymentKey([1; 32]);
    assert_eq!(door.send("GET", &format!("/settlements/{unknown}")).await.status, 404);
    let long = "a".repeat(4000);
    for bad in ["abcd", "0x", "zz", "%00", "..%2fverify", &format!("{PAID}0"), &long] {
        let answer = door.send("GET", &format!("/settlements/{bad}")).await;
        assert_eq!(answer.status, 400, "{bad}");
    }
    assert_eq!(door.send("GET", "/settlements/").await.status, 404);
    assert_eq!(door.send("GET", "/settlements").await.status, 404);
    assert_eq!(door.send("POST", &format!("/settlements/{PAID}")).await.status, 405);
    let answer = door.send("GET", &format!("/settlements/{UNREADABLE}")).await;
    assert_eq!(answer.status, 503);
    assert_eq!(answer.body["code"], "ledger_unavailable");
    assert_eq!(answer.header("retry-after"), "1");
}
