//! The 402: what a seller asks for. Shapes of the v2 `PaymentRequired`.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Number, Value};

use crate::{Amount, Network, canonical};

/// The challenge, carried base64-encoded in the `PAYMENT-REQUIRED` header of a 402.
///
/// Members are emitted in the order of the official packages, so that a golden header is
/// reproduced byte for byte.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PaymentRequired {
    /// Always 2.
    pub x402_version: u32,
    /// Why: `Payment required` at first, a reason code after a refused payment.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
    /// What the money buys.
    pub resource: ResourceInfo,
    /// The ways to pay; at least one.
    pub accepts: Vec<PaymentRequirements>,
    /// Extensions, by key; omitted when empty.
    #[serde(default, skip_serializing_if = "is_empty")]
    pub extensions: Option<Map<String, Value>>,
}

/// What the money buys.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ResourceInfo {
    /// Absolute URL of the resource, from the configured origin.
    pub url: String,
    /// For people; empty when unset, as the official server sends it.
    #[serde(default, deserialize_with = "null_as_default")]
    pub description: String,
    /// Media type of the answer; empty when unset.
    #[serde(default, deserialize_with = "null_as_default")]
    pub mime_type: String,
    /// Name of the service, 1 to 32 printable ASCII characters.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub service_name: Option<String>,
    /// At most 5 tags of 1 to 32 printable ASCII characters.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tags: Option<Vec<String>>,
    /// At most 2048 characters.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub icon_url: Option<String>,
}

/// One way to pay.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PaymentRequirements {
    /// `exact`, ...
    pub scheme: String,
    /// CAIP-2 id.
    pub network: Network,
    /// Price in atomic units.
    pub amount: Amount,
    /// Token contract (EVM) or mint (Solana), as the seller spells it.
    pub asset: String,
    /// Who is paid, as the seller spells it.
    pub pay_to: String,
    /// How long an authorization may live, in seconds; any positive JSON number.
    pub max_timeout_seconds: Number,
    /// Scheme specific: for `exact` by EIP-3009 the token's EIP-712 `name` and `version`.
    #[serde(default, skip_serializing_if = "is_empty")]
    pub extra: Option<Map<String, Value>>,
}

impl PaymentRequirements {
    /// sha256 of the RFC 8785 form: what the ledger ties a payment to.
    ///
    /// # Errors
    /// Never for values that were read from JSON.
    pub fn hash(&self) -> Result<[u8; 32], serde_json::Error> {
        canonical::hash(self)
    }

    /// A text member of `extra`, if it is there and not empty.
    #[must_use]
    pub fn extra_text(&self, key: &str) -> Option<&str> {
        self.extra.as_ref()?.get(key)?.as_str().filter(|text| !text.is_empty())
    }

    /// The life an authorization is asked to have, in whole seconds rounded down.
    #[must_use]
    pub fn timeout_secs(&self) -> u64 {
        match (self.max_timeout_seconds.as_u64(), self.max_timeout_seconds.as_f64()) {
            (Some(whole), _) => whole,
            // A float-to-integer cast in Rust saturates, and NaN is not JSON.
            (None, Some(fraction)) => fraction as u64,
            (None, None) => 0,
        }
    }
}

#[allow(clippy::ref_option)] // the signature serde's skip_serializing_if asks for
fn is_empty(members: &Option<Map<String, Value>>) -> bool {
    members.as_ref().is_none_or(Map::is_empty)
}

fn null_as_default<'de, D>(deserializer: D) -> Result<String, D::Error>
where
    D: serde::Deserializer<'de>,
{
    Ok(Option::deserialize(deserializer)?.unwrap_or_default())
}
