//! The body as official clients and our own gate write it: version 2, known members, each once.
//!
//! Reading members straight into place costs a third of building every object first and taking it
//! apart by name. Whatever is not quite so plain is left to the general reader, which also tells
//! what is wrong; this one never says more than that reader would.

use std::fmt;
use std::marker::PhantomData;

use faregate_protocol::json::Strict;
use faregate_protocol::{
    Amount, Network, PaymentPayload, PaymentRequest, PaymentRequirements, X402_VERSION,
};
use serde::de::value::MapAccessDeserializer;
use serde::de::{DeserializeSeed as _, Error as _, MapAccess, Visitor};
use serde::{Deserialize, Deserializer};
use serde_json::{Map, Number, Value};

/// Objects around a member of the payment or of the requirements.
const AROUND: usize = 2;

/// Reads a plain body; `None` for every other.
pub(super) fn read(body: &[u8]) -> Option<PaymentRequest> {
    let text = std::str::from_utf8(body).ok()?;
    let Keyed(Body {
        payment_payload: Keyed(payload), payment_requirements: Keyed(required), ..
    }) = serde_json::from_str(text).ok()?;
    let is_named = [required.scheme, required.asset, required.pay_to].iter().all(|t| !t.is_empty());
    let has_time = required.max_timeout_seconds.as_f64().is_some_and(|seconds| seconds > 0.0);
    if payload.x402_version != X402_VERSION || !is_named || !has_time {
        return None;
    }
    let payload = PaymentPayload {
        x402_version: payload.x402_version,
        payload: payload.payload.0,
        extensions: payload.extensions.map(|extensions| extensions.0),
        resource: payload.resource.map(|resource| resource.0),
        accepted: payload.accepted.0,
    };
    let requirements = PaymentRequirements {
        scheme: required.scheme.to_owned(),
        network: required.network,
        amount: required.amount,
        asset: required.asset.to_owned(),
        pay_to: required.pay_to.to_owned(),
        max_timeout_seconds: required.max_timeout_seconds,
        extra: required.extra.map(|extra| extra.0),
    };
    Some(PaymentRequest::new(payload, requirements))
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Body<'a> {
    /// The payment's own counts.
    #[serde(default, rename = "x402Version")]
    _version: u64,
    payment_payload: Keyed<Payload>,
    #[serde(borrow)]
    payment_requirements: Keyed<Requirements<'a>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Payload {
    x402_version: u32,
    payload: Object,
    #[serde(default)]
    extensions: Option<Object>,
    #[serde(default)]
    resource: Option<Any>,
    accepted: Object,
}

/// Text is borrowed, so one with an escape is not plain.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Requirements<'a> {
    scheme: &'a str,
    network: Network,
    amount: Amount,
    asset: &'a str,
    pay_to: &'a str,
    max_timeout_seconds: Number,
    #[serde(default)]
    extra: Option<Object>,
}

/// An object. The derived readers of its members would take an array for one too.
struct Keyed<T>(T);

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Keyed<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Members<T>(PhantomData<T>);

        impl<'de, T: Deserialize<'de>> Visitor<'de> for Members<T> {
            type Value = T;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, members: A) -> Result<T, A::Error> {
                T::deserialize(MapAccessDeserializer::new(members))
            }
        }

        deserializer.deserialize_map(Members(PhantomData)).map(Self)
    }
}

struct Any(Value);

impl<'de> Deserialize<'de> for Any {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Strict::inside(AROUND).deserialize(deserializer).map(Self)
    }
}

struct Object(Map<String, Value>);

impl<'de> Deserialize<'de> for Object {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        match Strict::inside(AROUND).deserialize(deserializer)? {
            Value::Object(members) => Ok(Self(members)),
            _ => Err(D::Error::custom("not an object")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Message, general};
    use super::*;
    use crate::version::Version;
    use proptest::prelude::*;
    use serde_json::json;

    fn whole() -> Value {
        json!({
            "x402Version": 2,
            "paymentPayload": {
                "x402Version": 2,
                "payload": {"signature": "0xcanary", "authorization": {"nonce": "0x01"}},
                "extensions": {"a": {"b": [1, null]}},
                "resource": {"url": "https://a.example/", "description": "", "mimeType": ""},
                "accepted": {"scheme": "exact", "extra": {"name": "USDC"}},
            },
            "paymentRequirements": {
                "scheme": "exact", "network": "eip155:84532", "amount": "10000",
                "asset": "0x036CbD53842c5426634e7929541eC2318f3dCF7e",
                "payTo": "0x209693Bc6afc0C5328bA36FaF03C514EF312287C",
                "maxTimeoutSeconds": 60, "extra": {"name": "USDC", "version": "2"},
            },
        })
    }

