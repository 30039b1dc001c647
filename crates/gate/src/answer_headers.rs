//! What of an application's answer on a priced route leaves the gate: nothing that lets a cache
//! keep it, nothing that speaks about payment in our place.

use faregate_protocol::header as names;
use http::{HeaderMap, HeaderName, HeaderValue, header};

use crate::hop_by_hop;

const PAID: HeaderValue = HeaderValue::from_static("private, no-store");
const FAILED: HeaderValue = HeaderValue::from_static("no-store");
const VARY: HeaderValue = HeaderValue::from_static("PAYMENT-SIGNATURE, X-PAYMENT");
/// Instructions to caches, and validators that would let one answer in our place.
const CACHING: &[&str] = &[
    "expires",
    "etag",
    "last-modified",
    "age",
    "pragma",
    "surrogate-control",
    "surrogate-key",
    "cdn-cache-control",
    "cloudflare-cdn-cache-control",
];
const CACHING_PREFIXES: &[&str] = &["x-accel-"];
/// Only the gate says these.
const PAYMENT: &[&str] = &[
    names::PAYMENT_REQUIRED,
    names::PAYMENT_RESPONSE,
    names::X_PAYMENT_RESPONSE,
    "settlement-overrides",
];

/// The head of a paid answer of `body_len` bytes. `None` keeps the length the application stated:
/// an answer to HEAD has no body of its own.
pub(crate) fn paid(headers: &mut HeaderMap, body_len: Option<u64>) {
    prepare(headers, PAID, body_len);
}

/// The head of a failed handler's answer, which passes unpaid.
pub(crate) fn failed(headers: &mut HeaderMap, body_len: Option<u64>) {
    prepare(headers, FAILED, body_len);
}

fn prepare(headers: &mut HeaderMap, cache_control: HeaderValue, body_len: Option<u64>) {
    hop_by_hop::remove(headers);
    let unwanted: Vec<HeaderName> =
        headers.keys().filter(|name| is_unwanted(name.as_str())).cloned().collect();
    for name in unwanted {
        headers.remove(name);
    }
    headers.insert(header::CACHE_CONTROL, cache_control);
    headers.append(header::VARY, VARY);
    if let Some(length) = body_len {
        headers.insert(header::CONTENT_LENGTH, HeaderValue::from(length));
    }
}

fn is_unwanted(name: &str) -> bool {
    CACHING.contains(&name)
        || PAYMENT.contains(&name)
        || CACHING_PREFIXES.iter().any(|prefix| name.starts_with(prefix))
}
