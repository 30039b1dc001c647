//! Payments that are signed ahead: the same header is sent until there is an answer.

use std::time::{SystemTime, UNIX_EPOCH};

use faregate_evm::{Wallet, random_nonce, sign_authorization};
use faregate_protocol::header::{self, PAYMENT_REQUIRED};
use faregate_protocol::{PaymentKey, PaymentPayload, PaymentRequired, X402_VERSION};

use crate::http;
use crate::real_chain::BUYER_KEY;

/// An authorization is good for so long; the gate of this run accepts no longer ones.
pub(crate) const VALID_SECS: u64 = 3600;

/// One signed payment.
#[derive(Clone, Debug)]
pub(crate) struct Payment {
    /// Its key, as 64 hex digits.
    pub(crate) key: String,
    /// Nonce of its authorization, as 0x and 64 hex digits.
    pub(crate) nonce: String,
    /// Path that it buys.
    pub(crate) path: &'static str,
    /// Value of `PAYMENT-SIGNATURE`.
    pub(crate) header: String,
}

/// Signs payments for what these paths ask for, one after the other.
pub(crate) fn sign(gate: &str, paths: &[&'static str], count: usize) -> Vec<Payment> {
    let wallet = Wallet::from_hex(BUYER_KEY).unwrap();
    let asks = |path: &&'static str| {
        let challenge = http::get(&format!("{gate}{path}"));
        assert_eq!(challenge.status, 402, "{challenge:?}");
        (*path, challenge.decoded::<PaymentRequired>(PAYMENT_REQUIRED))
    };
    let asked: Vec<_> = paths.iter().map(asks).collect();
    let signed = asked.iter().cycle().take(count);
    signed.map(|(path, required)| sign_one(path, required, &wallet)).collect()
}

fn sign_one(path: &'static str, required: &PaymentRequired, wallet: &Wallet) -> Payment {
    let requirements = &required.accepts[0];
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs();
    let nonce = random_nonce().unwrap();
    let signed = sign_authorization(wallet, requirements, 0, now + VALID_SECS, nonce).unwrap();
    let payload = PaymentPayload {
        x402_version: X402_VERSION,
        payload: signed.to_members(),
        extensions: None,
        resource: Some(serde_json::to_value(&required.resource).unwrap()),
        accepted: serde_json::to_value(requirements).unwrap().as_object().unwrap().clone(),
    };
    let (key, _) = PaymentKey::of(&payload, requirements).unwrap();
    Payment {
        key: key.to_string(),
        nonce: nonce.to_string(),
        path,
        header: header::encode(&payload).unwrap(),
    }
}
