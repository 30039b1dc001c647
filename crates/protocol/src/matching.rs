//! Which of the seller's own options a payment accepted. The buyer's copy selects; it never
//! supplies a field.

use serde_json::{Map, Value};

use crate::{PaymentPayload, PaymentRequirements};

/// The option that `accepted` repeats, by the rules of the official server:
/// 1. every member except `extra` must equal (exact text, no case folding);
/// 2. the seller's `extra` must be contained in the buyer's, recursively; the buyer may add
///    members; arrays must be equal.
#[must_use]
pub fn select<'a>(
    payload: &PaymentPayload,
    options: &'a [PaymentRequirements],
) -> Option<&'a PaymentRequirements> {
    options.iter().find(|option| repeats(&payload.accepted, option))
}

fn repeats(accepted: &Map<String, Value>, option: &PaymentRequirements) -> bool {
    let Ok(Value::Object(own)) = serde_json::to_value(option) else { return false };
    // A member the seller never offered is refused too, unless it says nothing.
    let no_more = accepted
        .iter()
        .all(|(key, value)| key == "extra" || own.contains_key(key) || value.is_null());
    let same_members = own
        .iter()
        .filter(|(key, _)| *key != "extra")
        .all(|(key, mine)| accepted.get(key).is_some_and(|theirs| equal(mine, theirs)));
    let empty = Value::Object(Map::new());
    let theirs = accepted.get("extra").filter(|extra| !extra.is_null()).unwrap_or(&empty);
    no_more && same_members && own.get("extra").is_none_or(|mine| contains(theirs, mine))
}

fn contains(outer: &Value, inner: &Value) -> bool {
    match (outer, inner) {
        (Value::Object(outer), Value::Object(inner)) => inner
            .iter()
            .all(|(key, value)| outer.get(key).is_some_and(|theirs| contains(theirs, value))),
        (outer, inner) => equal(outer, inner),
    }
}

/// Deep equality in which `60` and `60.0` are one number, as they are to a JavaScript client.
fn equal(a: &Value, b: &Value) -> bool {
    match (a, b) {
        (Value::Number(a), Value::Number(b)) => a == b || a.as_f64() == b.as_f64(),
        (Value::Array(a), Value::Array(b)) => {
            a.len() == b.len() && a.iter().zip(b).all(|(a, b)| equal(a, b))
        }
        (Value::Object(a), Value::Object(b)) => {
            a.len() == b.len()
                && a.iter().all(|(key, value)| b.get(key).is_some_and(|other| equal(value, other)))
        }
        (a, b) => a == b,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::json;

    fn option() -> PaymentRequirements {
        serde_json::from_value(json!({
            "scheme": "exact", "network": "eip155:84532", "amount": "10000",
            "asset": "0x036CbD53842c5426634e7929541eC2318f3dCF7e",
            "payTo": "0x209693Bc6afc0C5328bA36FaF03C514EF312287C",
            "maxTimeoutSeconds": 60, "extra": {"name": "USDC", "version": "2"},
        }))
        .unwrap()
    }

    fn accepting(accepted: Value) -> PaymentPayload {
        PaymentPayload {
            x402_version: 2,
            payload: Map::new(),
            extensions: None,
            resource: None,
            accepted: accepted.as_object().unwrap().clone(),
        }
    }

    fn accepted() -> Value {
        serde_json::to_value(option()).unwrap()
    }

    #[test]
    fn a_verbatim_copy_matches_and_may_add_to_extra() {
        let options = [option()];
        assert!(select(&accepting(accepted()), &options).is_some());
        let mut more = accepted();
        more["extra"]["note"] = json!("x");
        more["maxTimeoutSeconds"] = json!(60.0);
        assert!(select(&accepting(more), &options).is_some());
    }

    #[test]
    fn any_change_to_any_member_is_no_match() {
        let options = [option()];
        for member in ["scheme", "network", "amount", "asset", "payTo", "maxTimeoutSeconds"] {
            for bad in [json!(null), json!(""), json!("x"), json!(1), json!([]), json!("9999")] {
                let mut changed = accepted();
                changed[member] = bad.clone();
                assert!(select(&accepting(changed), &options).is_none(), "{member} {bad}");
            }
            let mut missing = accepted();
            missing.as_object_mut().unwrap().remove(member);
            assert!(select(&accepting(missing), &options).is_none(), "{member} missing");
        }
        for (pointer, bad) in [("name", json!("USD Coin")), ("version", json!(2))] {
            let mut changed = accepted();
            changed["extra"][pointer] = bad;
            assert!(select(&accepting(changed), &options).is_none(), "extra.{pointer}");
        }
        let mut lower = accepted();
        lower["asset"] = json!("0x036cbd53842c5426634e7929541ec2318f3dcf7e");
        assert!(select(&accepting(lower), &options).is_none(), "letter case of the asset");
        let mut unknown = accepted();
        unknown["discount"] = json!(1);
        assert!(select(&accepting(unknown), &options).is_none(), "a member never offered");
    }

    #[test]
    fn the_second_option_can_be_chosen() {
        let mut dear = option();
        dear.amount = 20_000.into();
        let options = [option(), dear.clone()];
        let payload = accepting(serde_json::to_value(&dear).unwrap());
        assert_eq!(select(&payload, &options), Some(&dear));
    }

    proptest! {
        #[test]
        fn what_is_selected_is_always_an_own_option(amount: u64, chosen: u64) {
            let mut own = option();
            own.amount = amount.into();
            let mut copy = accepted();
            copy["amount"] = json!(chosen.to_string());
            let options = [own];
            let hit = select(&accepting(copy), &options);
            prop_assert_eq!(hit.is_some(), amount == chosen);
        }
    }
}
