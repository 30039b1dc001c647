//! The answer of `/supported`.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// What a facilitator can verify and settle.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct SupportedResponse {
    /// Version, scheme and network, one entry each.
    pub kinds: Vec<SupportedKind>,
    /// Extension keys the facilitator understands.
    #[serde(default)]
    pub extensions: Vec<String>,
    /// CAIP family pattern such as `eip155:*` to signer addresses.
    #[serde(default)]
    pub signers: BTreeMap<String, Vec<String>>,
}

/// One supported combination.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SupportedKind {
    /// 1 or 2.
    pub x402_version: u32,
    /// `exact`, ...
    pub scheme: String,
    /// CAIP-2 id in version 2, a name in version 1.
    pub network: String,
    /// Members the seller copies into `requirements.extra`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub extra: Option<Map<String, Value>>,
}
