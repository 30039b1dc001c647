//! Reads a 402: the `PAYMENT-REQUIRED` header, else a body of version 2 or 1. A seller that speaks
//! both is paid in version 2.
//!
//! The options stay raw: one that cannot be read must not hide the others, and the chosen one is
//! sent back member by member as it came.

mod version_1;

use faregate_protocol::header::{self, HeaderError, PAYMENT_REQUIRED};
use faregate_protocol::json;
use reqwest::header::HeaderMap;
use serde_json::{Map, Value};

use crate::version::Version;

/// Options of a challenge that are looked at.
pub const MAX_OPTIONS: usize = 64;
/// Largest body that is read as a challenge, in bytes.
pub const MAX_BODY_BYTES: usize = 256 * 1024;

/// What a seller asks for.
#[derive(Clone, Debug, PartialEq)]
pub struct Challenge {
    /// In which version the seller asks, and is to be paid.
    pub version: Version,
    /// The ways to pay, raw, at most [`MAX_OPTIONS`]; those of version 1 in the form of version 2.
    pub options: Vec<Map<String, Value>>,
    /// What the money buys, raw.
    pub resource: Option<Value>,
    /// The seller's extensions, raw.
    pub extensions: Option<Map<String, Value>>,
    /// The seller's reason; `Payment required` at first.
    pub error: Option<String>,
}

/// Why a 402 cannot be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ChallengeError {
    /// More than one `PAYMENT-REQUIRED`.
    #[error("it has several PAYMENT-REQUIRED headers")]
    Repeated,
    /// The header cannot be decoded.
    #[error("PAYMENT-REQUIRED: {0}")]
    Header(#[from] HeaderError),
    /// Neither header nor body is a challenge.
    #[error("it has neither a PAYMENT-REQUIRED header nor an x402 body")]
    Absent,
    /// Another version of the protocol.
    #[error("it speaks a version of x402 that is not spoken here")]
    Version,
    /// JSON of another shape, or without options.
    #[error("it lists no ways to pay")]
    Shape,
}

/// Reads a 402.
///
/// # Errors
/// [`ChallengeError`].
pub fn read(headers: &HeaderMap, body: &[u8]) -> Result<Challenge, ChallengeError> {
    let mut values = headers.get_all(PAYMENT_REQUIRED).iter();
    let value = match (values.next(), values.next()) {
        (Some(value), None) => {
            let challenge = from_value(header::decode_value(value.as_bytes())?)?;
            // The header belongs to version 2.
            let ours = challenge.version == Version::V2;
            return if ours { Ok(challenge) } else { Err(ChallengeError::Version) };
        }
        (Some(_), Some(_)) => return Err(ChallengeError::Repeated),
        (None, _) if body.len() <= MAX_BODY_BYTES => {
            json::parse(body).map_err(|_| ChallengeError::Absent)?
        }
        (None, _) => return Err(ChallengeError::Absent),
    };
    from_value(value)
}

fn from_value(value: Value) -> Result<Challenge, ChallengeError> {
    let Value::Object(mut members) = value else { return Err(ChallengeError::Absent) };
    let version = members.get("x402Version").ok_or(ChallengeError::Absent)?;
    let number = version.as_u64().and_then(|number| u32::try_from(number).ok());
    let version = number.and_then(|number| number.try_into().ok());
    let version: Version = version.ok_or(ChallengeError::Version)?;
    let Some(Value::Array(accepts)) = members.remove("accepts") else {
        return Err(ChallengeError::Shape);
    };
    let object = |value| match value {
        Value::Object(members) => Some(members),
        _ => None,
    };
    let options: Vec<_> = accepts.into_iter().take(MAX_OPTIONS).filter_map(object).collect();
    if options.is_empty() {
        return Err(ChallengeError::Shape);
    }
    let options = match version {
        Version::V1 => version_1::translate(options),
        Version::V2 => options,
    };
    Ok(Challenge {
        version,
        options,
        resource: members.remove("resource").filter(Value::is_object),
        extensions: members.remove("extensions").and_then(object),
        error: members.get("error").and_then(Value::as_str).map(str::to_owned),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use reqwest::header::HeaderValue;
    use serde_json::json;

    fn headers(values: &[&Value]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for value in values {
            let text = header::encode(value).unwrap();
            headers.append(PAYMENT_REQUIRED, HeaderValue::from_str(&text).unwrap());
        }
        headers
    }

    #[test]
    fn the_header_wins_over_the_body() {
        let one = json!({"x402Version": 2, "accepts": [{"scheme": "exact"}], "error": "x"});
        let body = json!({"x402Version": 1, "accepts": [{}, {"scheme": "x"}]}).to_string();
        let challenge = read(&headers(&[&one]), body.as_bytes()).unwrap();
        assert_eq!((challenge.version, challenge.options.len()), (Version::V2, 1));
        let alone = read(&headers(&[]), body.as_bytes()).unwrap();
        assert_eq!((alone.version, alone.options.len()), (Version::V1, 2));
        let v1_in_header = json!({"x402Version": 1, "accepts": [{}]});
        assert_eq!(read(&headers(&[&v1_in_header]), b""), Err(ChallengeError::Version));
        assert_eq!(challenge.error.as_deref(), Some("x"));
        assert_eq!(read(&headers(&[]), one.to_string().as_bytes()).unwrap(), challenge);
        assert_eq!(read(&headers(&[&one, &one]), b""), Err(ChallengeError::Repeated));
    }

    #[test]
    fn what_is_no_challenge_is_told_apart() {
        for (body, want) in [
            ("", ChallengeError::Absent),
            ("<html>", ChallengeError::Absent),
            ("{}", ChallengeError::Absent),
            ("[]", ChallengeError::Absent),
            (r#"{"x402Version":1}"#, ChallengeError::Shape),
            (r#"{"x402Version":1,"accepts":[]}"#, ChallengeError::Shape),
            (r#"{"x402Version":3,"accepts":[{}]}"#, ChallengeError::Version),
            (r#"{"x402Version":-1,"accepts":[{}]}"#, ChallengeError::Version),
            (r#"{"x402Version":1.0,"accepts":[{}]}"#, ChallengeError::Version),
            (r#"{"x402Version":4294967298,"accepts":[{}]}"#, ChallengeError::Version),
            (r#"{"x402Version":"2","accepts":[{}]}"#, ChallengeError::Version),
            (r#"{"x402Version":2}"#, ChallengeError::Shape),
            (r#"{"x402Version":2,"accepts":[]}"#, ChallengeError::Shape),
            (r#"{"x402Version":2,"accepts":[1]}"#, ChallengeError::Shape),
        ] {
            assert_eq!(read(&headers(&[]), body.as_bytes()), Err(want), "{body}");
        }
        let mut bad = HeaderMap::new();
        bad.insert(PAYMENT_REQUIRED, HeaderValue::from_static("%%%"));
        assert!(matches!(read(&bad, b""), Err(ChallengeError::Header(_))));
    }
}
