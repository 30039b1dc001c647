//! What of a request's head reaches the application.

use faregate_protocol::header as names;
use faregate_telemetry::{RequestId, request_id};
use http::{HeaderMap, HeaderName, HeaderValue, header};

/// Who paid, towards the application.
pub const PAYER: HeaderName = HeaderName::from_static("x-faregate-payer");
/// Key of the payment (64 hex digits), towards the application.
pub const PAYMENT: HeaderName = HeaderName::from_static("x-faregate-payment");

/// Names that only the gate may send, by their beginning.
const OURS: &str = "x-faregate-";
/// Let an application believe that another path was asked for.
const PATH_OVERRIDES: &[&str] = &["x-original-url", "x-original-uri", "x-rewrite-url"];
/// Let an application believe that another method was used.
const METHOD_OVERRIDES: &[&str] = &["x-http-method-override", "x-http-method", "x-method-override"];
/// Would let the application tell about the resource without the whole paid answer.
const CONDITIONS: &[HeaderName] = &[header::IF_NONE_MATCH, header::IF_MODIFIED_SINCE];

/// Removes what no client may say to the application, on every route.
pub(crate) fn strip_always(headers: &mut HeaderMap) {
    remove(headers, |name| name.starts_with(OURS) || PATH_OVERRIDES.contains(&name));
}

/// Removes what could make a method out of another, where that other method is priced.
pub(crate) fn strip_method_overrides(headers: &mut HeaderMap) {
    remove(headers, |name| METHOD_OVERRIDES.contains(&name));
}

/// Removes the payment itself (it is a bearer instrument) and every condition.
pub(crate) fn strip_payment(headers: &mut HeaderMap) {
    remove(headers, |name| name == names::PAYMENT_SIGNATURE || name == names::X_PAYMENT);
    for name in CONDITIONS {
        headers.remove(name);
    }
}

/// Tells the application who paid and with which payment.
pub(crate) fn inject(headers: &mut HeaderMap, payer: &str, key: &str) {
    for (name, text) in [(PAYER, payer), (PAYMENT, key)] {
        // Both are hex; a value that is none would be left out, not forged.
        if let Ok(value) = HeaderValue::from_str(text) {
            headers.insert(name, value);
        }
    }
}

/// Tells the application the id of the request, and removes every other spelling of its header.
pub(crate) fn tell_id(headers: &mut HeaderMap, id: &RequestId) {
    remove(headers, |name| name == request_id::HEADER);
    id.mark(headers);
}

/// Removes those that are meant. Some servers read `X_Name` as `X-Name`, so both spellings are
/// looked at as one.
pub(crate) fn remove(headers: &mut HeaderMap, is_meant: impl Fn(&str) -> bool) {
    let meant = |name: &&HeaderName| match name.as_str() {
        name if name.contains('_') => is_meant(&name.replace('_', "-")),
        name => is_meant(name),
    };
    let meant: Vec<HeaderName> = headers.keys().filter(meant).cloned().collect();
    for name in meant {
        headers.remove(name);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_spelling_of_our_names_is_removed() {
        let mut headers = HeaderMap::new();
        for name in [
            "X-Faregate-Payer",
            "x_faregate_payer",
            "X-Faregate_Payment",
            "x-faregate-anything",
            "x_original_url",
        ] {
            headers.append(HeaderName::from_bytes(name.as_bytes()).unwrap(), "x".parse().unwrap());
        }
        headers.insert(header::ACCEPT, "a".parse().unwrap());
        strip_always(&mut headers);
        assert_eq!(headers.len(), 1);
    }
}
