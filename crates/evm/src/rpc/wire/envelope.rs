//! An answer taken apart as it is read: its members never become maps. It is as strict as
//! [`faregate_protocol::json`], which reads the values inside.

use std::collections::HashSet;
use std::fmt;

use faregate_protocol::json::Strict;
use serde::de::{DeserializeSeed, Deserializer, Error as _, MapAccess, SeqAccess, Visitor};
use serde_json::Value;

const REPEATED: &str = "a key is repeated";

/// What is read of one member of an answer.
#[derive(Default)]
pub(super) struct Member {
    pub(super) id: Option<Value>,
    pub(super) result: Option<Value>,
    pub(super) error: Option<Value>,
}

/// A whole answer.
pub(super) enum Envelope {
    /// An object.
    One(Member),
    /// An array of objects.
    Many(Vec<Member>),
}

/// Reads an answer; `None` when it is not strict JSON of that shape.
pub(super) fn read(body: &[u8]) -> Option<Envelope> {
    let mut reader = serde_json::Deserializer::from_str(std::str::from_utf8(body).ok()?);
    let envelope = reader.deserialize_any(WholeVisitor).ok()?;
    reader.end().ok()?;
    Some(envelope)
}

struct WholeVisitor;

impl<'de> Visitor<'de> for WholeVisitor {
    type Value = Envelope;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object or an array of objects")
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Envelope, A::Error> {
        MemberVisitor { values: Strict::inside(1) }.visit_map(map).map(Envelope::One)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Envelope, A::Error> {
        let mut members = Vec::new();
        while let Some(member) =
            seq.next_element_seed(MemberVisitor { values: Strict::inside(2) })?
        {
            members.push(member);
        }
        Ok(Envelope::Many(members))
    }
}

#[derive(Clone, Copy)]
struct MemberVisitor {
    values: Strict,
}

impl<'de> DeserializeSeed<'de> for MemberVisitor {
    type Value = Member;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Member, D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for MemberVisitor {
    type Value = Member;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Member, A::Error> {
        let mut member = Member::default();
        let (mut version, mut others) = (None, HashSet::new());
        while let Some(key) = map.next_key_seed(KeySeed)? {
            let value = map.next_value_seed(self.values)?;
            let known = match key {
                Key::Id => &mut member.id,
                Key::Result => &mut member.result,
                Key::Error => &mut member.error,
                Key::Version => &mut version,
                Key::Other(name) => {
                    if !others.insert(name) {
                        return Err(A::Error::custom(REPEATED));
                    }
                    continue;
                }
            };
            if known.replace(value).is_some() {
                return Err(A::Error::custom(REPEATED));
            }
        }
        Ok(member)
    }
}

enum Key {
    Id,
    Result,
    Error,
    Version,
    Other(String),
}

struct KeySeed;

impl<'de> DeserializeSeed<'de> for KeySeed {
    type Value = Key;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Key, D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl Visitor<'_> for KeySeed {
    type Value = Key;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a key")
    }

    fn visit_str<E>(self, name: &str) -> Result<Key, E> {
        Ok(match name {
            "id" => Key::Id,
            "result" => Key::Result,
            "error" => Key::Error,
            "jsonrpc" => Key::Version,
            other => Key::Other(other.to_owned()),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use faregate_protocol::json;
    use proptest::prelude::*;

    /// The same, from a tree.
    fn from_tree(body: &[u8]) -> Option<Vec<[Option<Value>; 3]>> {
        let member = |value: Value| {
            let Value::Object(mut members) = value else { return None };
            Some(["id", "result", "error"].map(|key| members.remove(key)))
        };
        match json::parse(body).ok()? {
            Value::Array(members) => members.into_iter().map(member).collect(),
            whole => Some(vec![member(whole)?]),
        }
    }

    fn from_text(body: &[u8]) -> Option<Vec<[Option<Value>; 3]>> {
        let members = match read(body)? {
            Envelope::One(member) => vec![member],
            Envelope::Many(members) => members,
        };
        Some(members.into_iter().map(|m| [m.id, m.result, m.error]).collect())
    }

    #[test]
    fn it_reads_what_the_strict_reader_reads() {
        let nested = |n: usize| format!(r#"{{"result":{}1{}}}"#, "[".repeat(n), "]".repeat(n));
        let texts = [
            r#"{"id":1,"result":{"a":[1]},"jsonrpc":"2.0","other":{}}"#.to_owned(),
            r#"[{"id":1,"error":null},{},{"x":1,"y":2}]"#.to_owned(),
            r#"{"id":1,"id":1}"#.to_owned(),
            r#"{"x":1,"\u0078":1}"#.to_owned(),
            r#"{"jsonrpc":"2.0","jsonrpc":"2.0"}"#.to_owned(),
            r#"{"result":{"a":1,"a":1}}"#.to_owned(),
            r#"{"other":{"a":1,"a":1}}"#.to_owned(),
            r#"[{}] x"#.to_owned(),
            "[1]".to_owned(),
            "17".to_owned(),
            nested(json::MAX_DEPTH - 1),
            nested(json::MAX_DEPTH),
            format!("[{}]", nested(json::MAX_DEPTH - 2)),
            format!("[{}]", nested(json::MAX_DEPTH - 1)),
        ];
        for text in texts {
            assert_eq!(from_text(text.as_bytes()), from_tree(text.as_bytes()), "{text}");
        }
    }

    proptest! {
        #[test]
        fn any_text_is_read_as_the_strict_reader_reads_it(
            parts in prop::collection::vec(
                prop::sample::select(vec![
                    "{", "}", "[", "]", ",", ":", "\"id\":", "\"result\":", "\"error\":", "\"a\":",
                    "\"jsonrpc\":", "1", "null", "\"0x\"", "{}", "{\"id\":1}", " ",
                ]),
                0..14,
            ),
        ) {
            let text = parts.concat();
            prop_assert_eq!(from_text(text.as_bytes()), from_tree(text.as_bytes()));
        }
    }
}
