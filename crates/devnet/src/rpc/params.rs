//! Reading parameters. Every reader names what is wrong and where.

use alloy_primitives::{Address, B256, Bytes, U256, hex};
use serde_json::{Map, Value};

use super::RpcError;
use crate::chain::lookup::BlockId;

/// The positional parameters of a request.
#[derive(Debug, Default)]
pub(super) struct Params(Vec<Value>);

impl Params {
    /// Parameters as they came.
    pub(super) fn new(values: Vec<Value>) -> Self {
        Self(values)
    }

    /// Refuses more parameters than a method takes.
    pub(super) fn at_most(&self, most: usize) -> Result<(), RpcError> {
        if self.0.len() > most {
            return Err(RpcError::params(format!("too many arguments, want at most {most}")));
        }
        Ok(())
    }

    /// The parameter, unless missing or null.
    pub(super) fn optional(&self, index: usize) -> Option<&Value> {
        self.0.get(index).filter(|value| !value.is_null())
    }

    /// The parameter.
    pub(super) fn required(&self, index: usize) -> Result<&Value, RpcError> {
        let missing = || RpcError::params(format!("missing value for required argument {index}"));
        self.optional(index).ok_or_else(missing)
    }

    pub(super) fn address(&self, index: usize) -> Result<Address, RpcError> {
        address(self.required(index)?)
    }

    pub(super) fn hash(&self, index: usize) -> Result<B256, RpcError> {
        hash(self.required(index)?)
    }

    pub(super) fn bytes(&self, index: usize) -> Result<Bytes, RpcError> {
        bytes(self.required(index)?)
    }

    pub(super) fn number(&self, index: usize) -> Result<u64, RpcError> {
        number(self.required(index)?)
    }

    pub(super) fn word(&self, index: usize) -> Result<U256, RpcError> {
        word(self.required(index)?)
    }

    /// A block id; latest when missing.
    pub(super) fn block(&self, index: usize) -> Result<BlockId, RpcError> {
        self.optional(index).map_or(Ok(BlockId::Latest), block)
    }

    pub(super) fn flag(&self, index: usize) -> Result<bool, RpcError> {
        match self.optional(index) {
            None => Ok(false),
            Some(value) => value.as_bool().ok_or_else(|| wrong("a boolean", value)),
        }
    }
}

/// What was expected and what came, shortened.
pub(super) fn wrong(expected: &str, got: &Value) -> RpcError {
    const SHOWN: usize = 80;
    let text: String = got.to_string().chars().take(SHOWN).collect();
    RpcError::params(format!("invalid argument: expected {expected}, got {text}"))
}

fn text<'a>(expected: &str, value: &'a Value) -> Result<&'a str, RpcError> {
    value.as_str().ok_or_else(|| wrong(expected, value))
}

pub(super) fn bytes(value: &Value) -> Result<Bytes, RpcError> {
    let expected = "0x-prefixed hexadecimal data";
    let digits = text(expected, value)?.strip_prefix("0x").ok_or_else(|| wrong(expected, value))?;
    // decode() itself would accept a second prefix.
    if digits.starts_with("0x") {
        return Err(wrong(expected, value));
    }
    hex::decode(digits).map(Bytes::from).map_err(|_| wrong(expected, value))
}

pub(super) fn address(value: &Value) -> Result<Address, RpcError> {
    let raw = bytes(value)?;
    Address::try_from(raw.as_ref()).map_err(|_| wrong("an address of 20 bytes", value))
}

pub(super) fn hash(value: &Value) -> Result<B256, RpcError> {
    let raw = bytes(value)?;
    B256::try_from(raw.as_ref()).map_err(|_| wrong("a hash of 32 bytes", value))
}

/// A quantity in hexadecimal, or a JSON number (some tools send those to dev methods).
pub(super) fn word(value: &Value) -> Result<U256, RpcError> {
    let expected = "a 0x-prefixed quantity";
    if let Some(number) = value.as_u64() {
        return Ok(U256::from(number));
    }
    let digits = text(expected, value)?.strip_prefix("0x").ok_or_else(|| wrong(expected, value))?;
    if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return Err(wrong(expected, value));
    }
    U256::from_str_radix(digits, 16).map_err(|_| wrong("a quantity of at most 256 bits", value))
}

pub(super) fn number(value: &Value) -> Result<u64, RpcError> {
    let wide = word(value)?;
    u64::try_from(wide).map_err(|_| wrong("a quantity of at most 64 bits", value))
}

pub(super) fn wide_number(value: &Value) -> Result<u128, RpcError> {
    let wide = word(value)?;
    u128::try_from(wide).map_err(|_| wrong("a quantity of at most 128 bits", value))
}

/// A tag, a number, or an EIP-1898 object.
pub(super) fn block(value: &Value) -> Result<BlockId, RpcError> {
    if let Some(object) = value.as_object() {
        return match (member(object, "blockHash"), member(object, "blockNumber")) {
            (Some(given), None) => hash(given).map(BlockId::Hash),
            (None, Some(given)) => block_tag(given),
            _ => Err(wrong("either blockHash or blockNumber", value)),
        };
    }
    // Some tools pass a bare hash where a number or an object is meant.
    if value.as_str().is_some_and(|text| text.len() == 66) {
        return hash(value).map(BlockId::Hash);
    }
    block_tag(value)
}

/// A tag or a number.
pub(super) fn block_tag(value: &Value) -> Result<BlockId, RpcError> {
    Ok(match value.as_str() {
        Some("latest") => BlockId::Latest,
        Some("pending") => BlockId::Pending,
        Some("earliest") => BlockId::Earliest,
        Some("safe") => BlockId::Safe,
        Some("finalized") => BlockId::Finalized,
        _ => BlockId::Number(number(value)?),
    })
}

/// A member of an object, unless missing or null.
pub(super) fn member<'a>(object: &'a Map<String, Value>, name: &str) -> Option<&'a Value> {
    object.get(name).filter(|value| !value.is_null())
}

/// A member of an object, read.
pub(super) fn read<T>(
    object: &Map<String, Value>,
    name: &str,
    reader: impl FnOnce(&Value) -> Result<T, RpcError>,
) -> Result<Option<T>, RpcError> {
    let named =
        |error: RpcError| RpcError { message: format!("{name}: {}", error.message), ..error };
    member(object, name).map(reader).transpose().map_err(named)
}

pub(super) fn object<'a>(
    expected: &str,
    value: &'a Value,
) -> Result<&'a Map<String, Value>, RpcError> {
    value.as_object().ok_or_else(|| wrong(expected, value))
}

pub(super) fn array<'a>(expected: &str, value: &'a Value) -> Result<&'a [Value], RpcError> {
    value.as_array().map(Vec::as_slice).ok_or_else(|| wrong(expected, value))
}
