//! The answer of `/verify`.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::Reason;

/// Whether a payment would settle now. Advice, never a grant.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct VerifyResponse {
    /// The verdict.
    pub is_valid: bool,
    /// A reason code when invalid; see [`crate::reason`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub invalid_reason: Option<String>,
    /// Free text for people; never the words of an RPC endpoint.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub invalid_message: Option<String>,
    /// Who pays, when it could be read.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub payer: Option<String>,
    /// Extensions, by key.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub extensions: Option<Map<String, Value>>,
    /// Scheme specific.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub extra: Option<Map<String, Value>>,
}

impl VerifyResponse {
    /// The payment of `payer` would settle now.
    #[must_use]
    pub fn valid(payer: impl Into<String>) -> Self {
        Self {
            is_valid: true,
            invalid_reason: None,
            invalid_message: None,
            payer: Some(payer.into()),
            extensions: None,
            extra: None,
        }
    }

    /// The payment is refused for `reason`.
    #[must_use]
    pub fn invalid(reason: Reason, payer: Option<String>) -> Self {
        Self {
            is_valid: false,
            invalid_reason: Some(reason.code().to_owned()),
            invalid_message: Some(reason.help().to_owned()),
            payer,
            extensions: None,
            extra: None,
        }
    }
}