    /// Both readers see the same payment, or this one sees none.
    fn agrees(body: &[u8]) -> bool {
        let Some(request) = read(body) else { return true };
        let want = Message::Payment { version: Version::V2, request: Box::new(request) };
        general(body) == Ok(want)
    }

    #[test]
    fn a_plain_body_is_read_here() {
        let mut body = whole();
        assert!(read(body.to_string().as_bytes()).is_some());
        assert!(agrees(body.to_string().as_bytes()));
        for optional in ["extensions", "resource"] {
            body["paymentPayload"].as_object_mut().unwrap().remove(optional);
            assert!(read(body.to_string().as_bytes()).is_some(), "{optional}");
            assert!(agrees(body.to_string().as_bytes()), "{optional}");
        }
    }

    #[test]
    fn what_is_odd_is_left_to_the_general_reader_or_read_as_it_reads_it() {
        let kinds = [
            json!(null),
            json!(0),
            json!(-1),
            json!(2.5),
            json!(""),
            json!("2"),
            json!("\n"),
            json!([]),
            json!({}),
            json!({"a": {"a": 1}}),
        ];
        for part in ["", "paymentPayload", "paymentRequirements"] {
            let members = whole();
            let members = if part.is_empty() { &members } else { &members[part] };
            let names = members.as_object().unwrap().keys().map(String::as_str);
            for name in names.chain(["other", "maxAmountRequired"]) {
                for kind in &kinds {
                    let mut body = whole();
                    let place = if part.is_empty() { &mut body } else { &mut body[part] };
                    place[name] = kind.clone();
                    assert!(agrees(body.to_string().as_bytes()), "{body}");
                }
                let mut body = whole();
                let place = if part.is_empty() { &mut body } else { &mut body[part] };
                place.as_object_mut().unwrap().remove(name);
                assert!(agrees(body.to_string().as_bytes()), "{body}");
            }
        }
    }

    #[test]
    fn an_array_is_no_object() {
        let body = whole();
        let values = |part: &Value| {
            Value::Array(part.as_object().unwrap().values().cloned().collect::<Vec<_>>())
        };
        assert!(read(values(&body).to_string().as_bytes()).is_none());
        for part in ["paymentPayload", "paymentRequirements"] {
            let mut changed = body.clone();
            changed[part] = values(&body[part]);
            assert!(read(changed.to_string().as_bytes()).is_none(), "{part}");
            assert!(general(changed.to_string().as_bytes()).is_err(), "{part}");
        }
    }

    #[test]
    fn a_repeated_member_is_not_plain() {
        let text = whole().to_string();
        for member in ["\"amount\":", "\"payTo\":", "\"accepted\":", "\"paymentPayload\":"] {
            let place = text.find(member).unwrap();
            let twice = format!("{}{member}1,{}", &text[..place], &text[place..]);
            assert!(read(twice.as_bytes()).is_none(), "{member}");
        }
        let inside = text.replace("\"nonce\":", "\"nonce\":\"0x02\",\"nonce\":");
        assert!(read(inside.as_bytes()).is_none());
    }

    #[test]
    fn depth_is_bounded_as_by_the_general_reader() {
        for deep in 25..40 {
            let nested = format!("{}1{}", "[".repeat(deep), "]".repeat(deep));
            let text = whole().to_string().replace("[1,null]", &nested);
            assert!(agrees(text.as_bytes()), "{deep}");
            assert_eq!(read(text.as_bytes()).is_some(), general(text.as_bytes()).is_ok(), "{deep}");
        }
    }

    proptest! {
        #[test]
        fn changed_bytes_are_read_by_both_alike(
            changes in prop::collection::vec(
                (any::<prop::sample::Index>(), "[\\x00-\\x7f]|2|0|,|:|\"|\\\\|\\{|\\}|null"),
                1..4,
            ),
        ) {
            let mut text = whole().to_string();
            for (place, change) in changes {
                let at = place.index(text.len());
                text.replace_range(at..=at, &change);
            }
            prop_assert!(agrees(text.as_bytes()), "{text}");
        }
    }
}
