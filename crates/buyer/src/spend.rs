//! The highest price that a buyer pays for one request.

use std::fmt;
use std::str::FromStr;

use alloy_primitives::U256;
use faregate_protocol::Amount;
use faregate_protocol::price::{Price, PriceError};

/// A limit, as a price or in atomic units.
///
/// A text of digits only is atomic units; anything with a `$`, a point or a ticker is a price. So
/// a forgotten `$` makes the limit smaller, never larger.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum MaxPrice {
    /// Atomic units of whichever asset is asked for.
    Units(Amount),
    /// A price, with the text it was written as. With a ticker it holds for that asset only, and
    /// no other asset is paid.
    Price(Price, String),
}

/// Why a text is not a limit.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a limit is a price such as $0.10 or \"1.50 USDT\", or digits for atomic units: {0}")]
pub struct MaxPriceError(#[from] PriceError);

impl FromStr for MaxPrice {
    type Err = MaxPriceError;

    fn from_str(text: &str) -> Result<Self, MaxPriceError> {
        let text = text.trim();
        if let Ok(units) = text.parse() {
            return Ok(Self::Units(units));
        }
        Ok(Self::Price(text.parse()?, text.to_owned()))
    }
}

impl MaxPrice {
    /// The limit in atomic units of an asset; `None` when it does not cover that asset (another
    /// ticker, or a limit that the asset's decimals cannot express).
    #[must_use]
    pub fn in_units(&self, symbol: &str, decimals: u8) -> Option<Amount> {
        match self {
            Self::Units(units) => Some(*units),
            Self::Price(price, _) => {
                let covered = price
                    .ticker
                    .as_deref()
                    .is_none_or(|ticker| ticker == "USD" || ticker.eq_ignore_ascii_case(symbol));
                match price.in_units(decimals) {
                    _ if !covered => None,
                    Ok(units) => Some(units),
                    // "$0" is a good limit: pay nothing.
                    Err(PriceError::Zero) => Some(Amount(U256::ZERO)),
                    Err(_) => None,
                }
            }
        }
    }
}

impl fmt::Display for MaxPrice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Units(units) => write!(f, "{units} atomic units"),
            Self::Price(_, text) => f.write_str(text),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_limit_is_a_price_or_atomic_units() {
        for (text, symbol, decimals, want) in [
            ("$0.10", "USDC", 6, Some(100_000)),
            ("0.10", "USDC", 6, Some(100_000)),
            ("$1", "USDC", 6, Some(1_000_000)),
            ("10000", "USDC", 6, Some(10_000)),
            ("1", "USDC", 6, Some(1)),
            ("0", "USDC", 6, Some(0)),
            ("$0", "USDC", 6, Some(0)),
            ("1.50 usdt", "USDT", 6, Some(1_500_000)),
            ("1.50 USDT", "USDC", 6, None),
            ("1.50 USD", "USDC", 6, Some(1_500_000)),
            ("$0.0000001", "USDC", 6, None),
        ] {
            let limit: MaxPrice = text.parse().unwrap();
            assert_eq!(limit.in_units(symbol, decimals), want.map(Amount::from), "{text}");
        }
    }

    #[test]
    fn other_texts_are_refused() {
        for text in ["", "-1", "$-1", "all", "1e3", "$", "∞"] {
            assert!(text.parse::<MaxPrice>().is_err(), "{text:?}");
        }
    }
}
