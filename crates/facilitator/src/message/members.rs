//! What each member of a message must be, for both protocol versions. A fault is told by the
//! member's name.

use faregate_protocol::{Amount, Network};
use serde_json::{Map, Value};

use crate::answer::Refusal;

use super::malformed;

/// One member and its rule.
pub(super) struct Member {
    name: &'static str,
    must: &'static str,
    holds: fn(Option<&Value>) -> bool,
}

const fn member(
    name: &'static str,
    must: &'static str,
    holds: fn(Option<&Value>) -> bool,
) -> Member {
    Member { name, must, holds }
}

/// `paymentPayload` of version 2.
pub(super) const PAYLOAD: &[Member] = &[
    member("payload", "be an object", is_object),
    member("accepted", "be an object", is_object),
    member("extensions", "be an object if present", is_object_or_absent),
];

/// `paymentRequirements` of version 2.
pub(super) const REQUIREMENTS: &[Member] = &[
    member("scheme", TEXT, is_text),
    member("network", "be a CAIP-2 id such as eip155:8453", is_network),
    member("amount", AMOUNT, is_amount),
    member("asset", TEXT, is_text),
    member("payTo", TEXT, is_text),
    member("maxTimeoutSeconds", "be a positive number", is_positive),
    member("extra", "be an object if present", is_object_or_absent),
];

/// `paymentPayload` of version 1.
pub(super) const PAYLOAD_V1: &[Member] = &[
    member("scheme", TEXT, is_text),
    member("network", NAME, is_text),
    member("payload", "be an object", is_object),
];

/// `paymentRequirements` of version 1.
pub(super) const REQUIREMENTS_V1: &[Member] = &[
    member("scheme", TEXT, is_text),
    member("network", NAME, is_text),
    member("maxAmountRequired", AMOUNT, is_amount),
    member("asset", TEXT, is_text),
    member("payTo", TEXT, is_text),
    member("maxTimeoutSeconds", "be a positive number", is_positive),
    member("resource", TEXT_IF_PRESENT, is_string_or_absent),
    member("description", TEXT_IF_PRESENT, is_string_or_absent),
    member("mimeType", TEXT_IF_PRESENT, is_string_or_absent),
    member("extra", "be an object if present", is_object_or_absent),
];

const TEXT: &str = "be a non-empty string";
const TEXT_IF_PRESENT: &str = "be a string if present";
const AMOUNT: &str = "be a decimal string in atomic units";
const NAME: &str = "be a network name such as base-sepolia";

/// Holds `part` against its rules.
///
/// # Errors
/// 400 that names the first member that breaks its rule.
pub(super) fn check(
    part: &Map<String, Value>,
    name: &str,
    members: &[Member],
) -> Result<(), Refusal> {
    match members.iter().find(|member| !(member.holds)(part.get(member.name))) {
        Some(bad) => Err(malformed(format!("{name}.{} must {}", bad.name, bad.must))),
        None => Ok(()),
    }
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

fn is_string_or_absent(value: Option<&Value>) -> bool {
    value.is_none_or(|value| value.is_string() || value.is_null())
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
