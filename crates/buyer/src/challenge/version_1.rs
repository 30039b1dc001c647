//! The options of a version 1 challenge, in the form in which options are chosen.

use std::collections::HashSet;

use faregate_protocol::v1;
use serde_json::{Map, Value};

/// The options in version 2. A payment of version 1 names only scheme and network, and a seller
/// takes it for the first option of both: what comes after it cannot be paid.
pub(super) fn translate(options: Vec<Map<String, Value>>) -> Vec<Map<String, Value>> {
    let mut seen = HashSet::new();
    let names = |option: &Map<String, Value>| {
        let text = |key: &str| option.get(key).and_then(Value::as_str).map(str::to_owned);
        (text("scheme"), text("network"))
    };
    options.into_iter().filter(|option| seen.insert(names(option))).map(to_v2).collect()
}

/// A member that says nothing in version 1 becomes null, which no check takes for a value: a
/// version 1 option that names its network or its price in the manner of version 2 is not paid.
fn to_v2(mut option: Map<String, Value>) -> Map<String, Value> {
    let network = option.get("network").and_then(Value::as_str).and_then(v1::network);
    let network = network.map_or(Value::Null, |network| Value::String(network.to_string()));
    let amount = option.remove("maxAmountRequired").unwrap_or(Value::Null);
    option.insert("network".to_owned(), network);
    option.insert("amount".to_owned(), amount);
    option
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn translated(options: Value) -> Value {
        let Value::Array(options) = options else { panic!("a list") };
        let options = options.into_iter().map(|o| o.as_object().unwrap().clone()).collect();
        json!(translate(options))
    }

    #[test]
    fn names_and_price_are_translated_and_only_version_1_speaks() {
        let options = json!([
            {"scheme": "exact", "network": "base-sepolia", "maxAmountRequired": "7", "asset": "0x1"},
            {"scheme": "exact", "network": "eip155:84532", "amount": "7"},
            {"scheme": "exact", "network": "narnia", "maxAmountRequired": 7, "amount": "8"},
        ]);
        let want = json!([
            {"scheme": "exact", "network": "eip155:84532", "asset": "0x1", "amount": "7"},
            {"scheme": "exact", "network": null, "amount": null},
            {"scheme": "exact", "network": null, "amount": 7},
        ]);
        assert_eq!(translated(options), want);
    }

    #[test]
    fn the_first_option_of_a_scheme_and_network_is_the_only_one() {
        let options = json!([
            {"scheme": "exact", "network": "base", "maxAmountRequired": "1"},
            {"scheme": "exact", "network": "base", "maxAmountRequired": "2"},
            {"scheme": "upto", "network": "base", "maxAmountRequired": "3"},
            {"scheme": "exact", "network": "base-sepolia", "maxAmountRequired": "4"},
        ]);
        let amounts: Vec<_> =
            translated(options).as_array().unwrap().iter().map(|o| o["amount"].clone()).collect();
        assert_eq!(amounts, ["1", "3", "4"]);
    }
}
