//! Payments as a buyer would present them. Signatures are noise: the scripted facilitator believes
//! them.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

use faregate_protocol::{PaymentKey, PaymentPayload, PaymentRequirements, header};
use serde_json::{Value, json};

pub(crate) const PAYER: &str = "0xf39Fd6e51aad88F6F4ce6aB8827279cffFb92266";
pub(crate) const PAY_TO: &str = "0x209693Bc6afc0C5328bA36FaF03C514EF312287C";
/// What every test signature begins with; it may never be seen in an answer or a log.
pub(crate) const SIGNATURE_CANARY: &str = "5ec4e7ca5ec4e7ca";

pub(crate) fn requirements() -> PaymentRequirements {
    serde_json::from_value(json!({
        "scheme": "exact", "network": "eip155:84532", "amount": "10000",
        "asset": "0x036CbD53842c5426634e7929541eC2318f3dCF7e",
        "payTo": PAY_TO, "maxTimeoutSeconds": 300,
        "extra": {"name": "USDC", "version": "2"},
    }))
    .unwrap()
}

pub(crate) fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs()
}

/// A payment of [`requirements`] with a nonce of its own, valid for 200 s.
pub(crate) fn fresh() -> Value {
    static NONCE: AtomicU64 = AtomicU64::new(1);
    let nonce = NONCE.fetch_add(1, Ordering::Relaxed);
    json!({
        "x402Version": 2,
        "payload": {
            "authorization": {
                "from": PAYER, "to": PAY_TO, "value": "10000", "validAfter": "0",
                "validBefore": (now() + 200).to_string(), "nonce": format!("0x{nonce:064x}"),
            },
            "signature": format!("0x{SIGNATURE_CANARY}{}", "ab".repeat(57)),
        },
        "accepted": requirements(),
    })
}

/// The same authorization as a buyer of version 1 presents it.
pub(crate) fn as_v1(payment: &Value) -> Value {
    json!({
        "x402Version": 1, "scheme": "exact", "network": "base-sepolia",
        "payload": payment["payload"],
    })
}

pub(crate) fn encoded(payment: &Value) -> String {
    header::encode(payment).unwrap()
}

pub(crate) fn key(payment: &Value) -> PaymentKey {
    let payload: PaymentPayload = serde_json::from_value(payment.clone()).unwrap();
    PaymentKey::of(&payload, &requirements()).unwrap().0
}
