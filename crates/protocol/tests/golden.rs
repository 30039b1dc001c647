//! The messages of the official packages 2.27.0, reproduced byte for byte.

#![allow(clippy::unwrap_used)] // a panic is how a test fails

use faregate_protocol::{
    PaymentKey, PaymentPayload, PaymentRequired, SettleResponse, header, matching,
};
use serde_json::Value;

fn vectors() -> Value {
    serde_json::from_str(include_str!("golden/evm-2.27.0.json")).unwrap()
}

fn text<'a>(vector: &'a Value, member: &str) -> &'a str {
    vector[member].as_str().unwrap()
}

#[test]
fn challenges_are_decoded_and_encoded_byte_for_byte() {
    let file = vectors();
    let mut seen = 0;
    for (name, vector) in file["vectors"].as_object().unwrap() {
        let Some(golden) = vector.get("paymentRequiredHeader").and_then(Value::as_str) else {
            continue;
        };
        let challenge: PaymentRequired = header::decode(golden.as_bytes()).expect(name);
        assert_eq!(header::encode(&challenge).unwrap(), golden, "{name}");
        seen += 1;
    }
    assert!(seen >= 8, "only {seen} challenges in the file");
}

#[test]
fn payments_are_decoded_and_encoded_byte_for_byte() {
    let file = vectors();
    let mut seen = 0;
    for (name, vector) in file["vectors"].as_object().unwrap() {
        let Some(golden) = vector.get("paymentSignatureHeader").and_then(Value::as_str) else {
            continue;
        };
        let payment: PaymentPayload = header::decode(golden.as_bytes()).expect(name);
        assert_eq!(header::encode(&payment).unwrap(), golden, "{name}");
        let challenge: PaymentRequired =
            serde_json::from_value(vector["paymentRequired"].clone()).unwrap();
        assert!(matching::select(&payment, &challenge.accepts).is_some(), "{name}");
        seen += 1;
    }
    assert!(seen >= 8, "only {seen} payments in the file");
}

#[test]
fn the_exact_payment_has_its_golden_key() {
    let file = vectors();
    let vector = &file["vectors"]["exact_eip3009"];
    let payment: PaymentPayload =
        header::decode(text(vector, "paymentSignatureHeader").as_bytes()).unwrap();
    let challenge: PaymentRequired =
        header::decode(text(vector, "paymentRequiredHeader").as_bytes()).unwrap();
    let (key, read) = PaymentKey::of(&payment, &challenge.accepts[0]).unwrap();
    assert_eq!(key.to_string(), "61fdcb4579684804686b87a115579c36ecc42141d0858f8a8c92b7a14f38583f");
    assert_eq!(read.to_members(), payment.payload);
}

#[test]
fn the_receipt_is_reproduced_byte_for_byte() {
    let file = vectors();
    let golden = text(&file["vectors"]["settle_response"], "header");
    let receipt: SettleResponse = header::decode(golden.as_bytes()).unwrap();
    assert!(receipt.success);
    assert_eq!(header::encode(&receipt).unwrap(), golden);
}
