//! Prices as people write them, in decimal text, turned into atomic units without a float.

use alloy_primitives::U256;

use crate::Amount;

/// Longest price text that is read.
const MAX_TEXT: usize = 100;

/// A price in whole tokens and, if named, the ticker of the asset.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Price {
    digits: String,
    fraction: String,
    /// Upper-case ticker such as `USDT`; `None` and `USD` mean the network's default asset.
    pub ticker: Option<String>,
}

/// Why a text is not a price.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PriceError {
    /// Outside the grammar.
    #[error("a price is written like $0.01, 0.01 or \"1.50 USDT\"")]
    Grammar,
    /// The asset has fewer decimals than the price.
    #[error("the price has more decimals than the asset's {decimals}")]
    TooPrecise {
        /// Decimals of the asset.
        decimals: u8,
    },
    /// A price of nothing would give the resource away.
    #[error("a price must be more than zero")]
    Zero,
    /// Beyond 2^256 - 1 atomic units.
    #[error("the price is too large")]
    TooLarge,
}

impl std::str::FromStr for Price {
    type Err = PriceError;

    /// Grammar: optional `$`, optional spaces, digits with optional fraction, then optionally
    /// white space and a ticker (a letter, then letters, digits or dots).
    fn from_str(text: &str) -> Result<Self, PriceError> {
        if text.len() > MAX_TEXT {
            return Err(PriceError::Grammar);
        }
        let text = text.trim();
        let text = text.strip_prefix('$').unwrap_or(text).trim_start();
        let (number, ticker) = match text.split_once(char::is_whitespace) {
            Some((number, ticker)) => (number, Some(ticker.trim())),
            None => (text, None),
        };
        let (digits, fraction) = match number.split_once('.') {
            Some((digits, fraction)) if !fraction.is_empty() => (digits, fraction),
            Some(_) => return Err(PriceError::Grammar),
            None => (number, ""),
        };
        let decimal = |part: &str| part.bytes().all(|b| b.is_ascii_digit());
        if digits.is_empty() || !decimal(digits) || !decimal(fraction) {
            return Err(PriceError::Grammar);
        }
        if ticker.is_some_and(|ticker| !is_ticker(ticker)) {
            return Err(PriceError::Grammar);
        }
        Ok(Self {
            digits: digits.to_owned(),
            fraction: fraction.trim_end_matches('0').to_owned(),
            ticker: ticker.map(str::to_ascii_uppercase),
        })
    }
}

fn is_ticker(text: &str) -> bool {
    text.bytes().next().is_some_and(|b| b.is_ascii_alphabetic())
        && text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'.')
}

impl Price {
    /// The price in atomic units of an asset with `decimals`.
    ///
    /// The official server cuts digits that the asset cannot hold, which can turn a price into
    /// nothing; here that is an error.
    ///
    /// # Errors
    /// [`PriceError`].
    pub fn in_units(&self, decimals: u8) -> Result<Amount, PriceError> {
        let width = usize::from(decimals);
        if self.fraction.len() > width {
            return Err(PriceError::TooPrecise { decimals });
        }
        let digits = format!("{}{:0<width$}", self.digits, self.fraction);
        let units = U256::from_str_radix(&digits, 10).map_err(|_| PriceError::TooLarge)?;
        if units.is_zero() { Err(PriceError::Zero) } else { Ok(Amount(units)) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn prices_are_read_as_the_official_server_reads_them() {
        for (text, units, ticker) in [
            ("$0.01", 10_000, None),
            ("0.01", 10_000, None),
            ("$ 1", 1_000_000, None),
            ("1.50 USD", 1_500_000, Some("USD")),
            ("1.50 usdt", 1_500_000, Some("USDT")),
            ("0.000001", 1, None),
            ("0.0100000", 10_000, None),
        ] {
            let price: Price = text.parse().unwrap();
            assert_eq!(price.in_units(6), Ok(Amount::from(units)), "{text}");
            assert_eq!(price.ticker.as_deref(), ticker, "{text}");
        }
    }

    #[test]
    fn everything_else_is_refused() {
        for text in [
            "", "-1", "1e-3", ".5", "1.", "1.50USDT", "1,5", "$$1", "1 2", "1 U-S", "free", "NaN",
            "∞",
        ] {
            assert_eq!(text.parse::<Price>(), Err(PriceError::Grammar), "{text:?}");
        }
        let units = |text: &str| text.parse::<Price>().unwrap().in_units(6);
        assert_eq!(units("0.0000001"), Err(PriceError::TooPrecise { decimals: 6 }));
        assert_eq!(units("0"), Err(PriceError::Zero));
        assert_eq!(units(&"9".repeat(78)), Err(PriceError::TooLarge));
    }

    proptest! {
        #[test]
        fn any_text_is_read_without_panic(text in ".*") {
            if let Ok(price) = text.parse::<Price>() {
                let _ = price.in_units(18);
            }
        }

        #[test]
        fn a_price_prints_back_to_what_was_asked(units in 1_u64..u64::MAX, decimals in 0_u8..19) {
            let text = Amount::from(units).in_tokens(decimals);
            prop_assert_eq!(text.parse::<Price>().unwrap().in_units(decimals), Ok(Amount::from(units)));
        }
    }
}
