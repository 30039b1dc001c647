//! The payment key names the on-chain single-use token, so one movement of money has one key.
//!
//! It never depends on the signature, on wire bytes, on letter case or on the protocol version.

use std::fmt;
use std::str::FromStr;

use alloy_primitives::{Address, B256, U256};
use sha2::{Digest, Sha256};

use crate::challenge::PaymentRequirements;
use crate::eip3009::{Authorization, Eip3009Payload};
use crate::{PaymentPayload, Reason, address};

const EIP3009_TAG: &[u8] = b"eip3009";

/// 32 bytes; printed as hex without prefix.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PaymentKey(pub [u8; 32]);

impl PaymentKey {
    /// sha256 of the tag, then chain id and nonce as 32-byte integers and the addresses as 20
    /// bytes, in the order chain id, token, from, nonce.
    #[must_use]
    pub fn eip3009(chain_id: u64, token: Address, from: Address, nonce: B256) -> Self {
        let mut hash = Sha256::new();
        hash.update(EIP3009_TAG);
        hash.update(U256::from(chain_id).to_be_bytes::<32>());
        hash.update(token);
        hash.update(from);
        hash.update(nonce);
        Self(hash.finalize().into())
    }

    /// The key of a payment under the seller's requirements, with what was read on the way.
    ///
    /// # Errors
    /// [`Reason`] when the payload is not one that has a key here.
    pub fn of(
        payload: &PaymentPayload,
        requirements: &PaymentRequirements,
    ) -> Result<(Self, Eip3009Payload), Reason> {
        let chain_id = requirements.network.evm_chain_id().ok_or(Reason::InvalidNetwork)?;
        let token =
            address::parse_address(&requirements.asset).map_err(|_| Reason::AssetNotAllowed)?;
        let read = Eip3009Payload::read(&payload.payload)?;
        let Authorization { from, nonce, .. } = read.authorization;
        Ok((Self::eip3009(chain_id, token, from, nonce), read))
    }

    /// The first 8 hex digits: enough to follow a payment in a log.
    #[must_use]
    pub fn short(&self) -> String {
        let mut text = self.to_string();
        text.truncate(8);
        text
    }
}

impl fmt::Display for PaymentKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&alloy_primitives::hex::encode(self.0))
    }
}

impl fmt::Debug for PaymentKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PaymentKey({self})")
    }
}

/// The text is not 64 hex digits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a payment key is 64 hex digits")]
pub struct PaymentKeyError;

impl FromStr for PaymentKey {
    type Err = PaymentKeyError;

    fn from_str(text: &str) -> Result<Self, PaymentKeyError> {
        let digits = text.strip_prefix("0x").unwrap_or(text);
        // The decoder would take a second prefix.
        if !digits.bytes().all(|b| b.is_ascii_hexdigit()) {
            return Err(PaymentKeyError);
        }
        let bytes = alloy_primitives::hex::decode(digits).map_err(|_| PaymentKeyError)?;
        bytes.try_into().map(Self).map_err(|_| PaymentKeyError)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloy_primitives::{address, b256};

    const TOKEN: Address = address!("0x036CbD53842c5426634e7929541eC2318f3dCF7e");
    const FROM: Address = address!("0xf39Fd6e51aad88F6F4ce6aB8827279cffFb92266");
    const NONCE: B256 = b256!("0x1111111111111111111111111111111111111111111111111111111111111111");

    #[test]
    fn golden_values() {
        for (chain_id, token, from, nonce, want) in [
            (
                84532,
                TOKEN,
                FROM,
                NONCE,
                "61fdcb4579684804686b87a115579c36ecc42141d0858f8a8c92b7a14f38583f",
            ),
            (
                8453,
                TOKEN,
                FROM,
                NONCE,
                "5a0585403ec40fdb44b98e9bc0b417622cba44e9340cee2acd6d6c77e4fd093d",
            ),
            (
                84532,
                TOKEN,
                FROM,
                B256::ZERO,
                "2cf496e84c2049662544150b12990995da8d2b54fbd580532ef1c5c37d9795ad",
            ),
        ] {
            assert_eq!(PaymentKey::eip3009(chain_id, token, from, nonce).to_string(), want);
        }
    }

    #[test]
    fn it_is_the_hash_of_the_fields_in_order() {
        let mut bytes = b"eip3009".to_vec();
        bytes.extend(U256::from(84532_u64).to_be_bytes::<32>());
        bytes.extend(TOKEN.as_slice());
        bytes.extend(FROM.as_slice());
        bytes.extend(NONCE.as_slice());
        let want: [u8; 32] = Sha256::digest(&bytes).into();
        assert_eq!(PaymentKey::eip3009(84532, TOKEN, FROM, NONCE), PaymentKey(want));
    }

    #[test]
    fn every_field_matters() {
        let keys = [
            PaymentKey::eip3009(84532, TOKEN, FROM, NONCE),
            PaymentKey::eip3009(84533, TOKEN, FROM, NONCE),
            PaymentKey::eip3009(84532, FROM, FROM, NONCE),
            PaymentKey::eip3009(84532, TOKEN, TOKEN, NONCE),
            PaymentKey::eip3009(84532, TOKEN, FROM, B256::ZERO),
        ];
        let distinct: std::collections::HashSet<_> = keys.iter().collect();
        assert_eq!(distinct.len(), keys.len());
    }

    #[test]
    fn text_round_trips() {
        let key = PaymentKey::eip3009(1, TOKEN, FROM, NONCE);
        assert_eq!(key.to_string().parse(), Ok(key));
        assert_eq!("12".parse::<PaymentKey>(), Err(PaymentKeyError));
        assert_eq!(format!("0x0x{key}").parse::<PaymentKey>(), Err(PaymentKeyError));
    }
}
