//! One id for each request: taken from the caller if it is harmless, in every log line of the
//! request, and on the answer.

use std::fmt;

use axum::extract::Request;
use axum::http::{HeaderMap, HeaderName, HeaderValue};
use axum::response::Response;
use tracing::Instrument as _;
use uuid::Uuid;

/// The header of the id, on requests and answers.
pub const HEADER: &str = "x-request-id";
/// The same, read once.
const NAME: HeaderName = HeaderName::from_static(HEADER);
/// Longest id that is taken over, in characters.
pub const MAX_CHARS: usize = 64;

/// 1 to 64 characters of `[A-Za-z0-9_-]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RequestId(HeaderValue);

impl RequestId {
    /// A new id: a version 7 UUID, so that ids sort by time.
    #[must_use]
    pub fn fresh() -> Self {
        let mut text = Uuid::encode_buffer();
        let text = Uuid::now_v7().hyphenated().encode_lower(&mut text);
        // Hex digits and hyphens are a header's value.
        Self(HeaderValue::from_str(text).unwrap_or(HeaderValue::from_static("unknown")))
    }

    /// The caller's id if there is one and it is within the grammar, else a new one.
    #[must_use]
    pub fn of(headers: &HeaderMap) -> Self {
        match headers.get(NAME) {
            Some(sent) if is_id(sent.as_bytes()) => Self(sent.clone()),
            _ => Self::fresh(),
        }
    }

    /// The id as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        self.0.to_str().unwrap_or_default()
    }

    /// The span of the request: every line logged inside names the id.
    #[must_use]
    pub fn span(&self) -> tracing::Span {
        tracing::info_span!("request", request_id = %self)
    }

    /// Puts the id on an answer.
    pub fn mark(&self, headers: &mut HeaderMap) {
        headers.insert(NAME, self.0.clone());
    }

    /// The same where it is the last use of the id: a first clone costs an allocation.
    pub fn end_in(self, headers: &mut HeaderMap) {
        headers.insert(NAME, self.0);
    }
}

impl fmt::Display for RequestId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

fn is_id(text: &[u8]) -> bool {
    (1..=MAX_CHARS).contains(&text.len())
        && text.iter().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-'))
}

/// Answers a request with `answer`, which runs inside the span of the request's id, and puts the
/// id on the answer.
pub async fn carry<F>(request: Request, answer: impl FnOnce(Request) -> F) -> Response
where
    F: Future<Output = Response>,
{
    let id = RequestId::of(request.headers());
    let mut response = answer(request).instrument(id.span()).await;
    id.mark(response.headers_mut());
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(value: &[u8]) -> RequestId {
        let mut headers = HeaderMap::new();
        headers.insert(HEADER, HeaderValue::from_bytes(value).unwrap());
        RequestId::of(&headers)
    }

    #[test]
    fn a_harmless_id_is_taken_over() {
        let longest = "a".repeat(MAX_CHARS);
        for id in ["a", "Ab_9-", longest.as_str()] {
            assert_eq!(of(id.as_bytes()).as_str(), id);
        }
    }

    #[test]
    fn anything_else_is_replaced() {
        let too_long = "a".repeat(MAX_CHARS + 1);
        for id in ["", "a b", "a\tb", "../x", "\"}", "ü", too_long.as_str()] {
            let made = of(id.as_bytes());
            assert_ne!(made.as_str(), id);
            assert!(is_id(made.as_str().as_bytes()));
        }
        assert_ne!(RequestId::of(&HeaderMap::new()), RequestId::of(&HeaderMap::new()));
    }
}
