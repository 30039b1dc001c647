//! EVM addresses as people write them: exact length, and the EIP-55 checksum when it is present.

use alloy_primitives::Address;

const HEX_DIGITS: usize = 40;

/// Why a text is not an EVM address.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AddressError {
    /// It does not begin with `0x`.
    #[error("an address begins with 0x")]
    NoPrefix,
    /// Wrong number of hex digits.
    #[error("an address has 40 hex digits after 0x, this one has {found} of 40")]
    Length {
        /// Digits found.
        found: usize,
    },
    /// A character that is not a hex digit.
    #[error("an address is written with hex digits only")]
    NotHex,
    /// Mixed case that does not match the EIP-55 checksum: usually a typing error.
    #[error("the capital letters do not match the EIP-55 checksum: expected {expected}")]
    Checksum {
        /// The right spelling, if every digit is right.
        expected: String,
    },
}

/// Reads an address in any letter case: the rule for the wire, where the value is compared as
/// 20 bytes.
///
/// # Errors
/// [`AddressError`] except `Checksum`.
pub fn parse_address(text: &str) -> Result<Address, AddressError> {
    let digits = text.strip_prefix("0x").ok_or(AddressError::NoPrefix)?;
    if !digits.bytes().all(|b| b.is_ascii_hexdigit()) {
        return Err(AddressError::NotHex);
    }
    if digits.len() != HEX_DIGITS {
        return Err(AddressError::Length { found: digits.len() });
    }
    text.parse().map_err(|_| AddressError::NotHex)
}

/// Reads an address and holds mixed case against EIP-55: the rule for configuration and for
/// command lines, where a typing error sends money away for ever.
///
/// # Errors
/// [`AddressError`].
pub fn parse_checked_address(text: &str) -> Result<Address, AddressError> {
    let address = parse_address(text)?;
    let expected = address.to_checksum(None);
    let digits = text.get(2..).unwrap_or_default();
    let mixed = digits.bytes().any(|b| b.is_ascii_lowercase())
        && digits.bytes().any(|b| b.is_ascii_uppercase());
    if mixed && text != expected {
        return Err(AddressError::Checksum { expected });
    }
    Ok(address)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_guides_39_digit_address_is_refused_with_the_count() {
        let error = parse_checked_address("0x742d35Cc6634C0532925a3b844Bc9e7595f0bEb").unwrap_err();
        assert_eq!(error, AddressError::Length { found: 39 });
        assert!(error.to_string().contains("39 of 40"));
    }

    #[test]
    fn mixed_case_must_match_the_checksum() {
        let right = "0x036CbD53842c5426634e7929541eC2318f3dCF7e";
        let wrong = "0x036cBD53842c5426634e7929541eC2318f3dCF7e";
        assert!(parse_checked_address(right).is_ok());
        assert!(parse_checked_address(&right.to_lowercase()).is_ok());
        assert!(matches!(parse_checked_address(wrong), Err(AddressError::Checksum { .. })));
        assert!(parse_address(wrong).is_ok());
    }

    #[test]
    fn other_texts_are_refused() {
        for text in ["", "0x", "036CbD53842c5426634e7929541eC2318f3dCF7e", "0xzz", "0X036C"] {
            assert!(parse_address(text).is_err(), "{text:?}");
        }
    }
}
