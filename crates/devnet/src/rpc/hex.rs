//! Values as JSON-RPC writes them: quantities without leading zeros, data with every digit.

use std::fmt::LowerHex;

use alloy_primitives::hex;
use serde_json::Value;

/// A number.
pub(super) fn quantity(value: impl LowerHex) -> Value {
    Value::String(format!("{value:#x}"))
}

/// Bytes.
pub(super) fn data(bytes: impl AsRef<[u8]>) -> Value {
    Value::String(hex::encode_prefixed(bytes.as_ref()))
}

/// An address or nothing; lower case, as geth writes it.
pub(super) fn optional(bytes: Option<impl AsRef<[u8]>>) -> Value {
    bytes.map_or(Value::Null, data)
}
