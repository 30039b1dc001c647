//! CORS of priced paths: the preflight that the gate answers, and the headers that let a page's
//! script read a challenge and a receipt. Never with credentials.

use http::{HeaderMap, HeaderName, HeaderValue, Response, StatusCode, header};

use crate::body::GateBody;

const ALLOW_HEADERS: HeaderValue = HeaderValue::from_static(
    "PAYMENT-SIGNATURE, X-PAYMENT, Content-Type, Accept, Authorization, Range, \
     Access-Control-Expose-Headers",
);
const ALLOW_METHODS: HeaderValue =
    HeaderValue::from_static("GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS");
const EXPOSE_HEADERS: HeaderValue =
    HeaderValue::from_static("PAYMENT-REQUIRED, PAYMENT-RESPONSE, X-PAYMENT-RESPONSE");
const ANY_ORIGIN: HeaderValue = HeaderValue::from_static("*");
/// Seconds a browser may remember a preflight.
const MAX_AGE: HeaderValue = HeaderValue::from_static("600");

/// The answer to a preflight on a priced path.
pub(crate) fn preflight() -> Response<GateBody> {
    let mut response = Response::new(GateBody::empty());
    *response.status_mut() = StatusCode::NO_CONTENT;
    let headers = response.headers_mut();
    headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, ANY_ORIGIN);
    headers.insert(header::ACCESS_CONTROL_ALLOW_METHODS, ALLOW_METHODS);
    headers.insert(header::ACCESS_CONTROL_ALLOW_HEADERS, ALLOW_HEADERS);
    headers.insert(header::ACCESS_CONTROL_EXPOSE_HEADERS, EXPOSE_HEADERS);
    headers.insert(header::ACCESS_CONTROL_MAX_AGE, MAX_AGE);
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(header::VARY, HeaderValue::from_static("Origin"));
    response
}

/// Lets a page's script read an answer on a priced path. What the application allows by itself is
/// left as it is.
pub(crate) fn expose(headers: &mut HeaderMap) {
    let allow_origin: HeaderName = header::ACCESS_CONTROL_ALLOW_ORIGIN;
    headers.entry(allow_origin).or_insert(ANY_ORIGIN);
    headers.append(header::ACCESS_CONTROL_EXPOSE_HEADERS, EXPOSE_HEADERS);
}
