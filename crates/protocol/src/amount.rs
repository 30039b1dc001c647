//! Money: an unsigned 256-bit integer in an asset's atomic units. Never a float.

use std::fmt;
use std::str::FromStr;

use alloy_primitives::U256;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// Longest decimal text of a uint256 (2^256 - 1 has 78 digits).
pub const MAX_AMOUNT_DIGITS: usize = 78;

/// An amount of an asset, in atomic units (10^-decimals of one token).
///
/// On the wire it is a decimal string of the grammar `0|[1-9][0-9]{0,77}`, at most 2^256 - 1.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Amount(pub U256);

/// Why a text is not an amount.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AmountError {
    /// The text is empty.
    #[error("an amount is empty")]
    Empty,
    /// A character other than an ASCII digit.
    #[error("an amount is written with decimal digits only")]
    NotDecimal,
    /// A leading zero.
    #[error("an amount has no leading zeros")]
    LeadingZero,
    /// More than 2^256 - 1.
    #[error("an amount is at most 2^256 - 1")]
    TooLarge,
}

impl Amount {
    /// Nothing.
    pub const ZERO: Self = Self(U256::ZERO);

    /// The sum, or `None` beyond 2^256 - 1.
    #[must_use]
    pub fn checked_add(self, other: Self) -> Option<Self> {
        self.0.checked_add(other.0).map(Self)
    }

    /// The difference, or `None` below zero.
    #[must_use]
    pub fn checked_sub(self, other: Self) -> Option<Self> {
        self.0.checked_sub(other.0).map(Self)
    }

    /// 32 bytes, big endian: the form in which the ledger stores it.
    #[must_use]
    pub fn to_be_bytes(self) -> [u8; 32] {
        self.0.to_be_bytes()
    }

    /// The inverse of [`Amount::to_be_bytes`].
    #[must_use]
    pub fn from_be_bytes(bytes: [u8; 32]) -> Self {
        Self(U256::from_be_bytes(bytes))
    }

    /// The amount in whole tokens for people: `10000` with 6 decimals is `0.01`.
    #[must_use]
    pub fn in_tokens(self, decimals: u8) -> String {
        let digits = self.0.to_string();
        let width = usize::from(decimals);
        let padded = format!("{digits:0>w$}", w = width.saturating_add(1));
        let split = padded.len().saturating_sub(width);
        let (whole, fraction) = padded.split_at(split);
        let fraction = fraction.trim_end_matches('0');
        if fraction.is_empty() { whole.to_owned() } else { format!("{whole}.{fraction}") }
    }
}

impl From<u64> for Amount {
    fn from(units: u64) -> Self {
        Self(U256::from(units))
    }
}

impl fmt::Display for Amount {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}

impl FromStr for Amount {
    type Err = AmountError;

    fn from_str(text: &str) -> Result<Self, AmountError> {
        parse_uint256(text).map(Self)
    }
}

/// Reads the decimal grammar `0|[1-9][0-9]{0,77}`.
///
/// # Errors
/// [`AmountError`] says which rule was broken.
pub fn parse_uint256(text: &str) -> Result<U256, AmountError> {
    let bytes = text.as_bytes();
    match bytes {
        [] => Err(AmountError::Empty),
        _ if !bytes.iter().all(u8::is_ascii_digit) => Err(AmountError::NotDecimal),
        [b'0', _, ..] => Err(AmountError::LeadingZero),
        _ if bytes.len() > MAX_AMOUNT_DIGITS => Err(AmountError::TooLarge),
        _ => U256::from_str_radix(text, 10).map_err(|_| AmountError::TooLarge),
    }
}

impl Serialize for Amount {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Amount {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn only_the_decimal_grammar_is_an_amount() {
        for (text, want) in [
            ("", AmountError::Empty),
            ("-1", AmountError::NotDecimal),
            ("+1", AmountError::NotDecimal),
            ("1e6", AmountError::NotDecimal),
            ("1.0", AmountError::NotDecimal),
            (" 1", AmountError::NotDecimal),
            ("0x10", AmountError::NotDecimal),
            ("١٢", AmountError::NotDecimal),
            ("00", AmountError::LeadingZero),
            ("01", AmountError::LeadingZero),
        ] {
            assert_eq!(text.parse::<Amount>(), Err(want), "{text:?}");
        }
        let max = U256::MAX.to_string();
        assert_eq!(max.parse::<Amount>(), Ok(Amount(U256::MAX)));
        let above = format!("{}6", &max[..max.len() - 1]);
        assert_eq!(above.parse::<Amount>(), Err(AmountError::TooLarge));
        assert_eq!("9".repeat(79).parse::<Amount>(), Err(AmountError::TooLarge));
    }

    #[test]
    fn people_read_whole_tokens() {
        for (units, decimals, want) in [
            (10_000, 6, "0.01"),
            (1, 6, "0.000001"),
            (0, 6, "0"),
            (1_500_000, 6, "1.5"),
            (7, 0, "7"),
        ] {
            assert_eq!(Amount::from(units).in_tokens(decimals), want);
        }
    }

    proptest! {
        #[test]
        fn text_and_bytes_round_trip(bytes: [u8; 32]) {
            let amount = Amount::from_be_bytes(bytes);
            prop_assert_eq!(amount.to_string().parse::<Amount>(), Ok(amount));
            prop_assert_eq!(amount.to_be_bytes(), bytes);
        }

        #[test]
        fn any_text_is_read_without_panic(text in ".*") {
            if let Ok(amount) = text.parse::<Amount>() {
                prop_assert_eq!(amount.to_string(), text);
            }
        }
    }
}
