//! Signs one authorization for a choice, and makes the header of it.

use std::time::{SystemTime, UNIX_EPOCH};

use alloy_primitives::Address;
use faregate_evm::mechanisms::eip3009::{random_nonce, sign_authorization};
use faregate_protocol::header::{self, MAX_VALUE_BYTES};
use faregate_protocol::{PaymentPayload, X402_VERSION};

use crate::challenge::Challenge;
use crate::choose::Choice;
use crate::config::BuyerConfig;
use crate::error::BuyerError;

/// Valid from the beginning of time: our clock may be ahead of the chain's.
const VALID_AFTER: u64 = 0;

/// A signed payment. No `Debug`: the header is a bearer instrument.
pub(crate) struct Signed {
    pub(crate) header: String,
    pub(crate) payer: Address,
    /// End of its life, in unix seconds.
    pub(crate) valid_before: u64,
}

/// Signs. The life is what the seller asks for, but at most the configured one.
pub(crate) fn sign(
    challenge: &Challenge,
    choice: &Choice,
    config: &BuyerConfig,
) -> Result<Signed, BuyerError> {
    let life = choice.requirements.timeout_secs().min(config.limits.max_validity.as_secs());
    let valid_before = now_unix().saturating_add(life);
    let nonce = random_nonce()?;
    let requirements = &choice.requirements;
    let signed =
        sign_authorization(&config.wallet, requirements, VALID_AFTER, valid_before, nonce)?;
    let mut payload = PaymentPayload {
        x402_version: X402_VERSION,
        payload: signed.to_members(),
        extensions: challenge.extensions.clone(),
        resource: challenge.resource.clone(),
        accepted: choice.accepted.clone(),
    };
    let mut header = encode(&payload)?;
    if header.len() > MAX_VALUE_BYTES {
        // Echoes that a buyer may leave out.
        payload.extensions = None;
        payload.resource = None;
        header = encode(&payload)?;
    }
    if header.len() > MAX_VALUE_BYTES {
        return Err(BuyerError::PaymentTooLarge { limit: MAX_VALUE_BYTES });
    }
    Ok(Signed { header, payer: config.wallet.address(), valid_before })
}

fn encode(payload: &PaymentPayload) -> Result<String, BuyerError> {
    header::encode(payload).map_err(|_| BuyerError::Request("the payment is not JSON"))
}

/// The time, in unix seconds.
pub(crate) fn now_unix() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs()
}
