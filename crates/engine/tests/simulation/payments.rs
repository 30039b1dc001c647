//! The payments that buyers sign in a run.

use alloy_primitives::{Address, B256};
use faregate_protocol::{PaymentKey, PaymentPayload, PaymentRequest, PaymentRequirements};
use serde_json::json;

pub(crate) const NETWORK: &str = "eip155:84532";
pub(crate) const CHAIN_ID: u64 = 84532;
pub(crate) const PRICE: u64 = 10_000;
pub(crate) const PAYEE: Address = Address::repeat_byte(0xbb);
/// What a payer has, unless it moved its money away.
pub(crate) const WEALTH: u64 = 1_000_000_000;

/// A signed payment.
#[derive(Clone, Debug)]
pub(crate) struct Payment {
    pub(crate) payer: Address,
    pub(crate) nonce: B256,
    pub(crate) key: PaymentKey,
    pub(crate) request: PaymentRequest,
}

impl Payment {
    /// Number `n` of a run, valid until `valid_before` in unix seconds.
    pub(crate) fn new(n: u64, payer: Address, valid_before: u64) -> Self {
        let requirements: PaymentRequirements = serde_json::from_value(json!({
            "scheme": "exact", "network": NETWORK, "amount": PRICE.to_string(),
            "asset": "0x036CbD53842c5426634e7929541eC2318f3dCF7e",
            "payTo": PAYEE.to_checksum(None), "maxTimeoutSeconds": 300,
        }))
        .unwrap();
        let nonce = B256::left_padding_from(&n.to_be_bytes());
        let payload = PaymentPayload {
            x402_version: 2,
            payload: json!({
                "authorization": {
                    "from": payer.to_checksum(None), "to": PAYEE.to_checksum(None),
                    "value": PRICE.to_string(), "validAfter": "0",
                    "validBefore": valid_before.to_string(), "nonce": nonce.to_string(),
                },
                "signature": format!("0x{}", "ab".repeat(65)),
            })
            .as_object()
            .unwrap()
            .clone(),
            extensions: None,
            resource: None,
            // The engine reads the seller's requirements only; a small row makes a quick run.
            accepted: serde_json::Map::new(),
        };
        let key = PaymentKey::of(&payload, &requirements).unwrap().0;
        Self { payer, nonce, key, request: PaymentRequest::new(payload, requirements) }
    }

    /// The same payment presented to a seller that asks for something else.
    pub(crate) fn with_other_requirements(&self) -> PaymentRequest {
        let mut request = self.request.clone();
        request.payment_requirements.max_timeout_seconds = 301.into();
        request
    }
}

/// The buyers of a run.
pub(crate) fn payer(n: u64) -> Address {
    Address::left_padding_from(&(0xa000 + n).to_be_bytes())
}
