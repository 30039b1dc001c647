//! CAIP-2 network identifiers such as `eip155:84532`.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize};

const MAX_NAMESPACE: usize = 8;
const MIN_NAMESPACE: usize = 3;
/// CAIP-2 allows 32; a little more is tolerated so that a longer id is "unsupported" rather than
/// malformed.
const MAX_REFERENCE: usize = 64;

/// Solana main net, by the first 32 characters of its genesis hash (x402 v2).
pub const SOLANA_MAINNET: &str = "solana:5eykt4UsFv8P8NJdTREpY1vzqKqZKvdp";

/// A network by its CAIP-2 id, `namespace:reference`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(transparent)]
pub struct Network(String);

/// The text is not a CAIP-2 id.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a CAIP-2 network id (such as eip155:84532)")]
pub struct NetworkError;

impl Network {
    /// The EVM chain with this id.
    #[must_use]
    pub fn eip155(chain_id: u64) -> Self {
        Self(format!("eip155:{chain_id}"))
    }

    /// The part before the colon, such as `eip155`.
    #[must_use]
    pub fn namespace(&self) -> &str {
        self.0.split_once(':').map_or("", |(namespace, _)| namespace)
    }

    /// The part after the colon, such as `84532`.
    #[must_use]
    pub fn reference(&self) -> &str {
        self.0.split_once(':').map_or("", |(_, reference)| reference)
    }

    /// The EVM chain id, if this is an EVM chain with a canonical decimal reference.
    #[must_use]
    pub fn evm_chain_id(&self) -> Option<u64> {
        if self.namespace() != "eip155" {
            return None;
        }
        let id: u64 = self.reference().parse().ok()?;
        (id.to_string() == self.reference()).then_some(id)
    }

    /// The id as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for Network {
    type Err = NetworkError;

    fn from_str(text: &str) -> Result<Self, NetworkError> {
        let (namespace, reference) = text.split_once(':').ok_or(NetworkError)?;
        let namespace_ok = (MIN_NAMESPACE..=MAX_NAMESPACE).contains(&namespace.len())
            && namespace.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-');
        let reference_ok = (1..=MAX_REFERENCE).contains(&reference.len())
            && reference.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_');
        if namespace_ok && reference_ok { Ok(Self(text.to_owned())) } else { Err(NetworkError) }
    }
}

impl<'de> Deserialize<'de> for Network {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn caip2_is_read_and_its_parts_are_named() {
        let base: Network = "eip155:84532".parse().unwrap();
        assert_eq!(base.namespace(), "eip155");
        assert_eq!(base.evm_chain_id(), Some(84532));
        assert_eq!(Network::eip155(84532), base);
        assert_eq!(SOLANA_MAINNET.parse::<Network>().unwrap().evm_chain_id(), None);
        assert_eq!("eip155:084532".parse::<Network>().unwrap().evm_chain_id(), None);
    }

    #[test]
    fn other_spellings_are_not_networks() {
        for text in
            ["", "base-sepolia", "eip155:", ":1", "EIP155:1", "eip155:1:2", "eip155:1 ", "еip155:1"]
        {
            assert!(text.parse::<Network>().is_err(), "{text:?}");
        }
    }
}
