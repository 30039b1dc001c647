//! The values of JSON-RPC results: hex of the right width, or nothing.

use alloy_primitives::{Address, B256, Bytes, U256, hex};
use serde_json::Value;

/// A number below 2^256. Leading zeros are tolerated: some nodes write them.
pub(crate) fn u256(value: &Value) -> Option<U256> {
    const MAX_DIGITS: usize = 64;
    let digits = digits(value)?;
    if digits.is_empty() || digits.len() > MAX_DIGITS {
        return None;
    }
    U256::from_str_radix(digits, 16).ok()
}

/// A number below 2^64.
pub(crate) fn u64(value: &Value) -> Option<u64> {
    u256(value)?.try_into().ok()
}

/// A number below 2^128.
pub(crate) fn u128(value: &Value) -> Option<u128> {
    u256(value)?.try_into().ok()
}

/// 32 bytes.
pub(crate) fn hash(value: &Value) -> Option<B256> {
    B256::try_from(bytes(value)?.as_ref()).ok()
}

/// 20 bytes.
pub(crate) fn address(value: &Value) -> Option<Address> {
    Address::try_from(bytes(value)?.as_ref()).ok()
}

/// Any bytes.
pub(crate) fn bytes(value: &Value) -> Option<Bytes> {
    hex::decode(digits(value)?).ok().map(Bytes::from)
}

fn digits(value: &Value) -> Option<&str> {
    let digits = value.as_str()?.strip_prefix("0x")?;
    // The decoders would take a second 0x and separators.
    digits.bytes().all(|b| b.is_ascii_hexdigit()).then_some(digits)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::json;

    #[test]
    fn numbers_are_hex_quantities() {
        assert_eq!(u64(&json!("0x0")), Some(0));
        assert_eq!(u64(&json!("0x00ff")), Some(255));
        assert_eq!(u64(&json!("0xffffffffffffffff")), Some(u64::MAX));
        assert_eq!(u64(&json!("0x10000000000000000")), None);
        assert_eq!(u256(&json!(format!("0x{}", "f".repeat(64)))), Some(U256::MAX));
        for bad in [
            json!("0x"),
            json!(""),
            json!("12"),
            json!("0x1g"),
            json!("0x0x1"),
            json!("0x_1"),
            json!("0x+1"),
            json!(format!("0x{}", "0".repeat(65))),
            json!(1),
            json!(null),
            json!([]),
        ] {
            assert_eq!(u256(&bad), None, "{bad}");
        }
    }

    #[test]
    fn bytes_have_their_width() {
        assert_eq!(bytes(&json!("0x")), Some(Bytes::new()));
        assert_eq!(bytes(&json!("0x0")), None);
        assert_eq!(bytes(&json!("00")), None);
        assert!(hash(&json!(format!("0x{}", "11".repeat(32)))).is_some());
        assert!(hash(&json!(format!("0x{}", "11".repeat(31)))).is_none());
        assert!(address(&json!(format!("0x{}", "11".repeat(20)))).is_some());
        assert!(address(&json!(format!("0x{}", "11".repeat(32)))).is_none());
    }

    proptest! {
        #[test]
        fn any_text_is_read_without_panic(text in "(0x)?.{0,70}") {
            let value = json!(text);
            let _ = (u256(&value), u64(&value), u128(&value), hash(&value), address(&value), bytes(&value));
        }

        #[test]
        fn numbers_round_trip(number: u128) {
            prop_assert_eq!(u128(&json!(format!("{number:#x}"))), Some(number));
        }
    }
}
