//! Texts that people and configurations write: prices, amounts, addresses, networks, payment keys.
#![no_main]

use faregate_protocol::price::Price;
use faregate_protocol::{Amount, Network, PaymentKey, address};
use libfuzzer_sys::fuzz_target;

const DECIMALS: u8 = 18;

fuzz_target!(|text: &str| {
    if let Ok(price) = text.parse::<Price>()
        && let Ok(units) = price.in_units(DECIMALS)
    {
        let again = units.in_tokens(DECIMALS).parse::<Price>();
        assert_eq!(again.and_then(|price| price.in_units(DECIMALS)), Ok(units));
    }
    if let Ok(amount) = text.parse::<Amount>() {
        assert_eq!(amount.to_string(), text);
        assert_eq!(Amount::from_be_bytes(amount.to_be_bytes()), amount);
    }
    if let Ok(account) = address::parse_address(text) {
        assert_eq!(address::parse_checked_address(&account.to_checksum(None)), Ok(account));
    }
    if let Ok(network) = text.parse::<Network>() {
        assert_eq!(network.as_str(), text);
        assert_eq!(network.namespace().len() + 1 + network.reference().len(), text.len());
    }
    if let Ok(key) = text.parse::<PaymentKey>() {
        assert_eq!(key.to_string().parse(), Ok(key));
    }
});
