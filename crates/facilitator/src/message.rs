//! The body of `/verify` and `/settle`: strict JSON, then each member by name, so that a fault is
//! told by the member's name and never by its contents.

use faregate_protocol::{
    Amount, Network, PaymentPayload, PaymentRequest, PaymentRequirements, X402_VERSION, json,
};
use serde_json::{Map, Value};

use crate::answer::Refusal;

const MISSING: &str = "Missing paymentPayload or paymentRequirements";
/// Longest network text that is given back in an answer about another protocol version.
const MAX_NETWORK_CHARS: usize = 80;

/// What a well-formed body says.
#[derive(Clone, Debug, PartialEq)]
pub enum Message {
    /// A payment of the version that is spoken here.
    Payment(Box<PaymentRequest>),
    /// A payment of another protocol version: a verdict, not an error.
    OtherVersion {
        /// The network as the caller names it; empty if that is not a plain word.
        network: String,
    },
}

/// Reads a body.
///
/// # Errors
/// 400 with what is missing or malformed.
pub fn read(body: &[u8]) -> Result<Message, Refusal> {
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
    if version(&payload)? != u64::from(X402_VERSION) {
        return Ok(Message::OtherVersion { network: plain_network(&requirements) });
    }
    check(&payload, "paymentPayload", PAYLOAD)?;
    check(&requirements, "paymentRequirements", REQUIREMENTS)?;
    let payload: PaymentPayload = shape(payload, "paymentPayload")?;
    let requirements: PaymentRequirements = shape(requirements, "paymentRequirements")?;
    Ok(Message::Payment(Box::new(PaymentRequest::new(payload, requirements))))
}

struct Member {
    name: &'static str,
    must: &'static str,
    holds: fn(Option<&Value>) -> bool,
}

const PAYLOAD: &[Member] = &[
    Member { name: "payload", must: "be an object", holds: is_object },
    Member { name: "accepted", must: "be an object", holds: is_object },
    Member { name: "extensions", must: "be an object if present", holds: is_object_or_absent },
];

const REQUIREMENTS: &[Member] = &[
    Member { name: "scheme", must: "be a non-empty string", holds: is_text },
    Member { name: "network", must: "be a CAIP-2 id such as eip155:8453", holds: is_network },
    Member { name: "amount", must: "be a decimal string in atomic units", holds: is_amount },
    Member { name: "asset", must: "be a non-empty string", holds: is_text },
    Member { name: "payTo", must: "be a non-empty string", holds: is_text },
    Member { name: "maxTimeoutSeconds", must: "be a positive number", holds: is_positive },
    Member { name: "extra", must: "be an object if present", holds: is_object_or_absent },
];

fn check(part: &Map<String, Value>, name: &str, members: &[Member]) -> Result<(), Refusal> {
    match members.iter().find(|member| !(member.holds)(part.get(member.name))) {
        Some(bad) => Err(malformed(format!("{name}.{} must {}", bad.name, bad.must))),
        None => Ok(()),
    }
}

fn version(payload: &Map<String, Value>) -> Result<u64, Refusal> {
    let version = payload.get("x402Version").and_then(Value::as_u64);
    version.ok_or_else(|| malformed("paymentPayload.x402Version must be a whole number"))
}

fn shape<T: serde::de::DeserializeOwned>(
    part: Map<String, Value>,
    name: &str,
) -> Result<T, Refusal> {
    // serde's own words can quote what was sent.
    serde_json::from_value(Value::Object(part))
        .map_err(|_| malformed(format!("{name} has another shape than expected")))
}

fn plain_network(requirements: &Map<String, Value>) -> String {
    let network = requirements.get("network").and_then(Value::as_str).unwrap_or_default();
    let plain = network.len() <= MAX_NETWORK_CHARS
        && network.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b':'));
    if plain { network.to_owned() } else { String::new() }
}

fn malformed(what: impl Into<String>) -> Refusal {
    Refusal::Malformed(what.into())
}

fn is_object(value: Option<&Value>) -> bool {
    value.is_some_and(Value::is_object)
}

fn is_object_or_absent(value: Option<&Value>) -> bool {
    value.is_none_or(|value| value.is_object() || value.is_null())
}

fn is_text(value: Option<&Value>) -> bool {
    value.and_then(Value::as_str).is_some_and(|text| !text.is_empty())
}

fn is_network(value: Option<&Value>) -> bool {
    value.and_then(Value::as_str).is_some_and(|text| text.parse::<Network>().is_ok())
}

fn is_amount(value: Option<&Value>) -> bool {
    value.and_then(Value::as_str).is_some_and(|text| text.parse::<Amount>().is_ok())
}

fn is_positive(value: Option<&Value>) -> bool {
    value.and_then(Value::as_f64).is_some_and(|number| number > 0.0)
}

#[cfg(test)]
mod tests;
