//! `exact`: the authorized value is the price, no more and no less, moved by EIP-3009.

use faregate_protocol::Amount;

/// The name on the wire.
pub(crate) const NAME: &str = "exact";

/// Whether `value` pays `price`.
pub(crate) fn pays(value: Amount, price: Amount) -> bool {
    value == price
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloy_primitives::U256;

    #[test]
    fn only_the_price_itself_pays_it() {
        let price = Amount::from(10_000);
        assert!(pays(price, price));
        for value in [U256::ZERO, U256::from(9_999), U256::from(10_001), U256::MAX] {
            assert!(!pays(Amount(value), price), "{value}");
        }
    }
}
