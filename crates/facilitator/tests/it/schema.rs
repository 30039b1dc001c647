//! A validator for the part of JSON Schema that the API's description uses. A keyword it does not
//! know is a failure, so that the description cannot promise what is not checked.

use serde_json::{Map, Value};

/// Words that promise nothing.
const ANNOTATIONS: &[&str] = &["description"];

/// Whether members that a schema does not list are allowed.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Unlisted {
    /// Requests: tolerated.
    Allowed,
    /// Answers: everything that is sent is described.
    Refused,
}

/// What is wrong with `value` under `schema`, first thing first.
pub(crate) fn check(
    document: &Value,
    schema: &Value,
    value: &Value,
    unlisted: Unlisted,
) -> Result<(), String> {
    Checker { document, unlisted }.check(schema, value, "")
}

struct Checker<'a> {
    document: &'a Value,
    unlisted: Unlisted,
}

impl Checker<'_> {
    fn check(&self, schema: &Value, value: &Value, at: &str) -> Result<(), String> {
        let schema = schema.as_object().ok_or(format!("{at}: the schema is no object"))?;
        for (word, rule) in schema {
            let holds = match word.as_str() {
                "$ref" => {
                    let name = rule.as_str().unwrap().trim_start_matches('#');
                    let target = self.document.pointer(name).ok_or(format!("no {name}"))?;
                    self.check(target, value, at)?;
                    true
                }
                "type" => types(rule).iter().any(|name| is(name, value)),
                "enum" => rule.as_array().unwrap().contains(value),
                "const" => rule == value,
                "minLength" => self.applies(value.as_str(), |text| {
                    text.chars().count() as u64 >= rule.as_u64().unwrap()
                }),
                "exclusiveMinimum" => {
                    self.applies(value.as_f64(), |number| number > rule.as_f64().unwrap())
                }
                "required" => self.applies(value.as_object(), |members| {
                    rule.as_array()
                        .unwrap()
                        .iter()
                        .all(|key| members.contains_key(key.as_str().unwrap()))
                }),
                "anyOf" => {
                    rule.as_array().unwrap().iter().any(|one| self.check(one, value, at).is_ok())
                }
                "items" => {
                    for (i, item) in value.as_array().into_iter().flatten().enumerate() {
                        self.check(rule, item, &format!("{at}/{i}"))?;
                    }
                    true
                }
                "properties" => {
                    self.members(schema, value, at)?;
                    true
                }
                // Looked at with "properties", or alone.
                "additionalProperties" => {
                    if !schema.contains_key("properties") {
                        self.members(schema, value, at)?;
                    }
                    true
                }
                word if ANNOTATIONS.contains(&word) => true,
                word => return Err(format!("{at}: the keyword {word} is not checked")),
            };
            if !holds {
                return Err(format!("{at}: {value} breaks {word}: {rule}"));
            }
        }
        Ok(())
    }

    fn members(&self, schema: &Map<String, Value>, value: &Value, at: &str) -> Result<(), String> {
        let listed = schema.get("properties").and_then(Value::as_object);
        let others = schema.get("additionalProperties");
        for (key, member) in value.as_object().into_iter().flatten() {
            let at = format!("{at}/{key}");
            match (listed.and_then(|listed| listed.get(key)), others) {
                (Some(rule), _) => self.check(rule, member, &at)?,
                (None, Some(Value::Bool(true))) => {}
                (None, Some(rule)) => self.check(rule, member, &at)?,
                (None, None) if self.unlisted == Unlisted::Refused => {
                    return Err(format!("{at} is not described"));
                }
                (None, None) => {}
            }
        }
        Ok(())
    }

    /// A rule about one type says nothing about others.
    fn applies<T>(&self, value: Option<T>, holds: impl Fn(T) -> bool) -> bool {
        value.is_none_or(holds)
    }
}

fn types(rule: &Value) -> Vec<&str> {
    match rule {
        Value::Array(names) => names.iter().map(|name| name.as_str().unwrap()).collect(),
        name => vec![name.as_str().unwrap()],
    }
}

fn is(name: &str, value: &Value) -> bool {
    match name {
        "string" => value.is_string(),
        "number" => value.is_number(),
        "boolean" => value.is_boolean(),
        "object" => value.is_object(),
        "array" => value.is_array(),
        "null" => value.is_null(),
        name => panic!("a type named {name}"),
    }
}

#[test]
fn a_value_that_breaks_its_schema_is_found() {
    use serde_json::json;
    let document = json!({"defs": {"word": {"type": "string", "minLength": 2}}});
    let schema = json!({
        "type": "object", "description": "x", "required": ["a"],
        "properties": {
            "a": {"$ref": "#/defs/word"},
            "b": {"type": ["number", "null"], "exclusiveMinimum": 0},
            "c": {"type": "array", "items": {"enum": [1, "x"]}},
            "d": {"anyOf": [{"const": 1}, {"type": "boolean"}]},
            "e": {"type": "object", "additionalProperties": {"type": "string"}},
        },
    });
    let found = |value: Value, unlisted| check(&document, &schema, &value, unlisted);
    for good in [
        json!({"a": "xx"}),
        json!({"a": "xx", "b": null, "c": [1, "x"], "d": true, "e": {"f": "g"}}),
        json!({"a": "xx", "b": 0.5, "c": [], "d": 1, "e": {}}),
    ] {
        assert_eq!(found(good, Unlisted::Refused), Ok(()));
    }
    for bad in [
        json!(1),
        json!({}),
        json!({"a": "x"}),
        json!({"a": "xx", "b": 0}),
        json!({"a": "xx", "b": "1"}),
        json!({"a": "xx", "c": [2]}),
        json!({"a": "xx", "d": 2}),
        json!({"a": "xx", "e": {"f": 1}}),
    ] {
        assert!(found(bad.clone(), Unlisted::Allowed).is_err(), "{bad}");
    }
    let more = json!({"a": "xx", "z": 1});
    assert_eq!(found(more.clone(), Unlisted::Allowed), Ok(()));
    assert_eq!(found(more, Unlisted::Refused), Err("/z is not described".to_owned()));
    assert!(check(&document, &json!({"pattern": "x"}), &json!(""), Unlisted::Allowed).is_err());
}
