//! Payments to store.

use faregate_ledger::{NewClaim, NewSettlement};
use faregate_protocol::{PaymentKey, PaymentPayload, PaymentRequest, PaymentRequirements};
use serde_json::json;
use uuid::Uuid;

pub(crate) const LEASE_MS: u64 = 60_000;

pub(crate) fn new_claim(n: u8) -> NewClaim {
    NewClaim {
        key: PaymentKey([n; 32]),
        settle_id: Uuid::new_v4(),
        facilitator: "local".into(),
        request_fp: [1; 32],
        requirements_hash: [2; 32],
        payload_hash: [3; 32],
        route: "weather".into(),
        network: "eip155:84532".into(),
        payer: "0xpayer".into(),
        pay_to: "0xpayee".into(),
        asset: "0xasset".into(),
        amount: 10_000.into(),
        valid_before: 1_770_000_060,
    }
}

pub(crate) fn request() -> PaymentRequest {
    let requirements: PaymentRequirements = serde_json::from_value(json!({
        "scheme": "exact", "network": "eip155:84532", "amount": "10000", "asset": "0xasset",
        "payTo": "0xpayee", "maxTimeoutSeconds": 60,
    }))
    .unwrap();
    let payload = PaymentPayload {
        x402_version: 2,
        payload: json!({"signature": format!("0x{}", "5ea1".repeat(8))})
            .as_object()
            .unwrap()
            .clone(),
        extensions: None,
        resource: None,
        accepted: serde_json::to_value(&requirements).unwrap().as_object().unwrap().clone(),
    };
    PaymentRequest::new(payload, requirements)
}

pub(crate) fn new_settlement(n: u8) -> NewSettlement {
    NewSettlement {
        key: PaymentKey([n; 32]),
        settle_id: Uuid::new_v4(),
        caller_has_key: true,
        requirements_hash: [2; 32],
        payload_hash: [3; 32],
        request: request(),
        network: "eip155:84532".into(),
        payer: "0xpayer".into(),
        pay_to: "0xpayee".into(),
        asset: "0xasset".into(),
        amount: 10_000.into(),
        valid_before: 1_770_000_060,
        head_at_claim: 7,
    }
}
