//! A private key in this process. It never leaves: `Debug` shows the address, memory is wiped.

use std::fmt;

use alloy_primitives::{Address, B256};
use secp256k1::{Message, PublicKey, SecretKey};
use zeroize::Zeroizing;

use crate::signature::{CURVE, SIGNATURE_BYTES, address_of};

const KEY_BYTES: usize = 32;
const FIRST_V: u8 = 27;

/// Why a text is not a private key. Carries nothing of the text.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum WalletError {
    /// Wrong number of hex digits.
    #[error("a private key has 64 hex digits, this one has {found}")]
    Length {
        /// Characters found after `0x`.
        found: usize,
    },
    /// A character that is not a hex digit.
    #[error("a private key is written with hex digits only")]
    NotHex,
    /// Zero, or not below the order of the group.
    #[error("the number is no private key of secp256k1")]
    OutOfRange,
}

/// A key that signs.
pub struct Wallet {
    key: Zeroizing<[u8; KEY_BYTES]>,
    address: Address,
}

impl Wallet {
    /// Reads a private key, 64 hex digits with or without `0x`.
    ///
    /// # Errors
    /// [`WalletError`].
    pub fn from_hex(text: &str) -> Result<Self, WalletError> {
        let digits = text.strip_prefix("0x").unwrap_or(text);
        if digits.len() != KEY_BYTES * 2 {
            return Err(WalletError::Length { found: digits.chars().count() });
        }
        let mut key = Zeroizing::new([0; KEY_BYTES]);
        // The decoder would take a second 0x, which is why the digits are checked before.
        if !digits.bytes().all(|b| b.is_ascii_hexdigit()) {
            return Err(WalletError::NotHex);
        }
        alloy_primitives::hex::decode_to_slice(digits, key.as_mut_slice())
            .map_err(|_| WalletError::NotHex)?;
        Self::from_bytes(key)
    }

    fn from_bytes(key: Zeroizing<[u8; KEY_BYTES]>) -> Result<Self, WalletError> {
        let mut secret = SecretKey::from_byte_array(&key).map_err(|_| WalletError::OutOfRange)?;
        let address = address_of(&PublicKey::from_secret_key(&CURVE, &secret));
        secret.non_secure_erase();
        Ok(Self { key, address })
    }

    /// The account of this key.
    #[must_use]
    pub fn address(&self) -> Address {
        self.address
    }

    /// Signs a 32-byte digest: r, s, v in 65 bytes, v 27 or 28, low s, nonce by RFC 6979, so the
    /// same digest always gives the same bytes.
    #[must_use]
    pub fn sign_digest(&self, digest: B256) -> [u8; SIGNATURE_BYTES] {
        let mut secret =
            SecretKey::from_byte_array(&self.key).expect("checked when the wallet was made");
        let signature = CURVE.sign_ecdsa_recoverable(&Message::from_digest(digest.0), &secret);
        secret.non_secure_erase();
        let (id, compact) = signature.serialize_compact();
        let mut bytes = [0; SIGNATURE_BYTES];
        let (rs, v) = bytes.split_at_mut(64);
        rs.copy_from_slice(&compact);
        // An id of 2 or 3 needs an r above the order: nobody has ever seen one.
        v.fill(FIRST_V + u8::try_from(i32::from(id)).expect("a recovery id is 0 to 3"));
        bytes
    }
}

impl fmt::Debug for Wallet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Wallet").field("address", &self.address).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloy_primitives::address;

    const KEY: &str = "ac0974bec39a17e36ba4a6b4d238ff944bacb478cbed5efcae784d7bf4f2ff80";

    #[test]
    fn a_key_is_read_with_and_without_prefix() {
        let want = address!("0xf39Fd6e51aad88F6F4ce6aB8827279cffFb92266");
        assert_eq!(Wallet::from_hex(KEY).unwrap().address(), want);
        assert_eq!(Wallet::from_hex(&format!("0x{KEY}")).unwrap().address(), want);
        assert_eq!(Wallet::from_hex(&KEY.to_uppercase()).unwrap().address(), want);
    }

    #[test]
    fn other_texts_are_no_keys_and_are_not_repeated() {
        let order = "fffffffffffffffffffffffffffffffebaaedce6af48a03bbfd25e8cd0364141";
        for (text, want) in [
            ("", WalletError::Length { found: 0 }),
            (&KEY[1..], WalletError::Length { found: 63 }),
            (&format!("0x0x{}", &KEY[2..]), WalletError::NotHex),
            (&"zz".repeat(32), WalletError::NotHex),
            (&"é".repeat(32), WalletError::NotHex),
            (&"00".repeat(32), WalletError::OutOfRange),
            (order, WalletError::OutOfRange),
        ] {
            let error = Wallet::from_hex(text).unwrap_err();
            assert_eq!(error, want);
            assert!(text.is_empty() || !error.to_string().contains(text));
        }
    }

    #[test]
    fn debug_shows_the_address_only() {
        let shown = format!("{:?}", Wallet::from_hex(KEY).unwrap());
        assert!(!shown.contains("ac0974"), "{shown}");
        assert!(shown.to_lowercase().contains("f39fd6e5"), "{shown}");
    }

    #[test]
    fn signing_is_deterministic_and_low_s() {
        let wallet = Wallet::from_hex(KEY).unwrap();
        for byte in 0..=255 {
            let digest = B256::repeat_byte(byte);
            let signature = wallet.sign_digest(digest);
            assert_eq!(signature, wallet.sign_digest(digest));
            assert_eq!(crate::signature::recover(digest, &signature), Some(wallet.address()));
        }
    }
}
