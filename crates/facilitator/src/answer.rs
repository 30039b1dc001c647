//! Answers that are not the protocol's: `{"error": ...}`, with a stable `code` where a program
//! should act on it. Nothing that a caller sent is repeated in one.

use axum::Json;
use axum::response::{IntoResponse, Response};
use faregate_protocol::{FacilitatorError, Reason};
use http::header::{CACHE_CONTROL, RETRY_AFTER, WWW_AUTHENTICATE};
use http::{HeaderValue, StatusCode};
use serde::Serialize;
use serde_json::json;

use crate::limits::RETRY_AFTER_SECS;

/// An answer that is not the protocol's.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// 400.
    #[error("{0}")]
    Malformed(String),
    /// 408: the body did not arrive in time.
    #[error("the request body did not arrive in time")]
    BodyTooSlow,
    /// 413.
    #[error("the request body is larger than {limit} bytes")]
    BodyTooLarge {
        /// The limit, in bytes.
        limit: usize,
    },
    /// 401: no token, or one that is nobody's.
    #[error("this call needs a bearer token of a known caller")]
    Unauthorized,
    /// 404: nobody asked here to settle that payment, or the ledger was lost.
    #[error("there is no settlement of this payment here")]
    NoSettlement,
    /// 404.
    #[error("there is nothing here")]
    NotFound,
    /// 405.
    #[error("this path does not answer that method")]
    MethodNotAllowed,
    /// 500. What failed is in the log only.
    #[error("internal_error")]
    Internal,
    /// 503: nothing was begun, come again.
    #[error("{}", .0.help())]
    Busy(Reason),
    /// 502: what is behind this door answered nonsense or could not be reached. At verify only.
    #[error("{}", .0.help())]
    Broken(Reason),
}

impl Refusal {
    /// No verdict: a verification moves nothing, so every cause may be told as a failure.
    #[must_use]
    pub fn of_verify(error: &FacilitatorError) -> Self {
        match error {
            FacilitatorError::Unavailable(word) => Self::unavailable(word),
            FacilitatorError::TimedOut => Self::Busy(Reason::FacilitatorUnavailable),
            _ => Self::Broken(Reason::FacilitatorUnavailable),
        }
    }

    /// Nothing was begun, because of `word`: one of our codes, or any other fixed word.
    #[must_use]
    pub fn unavailable(word: &str) -> Self {
        Self::Busy(Reason::from_code(word).unwrap_or(Reason::FacilitatorUnavailable))
    }

    fn status(&self) -> StatusCode {
        match self {
            Self::Malformed(_) => StatusCode::BAD_REQUEST,
            Self::BodyTooSlow => StatusCode::REQUEST_TIMEOUT,
            Self::BodyTooLarge { .. } => StatusCode::PAYLOAD_TOO_LARGE,
            Self::Unauthorized => StatusCode::UNAUTHORIZED,
            Self::NotFound | Self::NoSettlement => StatusCode::NOT_FOUND,
            Self::MethodNotAllowed => StatusCode::METHOD_NOT_ALLOWED,
            Self::Internal => StatusCode::INTERNAL_SERVER_ERROR,
            Self::Busy(_) => StatusCode::SERVICE_UNAVAILABLE,
            Self::Broken(_) => StatusCode::BAD_GATEWAY,
        }
    }

    /// The word under which metrics count it.
    #[must_use]
    pub const fn metric(&self) -> &'static str {
        match self {
            Self::Malformed(_) | Self::BodyTooSlow | Self::BodyTooLarge { .. } => "malformed",
            Self::Unauthorized => "unauthorized",
            Self::NotFound | Self::NoSettlement | Self::MethodNotAllowed => "not_found",
            Self::Internal => "internal_error",
            Self::Busy(Reason::QueueFull) => "queue_full",
            Self::Busy(_) => "unavailable",
            Self::Broken(_) => "error",
        }
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let error = self.to_string();
        let body = match self {
            Self::Busy(reason) | Self::Broken(reason) => {
                json!({"error": error, "code": reason.code()})
            }
            _ => json!({"error": error}),
        };
        let mut response = json_answer(self.status(), &body);
        if self == Self::Unauthorized {
            response.headers_mut().insert(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        if matches!(self, Self::Busy(_)) {
            response.headers_mut().insert(RETRY_AFTER, HeaderValue::from(RETRY_AFTER_SECS));
        }
        response
    }
}

/// JSON that no cache keeps.
pub(crate) fn json_answer<T: Serialize>(status: StatusCode, body: &T) -> Response {
    (status, [(CACHE_CONTROL, "no-store")], Json(body)).into_response()
}
