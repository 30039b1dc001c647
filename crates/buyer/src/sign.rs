//! Signs one authorization for a choice, and makes the header of it.

use std::time::{SystemTime, UNIX_EPOCH};

use alloy_primitives::Address;
use faregate_evm::mechanisms::eip3009::{random_nonce, sign_authorization};
use faregate_protocol::header::{self, MAX_VALUE_BYTES};
use faregate_protocol::v1::{self, PaymentPayloadV1};
use faregate_protocol::{PaymentPayload, X402_VERSION};
use serde::Serialize;
use serde_json::{Map, Value};

use crate::challenge::Challenge;
use crate::choose::Choice;
use crate::config::BuyerConfig;
use crate::error::BuyerError;
use crate::version::Version;

/// Valid from the beginning of time: our clock may be ahead of the chain's.
const VALID_AFTER: u64 = 0;

/// A signed payment. No `Debug`: the header is a bearer instrument.
pub(crate) struct Signed {
    pub(crate) version: Version,
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
    let header = match challenge.version {
        Version::V1 => header_v1(signed.to_members(), choice)?,
        Version::V2 => header_v2(signed.to_members(), challenge, choice)?,
    };
    if header.len() > MAX_VALUE_BYTES {
        return Err(BuyerError::PaymentTooLarge { limit: MAX_VALUE_BYTES });
    }
    let payer = config.wallet.address();
    Ok(Signed { version: challenge.version, header, payer, valid_before })
}

fn header_v2(
    payload: Map<String, Value>,
    challenge: &Challenge,
    choice: &Choice,
) -> Result<String, BuyerError> {
    let mut payload = PaymentPayload {
        x402_version: X402_VERSION,
        payload,
        extensions: challenge.extensions.clone(),
        resource: challenge.resource.clone(),
        accepted: choice.accepted.clone(),
    };
    let header = encode(&payload)?;
    if header.len() <= MAX_VALUE_BYTES {
        return Ok(header);
    }
    // Echoes that a buyer may leave out.
    payload.extensions = None;
    payload.resource = None;
    encode(&payload)
}

fn header_v1(payload: Map<String, Value>, choice: &Choice) -> Result<String, BuyerError> {
    let name = v1::network_name(&choice.requirements.network);
    let name = name.ok_or(BuyerError::Request("the network has no name in x402 version 1"))?;
    encode(&PaymentPayloadV1 {
        x402_version: v1::X402_VERSION,
        scheme: choice.requirements.scheme.clone(),
        network: name.to_owned(),
        payload,
    })
}

fn encode<T: Serialize>(payload: &T) -> Result<String, BuyerError> {
    header::encode(payload).map_err(|_| BuyerError::Request("the payment is not JSON"))
}

/// The time, in unix seconds.
pub(crate) fn now_unix() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs()
}
