//! Payments that are signed here, so that a test can send the same one as often as it likes.

use std::time::{SystemTime, UNIX_EPOCH};

use faregate_evm::Wallet;
use faregate_evm::mechanisms::eip3009::{random_nonce, sign_authorization};
use faregate_protocol::header::{self, PAYMENT_REQUIRED};
use faregate_protocol::{PaymentPayload, PaymentRequired, X402_VERSION};

use crate::http;

/// The `PAYMENT-SIGNATURE` for the first way to pay that `url` offers.
pub(crate) fn header_for(url: &str, key: &str) -> String {
    let challenge = http::get(url);
    assert_eq!(challenge.status, 402, "{challenge:?}");
    let required: PaymentRequired = challenge.decoded(PAYMENT_REQUIRED);
    let requirements = &required.accepts[0];
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs();
    let deadline = now + requirements.timeout_secs();
    let wallet = Wallet::from_hex(key).unwrap();
    let nonce = random_nonce().unwrap();
    let signed = sign_authorization(&wallet, requirements, 0, deadline, nonce).unwrap();
    let accepted = serde_json::to_value(requirements).unwrap();
    header::encode(&PaymentPayload {
        x402_version: X402_VERSION,
        payload: signed.to_members(),
        extensions: None,
        resource: Some(serde_json::to_value(&required.resource).unwrap()),
        accepted: accepted.as_object().unwrap().clone(),
    })
    .unwrap()
}
