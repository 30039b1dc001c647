//! The body of `/verify` and `/settle`: strict JSON, then each member by name, so that a fault is
//! told by the member's name and never by its contents. A payment of version 1 is translated here;
//! nothing behind this file sees one.

mod members;
mod plain;

use faregate_protocol::v1::{self, PaymentPayloadV1, PaymentRequirementsV1};
use faregate_protocol::{PaymentPayload, PaymentRequest, PaymentRequirements, X402_VERSION, json};
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

use crate::answer::Refusal;
use crate::version::Version;
use members::{PAYLOAD, PAYLOAD_V1, REQUIREMENTS, REQUIREMENTS_V1, check};

const MISSING: &str = "Missing paymentPayload or paymentRequirements";
/// Longest network text that is given back in an answer without a settlement.
const MAX_NETWORK_CHARS: usize = 80;

/// What a well-formed body says.
#[derive(Clone, Debug, PartialEq)]
pub enum Message {
    /// A payment.
    Payment {
        /// How the caller speaks.
        version: Version,
        /// The payment, in version 2 however it came.
        request: Box<PaymentRequest>,
    },
    /// A version 1 payment on a network name that means nothing: a verdict, not an error.
    UnknownNetwork {
        /// The network as the caller names it; empty if that is not a plain word.
        network: String,
    },
    /// A payment of another protocol version: a verdict, not an error.
    OtherVersion {
        /// The network as the caller names it; empty if that is not a plain word.
        network: String,
    },
}

type Members = Map<String, Value>;

/// Reads a body.
///
/// # Errors
/// 400 with what is missing or malformed.
pub fn read(body: &[u8]) -> Result<Message, Refusal> {
    match plain::read(body) {
        Some(request) => Ok(Message::Payment { version: Version::V2, request: Box::new(request) }),
        None => general(body),
    }
}

fn general(body: &[u8]) -> Result<Message, Refusal> {
    let value = json::parse(body).map_err(|error| malformed(error.to_string()))?;
    let Value::Object(mut members) = value else {
        return Err(malformed("the request body must be a JSON object"));
    };
    let mut part = |key: &str| members.remove(key).filter(|value| !value.is_null());
    let (Some(payload), Some(requirements)) = (part("paymentPayload"), part("paymentRequirements"))
    else {
        return Err(malformed(MISSING));
    };
    let (Value::Object(payload), Value::Object(requirements)) = (payload, requirements) else {
        return Err(malformed("paymentPayload and paymentRequirements must be JSON objects"));
    };
    const V1: u64 = v1::X402_VERSION as u64;
    const V2: u64 = X402_VERSION as u64;
    match version(&payload)? {
        V1 => read_v1(payload, requirements),
        V2 => read_v2(payload, requirements),
        _ => Ok(Message::OtherVersion { network: plain_network(&requirements) }),
    }
}

fn read_v2(payload: Members, requirements: Members) -> Result<Message, Refusal> {
    one_version(&requirements, "amount", "maxAmountRequired", (2, 1))?;
    check(&payload, "paymentPayload", PAYLOAD)?;
    check(&requirements, "paymentRequirements", REQUIREMENTS)?;
    let payload = PaymentPayload::from_members(payload).ok_or_else(|| odd("paymentPayload"))?;
    let requirements: PaymentRequirements = shape(requirements, "paymentRequirements")?;
    let request = Box::new(PaymentRequest::new(payload, requirements));
    Ok(Message::Payment { version: Version::V2, request })
}

fn read_v1(mut payload: Members, mut requirements: Members) -> Result<Message, Refusal> {
    one_version(&requirements, "maxAmountRequired", "amount", (1, 2))?;
    check(&payload, "paymentPayload", PAYLOAD_V1)?;
    check(&requirements, "paymentRequirements", REQUIREMENTS_V1)?;
    let network = plain_network(&requirements);
    payload.insert("x402Version".to_owned(), v1::X402_VERSION.into());
    requirements.retain(|_, value| !value.is_null());
    let payload: PaymentPayloadV1 = shape(payload, "paymentPayload")?;
    let requirements: PaymentRequirementsV1 = shape(requirements, "paymentRequirements")?;
    if v1::network(&payload.network).is_none() {
        return Ok(Message::UnknownNetwork { network });
    }
    match v1::request_to_v2(payload, &requirements) {
        Ok(request) => Ok(Message::Payment { version: Version::V1, request: Box::new(request) }),
        // The name of the network is all that a translation can stumble over.
        Err(_) => Ok(Message::UnknownNetwork { network }),
    }
}

/// The version is the payment's; one that says none is told by its shape.
fn version(payload: &Members) -> Result<u64, Refusal> {
    match payload.get("x402Version").filter(|version| !version.is_null()) {
        None if has_shape_of_v1(payload) => Ok(v1::X402_VERSION.into()),
        version => version
            .and_then(Value::as_u64)
            .ok_or_else(|| malformed("paymentPayload.x402Version must be a whole number")),
    }
}

fn has_shape_of_v1(payload: &Members) -> bool {
    let text = |key: &str| payload.get(key).is_some_and(Value::is_string);
    text("scheme") && text("network") && !payload.contains_key("accepted")
}

/// Requirements that name their price as the other version does are of the other version.
fn one_version(
    requirements: &Members,
    own: &str,
    foreign: &str,
    (payload, other): (u32, u32),
) -> Result<(), Refusal> {
    if requirements.contains_key(foreign) && !requirements.contains_key(own) {
        return Err(malformed(format!(
            "paymentPayload is of x402 version {payload} and paymentRequirements of version \
             {other}; both must be of one version"
        )));
    }
    Ok(())
}

fn shape<T: DeserializeOwned>(part: Members, name: &str) -> Result<T, Refusal> {
    // serde's own words can quote what was sent.
    serde_json::from_value(Value::Object(part)).map_err(|_| odd(name))
}

fn odd(name: &str) -> Refusal {
    malformed(format!("{name} has another shape than expected"))
}

fn plain_network(requirements: &Members) -> String {
    let network = requirements.get("network").and_then(Value::as_str).unwrap_or_default();
    let plain = network.len() <= MAX_NETWORK_CHARS
        && network.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b':'));
    if plain { network.to_owned() } else { String::new() }
}

fn malformed(what: impl Into<String>) -> Refusal {
    Refusal::Malformed(what.into())
}

#[cfg(test)]
mod tests;
