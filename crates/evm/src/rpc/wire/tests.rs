//! What endpoints of several makers answer, and what nobody should.

use proptest::prelude::*;
use serde_json::json;

use super::*;

fn members(body: &str, count: usize) -> Option<Vec<Answer>> {
    match decode(body.as_bytes(), 10, count)? {
        Reply::Members(members) => Some(members),
        Reply::RateLimited | Reply::Refused => None,
    }
}

fn one(error: &str) -> Fault {
    let body = format!(r#"{{"jsonrpc":"2.0","id":10,"error":{error}}}"#);
    members(&body, 1).unwrap().remove(0).unwrap_err()
}

#[test]
fn one_call_is_an_object_and_several_are_an_array() {
    let call = Call::new("eth_chainId", &json!([]));
    let single: Value = serde_json::from_slice(&encode(&[&call], 7)).unwrap();
    assert_eq!(single, json!({"jsonrpc": "2.0", "id": 7, "method": "eth_chainId", "params": []}));
    let batch: Value = serde_json::from_slice(&encode(&[&call, &call], 7)).unwrap();
    assert_eq!(batch[1]["id"], 8);
}

#[test]
fn members_are_matched_by_id_in_any_order() {
    let body = r#"[{"id":12,"result":"c"},{"id":10,"result":"a"}]"#;
    assert_eq!(members(body, 3).unwrap(), [Ok(json!("a")), Err(Fault::Missing), Ok(json!("c"))]);
    assert_eq!(members(r#"{"id":10,"result":null}"#, 1).unwrap(), [Ok(Value::Null)]);
    assert_eq!(members(r#"[{"id":10,"result":1,"error":null}]"#, 1).unwrap(), [Ok(json!(1))]);
}

#[test]
fn reverts_are_answers() {
    for error in [
        r#"{"code":3,"message":"execution reverted: no","data":"0x08c3"}"#,
        r#"{"code":-32000,"message":"execution reverted","data":"0x08c3"}"#,
        r#"{"code":-32015,"message":"VM execution error.","data":"Reverted 0x08c3"}"#,
        r#"{"code":-32603,"message":"Error: VM Exception while processing transaction: reverted with reason string 'no'","data":{"message":"x","data":"0x08c3"}}"#,
        r#"{"code":3,"message":"","data":"0x08c3"}"#,
    ] {
        let Fault::Revert(revert) = one(error) else { panic!("{error}") };
        assert_eq!(revert.data.as_ref(), [0x08, 0xc3], "{error}");
    }
    for error in [
        r#"{"code":-32000,"message":"execution reverted"}"#,
        r#"{"code":-32000,"message":"Execution reverted"}"#,
        r#"{"code":-32000,"message":"out of gas"}"#,
        r#"{"code":-32000,"message":"invalid opcode: INVALID"}"#,
        r#"{"code":-32003,"message":"Out of gas: gas required exceeds allowance: 150000"}"#,
        r#"{"code":-32603,"message":"EVM error: StackUnderflow"}"#,
        r#"{"code":-32000,"message":"insufficient gas for floor data gas cost: have 1, want 2"}"#,
        r#"{"code":-32000,"message":"intrinsic gas too high -- tx.gas_limit < floor"}"#,
        r#"{"code":3,"message":"execution reverted","data":17}"#,
        r#"{"code":3,"message":"execution reverted","data":"0xabc"}"#,
    ] {
        let Fault::Revert(revert) = one(error) else { panic!("{error}") };
        assert!(revert.data.is_empty(), "{error}");
    }
}

#[test]
fn other_errors_are_not_reverts() {
    for error in [
        r#"{"code":-32601,"message":"the method does not exist"}"#,
        r#"{"code":-32005,"message":"rate limit exceeded"}"#,
        r#"{"code":-32603,"message":"internal error"}"#,
        r#"{"code":-32000,"message":"header not found"}"#,
        r#"{"code":-32602}"#,
    ] {
        assert!(matches!(one(error), Fault::Failed { .. }), "{error}");
    }
}

#[test]
fn a_whole_batch_may_be_refused() {
    let refused = |body: &str| matches!(decode(body.as_bytes(), 10, 3), Some(Reply::RateLimited));
    assert!(refused(r#"{"id":null,"error":{"code":-32005,"message":"limit"}}"#));
    assert!(refused(r#"{"id":null,"error":{"code":-32000,"message":"Too Many Requests"}}"#));
    let single = r#"{"id":null,"error":{"code":-32600,"message":"no batches"}}"#;
    assert!(!refused(single));
    assert!(matches!(decode(single.as_bytes(), 10, 3), Some(Reply::Refused)));
    assert!(decode(single.as_bytes(), 10, 1).is_none(), "one call is no batch");
    let broken = br#"{"id":null,"error":{"code":-32603,"message":"internal"}}"#;
    assert!(decode(broken, 10, 3).is_none());
    assert!(decode(br#"{"id":10,"result":1}"#, 10, 3).is_none());
}

#[test]
fn nonsense_is_no_answer() {
    for body in [
        "",
        "null",
        "17",
        "<html><body>busy</body></html>",
        "{",
        "{}",
        r#"{"id":10}"#,
        r#"{"id":"10","result":1}"#,
        r#"{"id":9,"result":1}"#,
        r#"{"id":11,"result":1}"#,
        r#"{"id":10,"result":1,"result":2}"#,
        r#"{"id":10,"result":1,"error":{"code":3,"message":"x"}}"#,
        r#"{"id":10,"error":"no"}"#,
        r#"{"id":10,"error":{"code":"3","message":"x"}}"#,
        r#"[[]]"#,
        r#"[{"id":10,"result":1},{"id":10,"result":2}]"#,
        r#"[{"id":18446744073709551615,"result":1}]"#,
    ] {
        assert_eq!(members(body, 1), None, "{body}");
    }
    assert_eq!(members("[]", 1), Some(vec![Err(Fault::Missing)]));
}

#[test]
fn long_texts_are_cut_between_characters() {
    let long = "é".repeat(MAX_FAULT_TEXT);
    let error = json!({"code": -32000, "message": long}).to_string();
    let Fault::Failed { message, .. } = one(&error) else { panic!() };
    assert!(message.len() <= MAX_FAULT_TEXT && message.chars().all(|c| c == 'é'));
}

proptest! {
    #[test]
    fn any_body_is_read_without_panic(body: Vec<u8>, first_id: u64, count in 0_usize..5) {
        let _ = decode(&body, first_id, count);
    }

    #[test]
    fn any_members_are_read_without_panic(
        ids in prop::collection::vec(0_u64..8, 0..8),
        code: i64,
        message in ".{0,40}",
    ) {
        let body: Vec<_> = ids
            .iter()
            .map(|id| json!({"id": id, "error": {"code": code, "message": message, "data": message}}))
            .collect();
        if let Some(Reply::Members(members)) = decode(Value::from(body).to_string().as_bytes(), 0, 5) {
            prop_assert_eq!(members.len(), 5);
        }
    }
}
