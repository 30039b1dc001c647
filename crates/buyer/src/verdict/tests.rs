//! Every answer of a gate, and those of foreign sellers.

use super::*;
use bytes::Bytes;
use faregate_protocol::Network;
use reqwest::StatusCode;
use reqwest::header::{HeaderMap, HeaderValue};
use serde_json::json;

enum Said {
    Nothing,
    Challenge(&'static str),
    Receipt(Box<SettleResponse>),
    Body(&'static str),
}

fn answer(status: u16, said: &Said) -> Answer {
    let mut headers = HeaderMap::new();
    let mut body = Bytes::new();
    let mut put = |name: &'static str, text: String| {
        headers.insert(name, HeaderValue::from_str(&text).unwrap());
    };
    match said {
        Said::Nothing => {}
        Said::Challenge(error) => {
            put(PAYMENT_REQUIRED, header::encode(&json!({"error": error})).unwrap());
        }
        Said::Receipt(receipt) => put(PAYMENT_RESPONSE, header::encode(receipt).unwrap()),
        Said::Body(text) => body = Bytes::from_static(text.as_bytes()),
    }
    Answer { status: StatusCode::from_u16(status).unwrap(), headers, body }
}

fn paid() -> Said {
    let base = Network::eip155(84532);
    Said::Receipt(Box::new(SettleResponse::paid(&base, "0xabc".into(), "0xdef".into())))
}

fn failed(reason: Reason, transaction: &str) -> Said {
    let base = Network::eip155(84532);
    let receipt = SettleResponse::failed(reason, &base, Some(transaction.into()), None);
    Said::Receipt(Box::new(receipt))
}

#[test]
fn every_answer_has_one_meaning() {
    use Verdict::{Done, NotCharged, Refused, Unknown};
    for (status, said, want) in [
        (200, paid(), Done),
        (200, Said::Nothing, Done),
        (204, paid(), Done),
        (302, paid(), Done),
        (404, paid(), Done),
        (302, Said::Nothing, Refused),
        (400, Said::Nothing, Refused),
        (404, Said::Nothing, Refused),
        (402, Said::Challenge("invalid_exact_evm_insufficient_balance"), Refused),
        (402, Said::Challenge("Payment required"), Refused),
        (402, Said::Nothing, Refused),
        (402, Said::Challenge("payment_not_charged"), NotCharged),
        (402, failed(Reason::PaymentNotCharged, "0xabc"), NotCharged),
        (402, failed(Reason::EvmInsufficientBalance, ""), Refused),
        // A foreign seller's 402 that settles nothing.
        (402, failed(Reason::SettlementPending, "0xabc"), Unknown),
        (402, failed(Reason::EvmTransactionFailed, "0xabc"), Unknown),
        (402, failed(Reason::EvmNonceAlreadyUsed, ""), Unknown),
        (402, Said::Challenge("settlement_pending"), Unknown),
        (402, Said::Challenge("invalid_exact_evm_nonce_already_used"), Unknown),
        (409, Said::Body(r#"{"error":"payment_in_progress"}"#), Unknown),
        (409, Said::Body(r#"{"error":"x","code":"payment_in_progress"}"#), Unknown),
        (409, Said::Nothing, Unknown),
        (409, Said::Body(r#"{"error":"payment_already_claimed"}"#), Refused),
        (409, Said::Body(r#"{"error":"payment_already_used"}"#), Done),
        (429, Said::Nothing, Unknown),
        (500, Said::Nothing, Unknown),
        (500, paid(), Unknown),
        (502, Said::Nothing, Unknown),
        (503, failed(Reason::SettlementPending, ""), Unknown),
        (504, Said::Nothing, Unknown),
    ] {
        let reading = read(&answer(status, &said));
        assert_eq!(reading.verdict, want, "{status} {:?}", reading.reason);
    }
}

#[test]
fn what_is_printed_of_a_seller_is_printable_and_short() {
    let reading = read(&answer(402, &Said::Body("{\"error\":\"\\u001b[2Jpay me\"}")));
    assert_eq!(reading.reason, None);
    let reading = read(&answer(402, &failed(Reason::EvmSignature, "0x\u{202e}")));
    assert_eq!(reading.transaction, None);
    let reading = read(&answer(200, &paid()));
    assert!(reading.paid);
    assert_eq!(reading.transaction.as_deref(), Some("0xabc"));
}

fn with_headers(status: u16, headers: &[(&'static str, String)]) -> Reading {
    let mut answer = answer(status, &Said::Nothing);
    for (name, text) in headers {
        answer.headers.insert(*name, HeaderValue::from_str(text).unwrap());
    }
    read(&answer)
}

#[test]
fn a_receipt_of_version_1_is_read_as_one_of_version_2() {
    let receipt = |value: Value| header::encode(&value).unwrap();
    for (status, value, want) in [
        (
            404,
            json!({"success": true, "transaction": "0xa", "network": "base", "payer": "0xb", "errorReason": null}),
            Verdict::Done,
        ),
        (
            402,
            json!({"success": false, "transaction": null, "network": "base", "payer": null, "errorReason": "insufficient_funds"}),
            Verdict::Refused,
        ),
        (
            402,
            json!({"success": false, "transaction": "0xa", "network": "base", "errorReason": "x"}),
            Verdict::Unknown,
        ),
        (
            402,
            json!({"success": false, "network": "base", "errorReason": "unexpected_settle_error"}),
            Verdict::Unknown,
        ),
    ] {
        let reading = with_headers(status, &[(X_PAYMENT_RESPONSE, receipt(value.clone()))]);
        assert_eq!(reading.verdict, want, "{value}");
    }
    // The receipt of version 2 is looked at first; one that cannot be read hides nothing.
    let paid = receipt(json!({"success": true, "transaction": "0xa", "network": "base"}));
    let pending = header::encode(&SettleResponse::failed(
        Reason::SettlementPending,
        &Network::eip155(84532),
        None,
        None,
    ));
    let both = [(PAYMENT_RESPONSE, pending.unwrap()), (X_PAYMENT_RESPONSE, paid.clone())];
    assert_eq!(with_headers(402, &both).verdict, Verdict::Unknown);
    let unreadable = [(PAYMENT_RESPONSE, "%%%".to_owned()), (X_PAYMENT_RESPONSE, paid)];
    assert!(with_headers(200, &unreadable).paid);
}
