//! Payments that are signed here, so that a test can send the same one as often as it likes.

use std::time::{SystemTime, UNIX_EPOCH};

use faregate_evm::{Wallet, random_nonce, sign_authorization};
use faregate_protocol::header::{self, PAYMENT_REQUIRED};
use faregate_protocol::v1::{self, PaymentPayloadV1, PaymentRequiredV1};
use faregate_protocol::{
    Network, PaymentPayload, PaymentRequired, PaymentRequirements, X402_VERSION,
};
use serde_json::{Map, Value};

use crate::http;

/// The `PAYMENT-SIGNATURE` for the first way to pay that `url` offers.
pub(crate) fn header_for(url: &str, key: &str) -> String {
    let challenge = http::get(url);
    assert_eq!(challenge.status, 402, "{challenge:?}");
    let required: PaymentRequired = challenge.decoded(PAYMENT_REQUIRED);
    let requirements = &required.accepts[0];
    let accepted = serde_json::to_value(requirements).unwrap();
    header::encode(&PaymentPayload {
        x402_version: X402_VERSION,
        payload: signed(requirements, key),
        extensions: None,
        resource: Some(serde_json::to_value(&required.resource).unwrap()),
        accepted: accepted.as_object().unwrap().clone(),
    })
    .unwrap()
}

/// The `X-PAYMENT` for the first way to pay that the body of a version 1 challenge offers.
pub(crate) fn v1_header_for(url: &str, key: &str) -> String {
    let challenge: PaymentRequiredV1 = serde_json::from_value(http::get(url).json()).unwrap();
    let option = &challenge.accepts[0];
    header::encode(&PaymentPayloadV1 {
        x402_version: v1::X402_VERSION,
        scheme: option.scheme.clone(),
        network: option.network.clone(),
        payload: signed(&option.to_v2().unwrap(), key),
    })
    .unwrap()
}

/// The same payment in the words of version 1.
pub(crate) fn as_v1(header: &str) -> String {
    let payment: PaymentPayload = header::decode(header.as_bytes()).unwrap();
    let network: Network = payment.accepted["network"].as_str().unwrap().parse().unwrap();
    header::encode(&PaymentPayloadV1 {
        x402_version: v1::X402_VERSION,
        scheme: payment.accepted["scheme"].as_str().unwrap().to_owned(),
        network: v1::network_name(&network).unwrap().to_owned(),
        payload: payment.payload,
    })
    .unwrap()
}

fn signed(requirements: &PaymentRequirements, key: &str) -> Map<String, Value> {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs();
    let deadline = now + requirements.timeout_secs();
    let wallet = Wallet::from_hex(key).unwrap();
    let nonce = random_nonce().unwrap();
    sign_authorization(&wallet, requirements, 0, deadline, nonce).unwrap().to_members()
}
