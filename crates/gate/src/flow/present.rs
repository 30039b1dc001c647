//! Size, decoding, match with the seller's own options, time window: everything that is judged
//! before anybody is asked.

use std::sync::Arc;

use bytes::Bytes;
use faregate_protocol::eip3009::Eip3009Payload;
use faregate_protocol::header::{self as names, HeaderError};
use faregate_protocol::v1::PaymentPayloadV1;
use faregate_protocol::{
    PaymentKey, PaymentPayload, PaymentRequest, PaymentRequirements, Reason, address, matching,
};
use http::request::Parts;
use http::{HeaderMap, HeaderName, HeaderValue, Request};
use http_body::Body as _;

use crate::answers::Refusal;
use crate::body::{self, Collected, GateBody};
use crate::fingerprint::fingerprint;
use crate::gate::{Gate, now_unix_secs};
use crate::limits;
use crate::route::Route;
use crate::version::Version;

const PAYMENT_SIGNATURE: HeaderName = HeaderName::from_static(names::PAYMENT_SIGNATURE);
const X_PAYMENT: HeaderName = HeaderName::from_static(names::X_PAYMENT);

/// A payment and the request it was presented for.
pub(crate) struct Presented {
    pub(crate) route: Arc<Route>,
    /// The head, with the payment still in it.
    pub(super) parts: Parts,
    pub(super) body: Bytes,
    /// The version in which it was presented.
    pub(super) version: Version,
    /// The payment, translated to version 2, with the seller's **own** requirements.
    pub(crate) asked: PaymentRequest,
    pub(super) key: PaymentKey,
    pub(super) payer: String,
    pub(crate) valid_before: u64,
    pub(super) payload_hash: [u8; 32],
    pub(super) requirements_hash: [u8; 32],
    pub(super) request_fp: [u8; 32],
    /// Why this payment cannot buy anything any more. It is said only after the ledger was asked:
    /// a payment that was sent before must never be answered with a fresh challenge, also not when
    /// its time has run out or the price has changed since.
    pub(super) unfit: Option<Reason>,
}

/// Reads what a request presents.
pub(super) async fn read(
    gate: &Gate,
    route: &Arc<Route>,
    request: Request<GateBody>,
) -> Result<Presented, Refusal> {
    let (parts, body) = request.into_parts();
    let Chosen { version, payload, requirements, mut unfit } =
        choose(decode(payment_header(&parts.headers)?)?, route)?;
    let (key, signed) = PaymentKey::of(&payload, &requirements).map_err(Refusal::of)?;
    unfit = unfit
        .or_else(|| static_fault(&signed, &requirements))
        .or_else(|| outside_of_window(&signed, now_unix_secs(), route.least_life_secs()));
    let body = read_body(gate, body).await?;
    let unhashable = |_| Refusal::of(Reason::InvalidPayload);
    Ok(Presented {
        request_fp: fingerprint(&gate.origin, &route.name, &parts, &body),
        payload_hash: payload.signed_hash().map_err(unhashable)?,
        requirements_hash: requirements.hash().map_err(unhashable)?,
        payer: signed.authorization.from.to_checksum(None),
        valid_before: signed.authorization.valid_before.try_into().unwrap_or(u64::MAX),
        asked: PaymentRequest::new(payload, requirements),
        route: Arc::clone(route),
        version,
        parts,
        body,
        key,
        unfit,
    })
}

/// It carries a payment, in one or in several headers.
pub(super) fn has_payment(headers: &HeaderMap) -> bool {
    headers.contains_key(PAYMENT_SIGNATURE) || headers.contains_key(X_PAYMENT)
}

/// The payment header of a request. A client that speaks both versions may send both headers;
/// only that of version 2 is looked at, and the other payment stays unused.
fn payment_header(headers: &HeaderMap) -> Result<&HeaderValue, Refusal> {
    let of = |name| headers.get_all(name).iter();
    let mut values = of(names::PAYMENT_SIGNATURE).chain(of(names::X_PAYMENT));
    if values.any(|value| value.len() > names::MAX_VALUE_BYTES) {
        return Err(Refusal::of(Reason::HeaderTooLarge));
    }
    let is_new = headers.contains_key(names::PAYMENT_SIGNATURE);
    let mut values = of(if is_new { names::PAYMENT_SIGNATURE } else { names::X_PAYMENT });
    match (values.next(), values.next()) {
        (None, _) => Err(Refusal::of(Reason::PaymentRequired)),
        (Some(only), None) => Ok(only),
        // One header twice: whoever stands in between may have read the other one.
        (Some(_), Some(_)) => Err(Refusal::of(Reason::InvalidPayload)),
    }
}

