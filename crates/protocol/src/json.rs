//! Strict JSON: depth is bounded and a repeated key is an error, so that two readers of one text
//! can never see two different payments.

use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, Error as _, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Value};

/// Deepest nesting of objects and arrays that is read. Extension schemas of the official packages
/// nest about a dozen levels.
pub const MAX_DEPTH: usize = 32;

/// Room that an object gets at first; most of this protocol's have no more members.
const USUAL_MEMBERS: usize = 7;

/// Why a text was refused. Carries no part of the text, which may hold a bearer authorization.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum JsonError {
    /// Not JSON, or more after the value.
    #[error("not valid JSON (line {line}, column {column})")]
    Syntax {
        /// Line, from 1.
        line: usize,
        /// Column, from 1.
        column: usize,
    },
    /// Nested deeper than [`MAX_DEPTH`].
    #[error("JSON is nested deeper than {MAX_DEPTH} levels")]
    TooDeep,
    /// An object names a key twice.
    #[error("JSON repeats an object key")]
    DuplicateKey,
}

const TOO_DEEP: &str = "faregate:too-deep";
const DUPLICATE: &str = "faregate:duplicate-key";

/// Reads one JSON value that fills the whole of `text`.
///
/// # Errors
/// [`JsonError`].
pub fn parse(text: &[u8]) -> Result<Value, JsonError> {
    // Looked at as a whole, a text is not looked at again string by string.
    match std::str::from_utf8(text) {
        Ok(text) => read(serde_json::Deserializer::from_str(text)),
        // Fails as well, and says where.
        Err(_) => read(serde_json::Deserializer::from_slice(text)),
    }
}

fn read<'de, R: serde_json::de::Read<'de>>(
    mut reader: serde_json::Deserializer<R>,
) -> Result<Value, JsonError> {
    let value = Strict::inside(0).deserialize(&mut reader).map_err(classify)?;
    reader.end().map_err(classify)?;
    Ok(value)
}

fn classify(error: serde_json::Error) -> JsonError {
    let text = error.to_string();
    if text.contains(TOO_DEEP) || text.contains("recursion limit") {
        JsonError::TooDeep
    } else if text.contains(DUPLICATE) {
        JsonError::DuplicateKey
    } else {
        JsonError::Syntax { line: error.line(), column: error.column() }
    }
}

/// Reads one value inside of a text, for a reader that takes the levels around it apart itself.
/// Such a reader has to refuse repeated keys of its own levels.
#[derive(Clone, Copy, Debug)]
pub struct Strict {
    depth: usize,
}

impl Strict {
    /// A value that stands inside of `depth` objects and arrays.
    #[must_use]
    pub const fn inside(depth: usize) -> Self {
        Self { depth }
    }

    fn deeper<E: serde::de::Error>(self) -> Result<Self, E> {
        if self.depth >= MAX_DEPTH {
            return Err(E::custom(TOO_DEEP));
        }
        Ok(Self { depth: self.depth + 1 })
    }
}

impl<'de> DeserializeSeed<'de> for Strict {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Strict {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(Value::Bool(value))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_f64<E>(self, value: f64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_str<E>(self, value: &str) -> Result<Value, E> {
        Ok(Value::String(value.to_owned()))
    }

    fn visit_string<E>(self, value: String) -> Result<Value, E> {
        Ok(Value::String(value))
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Value, A::Error> {
        let inner = self.deeper()?;
        let mut items = Vec::new();
        while let Some(item) = seq.next_element_seed(inner)? {
            items.push(item);
        }
        Ok(Value::Array(items))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Value, A::Error> {
        let inner = self.deeper()?;
        let mut members = Map::new();
        while let Some(key) = map.next_key::<String>()? {
            // Not before: a text of empty objects would cost far more than its length.
            if members.is_empty() {
                members = Map::with_capacity(USUAL_MEMBERS);
            }
            let value = map.next_value_seed(inner)?;
            if members.insert(key, value).is_some() {
                return Err(A::Error::custom(DUPLICATE));
            }
        }
        Ok(Value::Object(members))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_repeated_key_is_refused_at_any_level() {
        assert_eq!(parse(br#"{"a":1,"a":2}"#), Err(JsonError::DuplicateKey));
        assert_eq!(parse(br#"{"x":[{"a":1,"\u0061":2}]}"#), Err(JsonError::DuplicateKey));
    }

    #[test]
    fn depth_is_bounded() {
        let nested = |n: usize| format!("{}1{}", "[".repeat(n), "]".repeat(n));
        assert!(parse(nested(MAX_DEPTH).as_bytes()).is_ok());
        assert_eq!(parse(nested(MAX_DEPTH + 1).as_bytes()), Err(JsonError::TooDeep));
        assert_eq!(parse(nested(100_000).as_bytes()), Err(JsonError::TooDeep));
    }

    #[test]
    fn the_value_must_fill_the_text() {
        for text in ["", "{}{}", "{} x", "\u{feff}{}", "NaN", "'a'", "{\"a\":\"\\ud800\"}"] {
            assert!(matches!(parse(text.as_bytes()), Err(JsonError::Syntax { .. })), "{text:?}");
        }
    }

    #[test]
    fn bytes_that_are_no_text_are_refused_where_they_stand() {
        for bytes in [&b"{\n\"a\":\"\xff\"}"[..], b"\xff", b"{}\xff", b"{\"\xc3\":1}"] {
            let error = serde_json::from_slice::<Value>(bytes).unwrap_err();
            let (line, column) = (error.line(), error.column());
            assert_eq!(parse(bytes), Err(JsonError::Syntax { line, column }), "{bytes:?}");
        }
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_without_panic(bytes: Vec<u8>) {
            let _ = parse(&bytes);
        }

        #[test]
        fn it_agrees_with_serde_json_on_what_it_accepts(text in "[\\[\\]{}\":,0-9a-c \\\\]{0,40}") {
            if let Ok(value) = parse(text.as_bytes()) {
                prop_assert_eq!(serde_json::from_str::<Value>(&text).ok(), Some(value));
            }
        }
    }
}
