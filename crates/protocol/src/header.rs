//! The one header codec: base64 of compact JSON, with its limits.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::json::{self, JsonError};

/// Challenge, on a 402 (v2).
pub const PAYMENT_REQUIRED: &str = "payment-required";
/// Payment, on a request (v2).
pub const PAYMENT_SIGNATURE: &str = "payment-signature";
/// Outcome of the settlement, on an answer (v2).
pub const PAYMENT_RESPONSE: &str = "payment-response";
/// Payment, on a request (v1).
pub const X_PAYMENT: &str = "x-payment";
/// Outcome of the settlement, on an answer (v1).
pub const X_PAYMENT_RESPONSE: &str = "x-payment-response";

/// Largest header value that is decoded, in bytes of base64.
pub const MAX_VALUE_BYTES: usize = 32 * 1024;
/// Largest header list an edge accepts, in bytes.
pub const MAX_LIST_BYTES: usize = 64 * 1024;

/// Why a header was not read. Carries nothing of the header.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum HeaderError {
    /// Longer than [`MAX_VALUE_BYTES`].
    #[error("the header is {found} bytes long, the limit is {MAX_VALUE_BYTES}")]
    TooLarge {
        /// Length found.
        found: usize,
    },
    /// No value.
    #[error("the header is empty")]
    Empty,
    /// Not standard base64 with padding.
    #[error("the header is not standard base64 with padding")]
    NotBase64,
    /// Not strict JSON.
    #[error(transparent)]
    NotJson(#[from] JsonError),
    /// JSON of another shape than the header carries.
    #[error("the header's JSON has another shape than expected")]
    Shape,
}

/// base64 of the compact JSON of `message`.
///
/// # Errors
/// Only if `message` cannot be turned into JSON.
pub fn encode<T: Serialize>(message: &T) -> Result<String, serde_json::Error> {
    Ok(STANDARD.encode(serde_json::to_vec(message)?))
}

/// The header value for a message that is JSON already.
#[must_use]
pub fn encode_text(json: &str) -> String {
    STANDARD.encode(json)
}

/// Reads a header value: size, alphabet, strict JSON, shape, in this order.
///
/// # Errors
/// [`HeaderError`].
pub fn decode<T: DeserializeOwned>(value: &[u8]) -> Result<T, HeaderError> {
    serde_json::from_value(decode_value(value)?).map_err(|_| HeaderError::Shape)
}

/// As [`decode`], up to the JSON value.
///
/// # Errors
/// [`HeaderError`] except `Shape`.
pub fn decode_value(value: &[u8]) -> Result<serde_json::Value, HeaderError> {
    if value.len() > MAX_VALUE_BYTES {
        return Err(HeaderError::TooLarge { found: value.len() });
    }
    if value.is_empty() {
        return Err(HeaderError::Empty);
    }
    let text = STANDARD.decode(value).map_err(|_| HeaderError::NotBase64)?;
    Ok(json::parse(&text)?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::PaymentPayload;
    use proptest::prelude::*;

    #[test]
    fn each_fault_has_its_own_error() {
        let base64 = |text: &str| STANDARD.encode(text);
        let read = |value: &str| decode::<PaymentPayload>(value.as_bytes()).unwrap_err();
        assert_eq!(read(""), HeaderError::Empty);
        assert_eq!(read(&"A".repeat(MAX_VALUE_BYTES + 4)), HeaderError::TooLarge { found: 32_772 });
        for not_base64 in ["%%%", "e30", "e3 0=", "e30=\n", "e3-_", "e30==", "é"] {
            assert_eq!(read(not_base64), HeaderError::NotBase64, "{not_base64:?}");
        }
        assert!(matches!(read(&base64("{")), HeaderError::NotJson(JsonError::Syntax { .. })));
        assert_eq!(
            read(&base64("{\"a\":1,\"a\":1}")),
            HeaderError::NotJson(JsonError::DuplicateKey)
        );
        let deep = format!("{}{}", "[".repeat(5_000), "]".repeat(5_000));
        assert_eq!(read(&base64(&deep)), HeaderError::NotJson(JsonError::TooDeep));
        assert_eq!(read(&base64("{}")), HeaderError::Shape);
        assert_eq!(read(&base64("[]")), HeaderError::Shape);
    }

    #[test]
    fn unused_bits_of_the_last_character_must_be_zero() {
        assert_eq!(decode_value(b"MTE=").unwrap(), serde_json::json!(11));
        assert_eq!(decode_value(b"MTF="), Err(HeaderError::NotBase64));
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_without_panic(bytes: Vec<u8>) {
            let _ = decode::<PaymentPayload>(&bytes);
        }

        #[test]
        fn what_is_encoded_is_decoded(text in ".{0,60}", n: u32) {
            let value = serde_json::json!({"text": text, "n": n});
            let header = encode(&value).unwrap();
            prop_assert_eq!(decode_value(header.as_bytes()).unwrap(), value);
        }
    }
}
