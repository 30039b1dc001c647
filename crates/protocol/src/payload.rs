//! What the buyer sends back in `PAYMENT-SIGNATURE`.

use std::fmt;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::canonical;

/// A signed payment. It is a bearer instrument until it is final, so `Debug` shows no content.
///
/// Members are emitted in the order of the official client.
#[derive(Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PaymentPayload {
    /// Always 2.
    pub x402_version: u32,
    /// What was signed, scheme specific; see [`crate::eip3009`].
    pub payload: Map<String, Value>,
    /// Echo of the seller's extensions with the buyer's additions.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub extensions: Option<Map<String, Value>>,
    /// Copy of the challenge's resource.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resource: Option<Value>,
    /// Copy of the chosen requirements, raw, because it is matched member by member. It selects
    /// one of the seller's options and never supplies a field.
    pub accepted: Map<String, Value>,
}

impl PaymentPayload {
    /// As its `Deserialize`, but the members are moved out of their object and not copied into
    /// new ones. `None` for another shape.
    #[must_use]
    pub fn from_members(mut members: Map<String, Value>) -> Option<Self> {
        let mut take = |key: &str| members.remove(key);
        let object = |value| match value {
            Some(Value::Object(members)) => Some(members),
            _ => None,
        };
        let extensions = take("extensions").filter(|value| !value.is_null());
        Some(Self {
            x402_version: take("x402Version")?.as_u64()?.try_into().ok()?,
            payload: object(take("payload"))?,
            extensions: match extensions {
                None => None,
                given => Some(object(given)?),
            },
            resource: take("resource").filter(|value| !value.is_null()),
            accepted: object(take("accepted"))?,
        })
    }

    /// sha256 of the RFC 8785 form of the signed part: two presentations with this hash in common
    /// carry the same authorization **and** the same signature.
    ///
    /// # Errors
    /// Never for values that were read from JSON.
    pub fn signed_hash(&self) -> Result<[u8; 32], serde_json::Error> {
        canonical::hash(&self.payload)
    }

    /// A text member of `accepted`.
    #[must_use]
    pub fn accepted_text(&self, key: &str) -> Option<&str> {
        self.accepted.get(key)?.as_str()
    }
}

impl fmt::Debug for PaymentPayload {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PaymentPayload")
            .field("x402_version", &self.x402_version)
            .field("scheme", &self.accepted_text("scheme"))
            .field("network", &self.accepted_text("network"))
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn members_are_read_as_deserialize_reads_them() {
        let whole = json!({
            "x402Version": 2,
            "payload": {"signature": "0x"},
            "extensions": {"a": 1},
            "resource": {"url": "https://a.example/"},
            "accepted": {"scheme": "exact"},
            "other": 1,
        });
        let odd = [json!(null), json!(1), json!(-1), json!(2.0), json!("2"), json!([]), json!({})];
        let mut cases = vec![whole.clone()];
        for (key, _) in whole.as_object().unwrap() {
            let mut without = whole.clone();
            without.as_object_mut().unwrap().remove(key);
            cases.push(without);
            for value in &odd {
                let mut changed = whole.clone();
                changed[key] = value.clone();
                cases.push(changed);
            }
        }
        for case in cases {
            let want = serde_json::from_value::<PaymentPayload>(case.clone()).ok();
            let found = PaymentPayload::from_members(case.as_object().unwrap().clone());
            assert!(found == want, "{case}");
        }
    }
}
