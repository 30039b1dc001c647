//! RFC 8785 canonical JSON, and the hashes that are taken of it.

use serde::Serialize;
use serde_json::Value;
use sha2::{Digest, Sha256};

/// sha256 of the RFC 8785 form of `value`.
///
/// # Errors
/// Only if `value` cannot be turned into JSON.
pub fn hash<T: Serialize>(value: &T) -> Result<[u8; 32], serde_json::Error> {
    let value = serde_json::to_value(value)?;
    Ok(Sha256::digest(to_string(&value)).into())
}

/// The RFC 8785 form: members sorted by UTF-16 code units, no white space, ECMAScript numbers.
#[must_use]
pub fn to_string(value: &Value) -> String {
    let mut out = String::new();
    write(value, &mut out);
    out
}

fn write(value: &Value, out: &mut String) {
    match value {
        Value::Array(items) => {
            out.push('[');
            for (i, item) in items.iter().enumerate() {
                if i > 0 {
                    out.push(',');
                }
                write(item, out);
            }
            out.push(']');
        }
        Value::Object(members) => {
            let mut sorted: Vec<_> = members.iter().collect();
            sorted.sort_by(|(a, _), (b, _)| a.encode_utf16().cmp(b.encode_utf16()));
            out.push('{');
            for (i, (key, item)) in sorted.into_iter().enumerate() {
                if i > 0 {
                    out.push(',');
                }
                out.push_str(&Value::String(key.clone()).to_string());
                out.push(':');
                write(item, out);
            }
            out.push('}');
        }
        Value::Number(number) => out.push_str(&ecmascript_number(number)),
        other => out.push_str(&other.to_string()),
    }
}

/// ECMAScript prints a whole number below 10^21 without fraction or exponent; serde_json prints
/// `1.0` for the same double.
fn ecmascript_number(number: &serde_json::Number) -> String {
    const EXPONENT_FROM: f64 = 1e21;
    match number.as_f64() {
        Some(double)
            if number.is_f64() && double == double.trunc() && double.abs() < EXPONENT_FROM =>
        {
            format!("{:.0}", if double == 0.0 { 0.0 } else { double })
        }
        _ => number.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn members_are_sorted_and_numbers_are_ecmascript() {
        let value: Value =
            serde_json::from_str(r#"{"b":1.0,"a":[true,null,"\u20ac\n"],"\u00e9":-0.0,"B":60}"#)
                .unwrap();
        assert_eq!(to_string(&value), "{\"B\":60,\"a\":[true,null,\"€\\n\"],\"b\":1,\"é\":0}");
    }

    #[test]
    fn order_and_space_do_not_change_the_hash() {
        let one: Value = serde_json::from_str(r#"{"x":1,"y":{"b":2,"a":3}}"#).unwrap();
        let two: Value = serde_json::from_str(r#"{ "y":{"a":3,"b":2}, "x":1 }"#).unwrap();
        assert_eq!(hash(&one).unwrap(), hash(&two).unwrap());
    }
}