/// A payment as it was sent.
enum Sent {
    One(PaymentPayloadV1),
    Two(PaymentPayload),
}

/// The version is what the payment says, whichever header carries it.
fn decode(value: &HeaderValue) -> Result<Sent, Refusal> {
    let decoded = names::decode_value(value.as_bytes()).map_err(|error| match error {
        HeaderError::TooLarge { .. } => Refusal::of(Reason::HeaderTooLarge),
        _ => Refusal::of(Reason::InvalidPayload),
    })?;
    let number = decoded.get("x402Version").and_then(serde_json::Value::as_u64);
    let number = number.ok_or_else(|| Refusal::of(Reason::InvalidPayload))?;
    let sent = match Version::of_number(number) {
        Some(Version::One) => serde_json::from_value(decoded).map(Sent::One),
        Some(Version::Two) => serde_json::from_value(decoded).map(Sent::Two),
        None => return Err(Refusal::of(Reason::InvalidX402Version)),
    };
    sent.map_err(|_| Refusal::of(Reason::InvalidPayload))
}

/// A payment with the option of ours that it is for.
struct Chosen {
    version: Version,
    payload: PaymentPayload,
    requirements: PaymentRequirements,
    unfit: Option<Reason>,
}

/// The option that the payment accepted. If it is none of today's, the one on the same network and
/// asset stands in, so that the payment's key can be looked up. Version 1 names no more than scheme
/// and network: what else does not fit is seen in what was signed.
fn choose(sent: Sent, route: &Route) -> Result<Chosen, Refusal> {
    let options = route.options();
    let no_match = Reason::NoMatchingRequirements;
    match sent {
        Sent::One(payload) => {
            let option = payload.select(options).ok_or_else(|| Refusal::of(no_match))?;
            Ok(Chosen {
                version: Version::One,
                payload: payload.to_v2(option),
                requirements: option.clone(),
                unfit: None,
            })
        }
        Sent::Two(payload) => {
            let own = matching::select(&payload, options);
            let unfit = own.is_none().then_some(no_match);
            let option = own.or_else(|| stand_in(&payload, options));
            let requirements = option.ok_or_else(|| Refusal::of(no_match))?.clone();
            Ok(Chosen { version: Version::Two, payload, requirements, unfit })
        }
    }
}

fn stand_in<'a>(
    payload: &PaymentPayload,
    options: &'a [PaymentRequirements],
) -> Option<&'a PaymentRequirements> {
    options.iter().find(|option| {
        payload.accepted_text("network") == Some(option.network.as_str())
            && payload
                .accepted_text("asset")
                .is_some_and(|asset| asset.eq_ignore_ascii_case(&option.asset))
    })
}

/// What was signed is not what is asked for, whatever the buyer's copy says.
fn static_fault(signed: &Eip3009Payload, requirements: &PaymentRequirements) -> Option<Reason> {
    let authorization = &signed.authorization;
    if address::parse_address(&requirements.pay_to) != Ok(authorization.to) {
        return Some(Reason::EvmRecipientMismatch);
    }
    (authorization.value != requirements.amount).then_some(Reason::EvmValueMismatch)
}

fn outside_of_window(signed: &Eip3009Payload, now: u64, least_life_secs: u64) -> Option<Reason> {
    let left = signed.seconds_left(now);
    if left > limits::MAX_VALIDITY_SECS {
        return Some(Reason::ValidityTooLong);
    }
    (left <= least_life_secs).then_some(Reason::DeadlineTooClose)
}

async fn read_body(gate: &Gate, body: GateBody) -> Result<Bytes, Refusal> {
    let limit = gate.limits.max_request_body_bytes;
    // A declared length is believed only as a reason to refuse.
    if body.size_hint().lower() > u64::try_from(limit).unwrap_or(u64::MAX) {
        return Err(Refusal::of(Reason::BodyTooLarge));
    }
    let wait = gate.limits.request_body_timeout;
    match tokio::time::timeout(wait, body::collect(body, limit)).await {
        Ok(Collected::Whole(bytes)) => Ok(bytes),
        Ok(Collected::TooLarge(_)) => Err(Refusal::of(Reason::BodyTooLarge)),
        Ok(Collected::Broken) | Err(_) => Err(Refusal::of(Reason::RequestBodyBroken)),
    }
}
