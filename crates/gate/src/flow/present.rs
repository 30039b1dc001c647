//! Size, decoding, match with the seller's own options, time window: everything that is judged
//! before anybody is asked.

use std::sync::Arc;

use bytes::Bytes;
use faregate_protocol::eip3009::Eip3009Payload;
use faregate_protocol::header::{self as names, HeaderError};
use faregate_protocol::{
    PaymentKey, PaymentPayload, PaymentRequest, PaymentRequirements, Reason, X402_VERSION, address,
    matching,
};
use http::request::Parts;
use http::{HeaderMap, HeaderValue, Request};
use http_body::Body as _;

use crate::answers::Refusal;
use crate::body::{self, Collected, GateBody};
use crate::fingerprint::fingerprint;
use crate::gate::{Gate, now_unix_ms};
use crate::limits;
use crate::route::Route;

const MS_PER_SEC: u64 = 1000;

/// A payment and the request it was presented for.
pub(super) struct Presented {
    pub(super) route: Arc<Route>,
    /// The head, with the payment still in it.
    pub(super) parts: Parts,
    pub(super) body: Bytes,
    /// The payment with the seller's **own** requirements.
    pub(super) asked: PaymentRequest,
    pub(super) key: PaymentKey,
    pub(super) payer: String,
    pub(super) valid_before: u64,
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
    let payload = payload(payment_header(&parts.headers)?)?;
    let (requirements, mut unfit) = own_requirements(&payload, route)?;
    let (key, signed) = PaymentKey::of(&payload, &requirements).map_err(Refusal::of)?;
    unfit = unfit.or_else(|| static_fault(&signed, &requirements)).or_else(|| {
        outside_of_window(&signed, now_unix_ms() / MS_PER_SEC, route.least_life_secs())
    });
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
        parts,
        body,
        key,
        unfit,
    })
}

/// It carries a payment, in one or in several headers.
pub(super) fn has_payment(headers: &HeaderMap) -> bool {
    headers.contains_key(names::PAYMENT_SIGNATURE) || headers.contains_key(names::X_PAYMENT)
}

/// The one payment header of a request.
fn payment_header(headers: &HeaderMap) -> Result<&HeaderValue, Refusal> {
    let of = |name| headers.get_all(name).iter();
    let values = || of(names::PAYMENT_SIGNATURE).chain(of(names::X_PAYMENT));
    if values().any(|value| value.len() > names::MAX_VALUE_BYTES) {
        return Err(Refusal::of(Reason::HeaderTooLarge));
    }
    let mut values = values();
    match (values.next(), values.next()) {
        (None, _) => Err(Refusal::of(Reason::PaymentRequired)),
        (Some(only), None) => Ok(only),
        // Two payments in one request: somebody would have to choose which one is lost.
        (Some(_), Some(_)) => Err(Refusal::of(Reason::InvalidPayload)),
    }
}

fn payload(value: &HeaderValue) -> Result<PaymentPayload, Refusal> {
    let decoded = names::decode_value(value.as_bytes()).map_err(|error| match error {
        HeaderError::TooLarge { .. } => Refusal::of(Reason::HeaderTooLarge),
        _ => Refusal::of(Reason::InvalidPayload),
    })?;
    let version = decoded.get("x402Version").and_then(serde_json::Value::as_u64);
    if version.is_some_and(|version| version != u64::from(X402_VERSION)) {
        return Err(Refusal::of(Reason::InvalidX402Version));
    }
    serde_json::from_value(decoded).map_err(|_| Refusal::of(Reason::InvalidPayload))
}

/// The option that the payment accepted. If it is none of today's, the one on the same network and
/// asset stands in, so that the payment's key can be looked up.
fn own_requirements(
    payload: &PaymentPayload,
    route: &Route,
) -> Result<(PaymentRequirements, Option<Reason>), Refusal> {
    let options = route.options();
    if let Some(own) = matching::select(payload, options) {
        return Ok((own.clone(), None));
    }
    let unmatched = Reason::NoMatchingRequirements;
    let same_token = |option: &&PaymentRequirements| {
        payload.accepted_text("network") == Some(option.network.as_str())
            && payload
                .accepted_text("asset")
                .is_some_and(|asset| asset.eq_ignore_ascii_case(&option.asset))
    };
    let stand_in = options.iter().find(same_token).ok_or_else(|| Refusal::of(unmatched))?;
    Ok((stand_in.clone(), Some(unmatched)))
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
