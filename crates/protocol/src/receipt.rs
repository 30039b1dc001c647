//! The answer of `/settle`, which is also the `PAYMENT-RESPONSE` header.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::{Amount, Network, Reason};

/// The outcome of a settlement: paid, refused, or pending (`settlement_pending` with a
/// transaction, which is neither).
///
/// Members are emitted in the order of the official facilitator.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SettleResponse {
    /// The money has moved, with evidence.
    pub success: bool,
    /// A reason code when it has not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error_reason: Option<String>,
    /// Free text for people; never the words of an RPC endpoint.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error_message: Option<String>,
    /// Who paid.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub payer: Option<String>,
    /// The transaction; empty when there is none.
    #[serde(default)]
    pub transaction: String,
    /// CAIP-2 id (for v1 buyers the v1 name).
    pub network: String,
    /// What was settled, where a scheme lets it differ from the price.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub amount: Option<Amount>,
    /// Extensions, by key.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub extensions: Option<Map<String, Value>>,
    /// Scheme specific.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub extra: Option<Map<String, Value>>,
}

/// What a settlement answer means for the seller.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SettleMeaning {
    /// The money moved.
    Paid,
    /// It cannot be told yet; ask again with the same settle id. Never a refusal.
    Unknown,
    /// Refused; nothing was and nothing will be charged by this facilitator for this call.
    Refused,
}

impl SettleResponse {
    /// Paid by `transaction`.
    #[must_use]
    pub fn paid(network: &Network, transaction: String, payer: String) -> Self {
        Self {
            success: true,
            error_reason: None,
            error_message: None,
            transaction,
            network: network.to_string(),
            payer: Some(payer),
            amount: None,
            extensions: None,
            extra: None,
        }
    }

    /// Not paid: refused or, with [`Reason::SettlementPending`], unknown.
    #[must_use]
    pub fn failed(
        reason: Reason,
        network: &Network,
        transaction: Option<String>,
        payer: Option<String>,
    ) -> Self {
        Self {
            success: false,
            error_reason: Some(reason.code().to_owned()),
            error_message: Some(reason.help().to_owned()),
            transaction: transaction.unwrap_or_default(),
            network: network.to_string(),
            payer,
            amount: None,
            extensions: None,
            extra: None,
        }
    }

    /// How a seller must take this answer.
    ///
    /// `nonce_already_used` and `duplicate_settlement` are unknown, not refusals: somebody may
    /// have settled this very payment.
    #[must_use]
    pub fn meaning(&self) -> SettleMeaning {
        if self.success {
            return SettleMeaning::Paid;
        }
        match self.error_reason.as_deref().and_then(Reason::from_code) {
            Some(Reason::PaymentNotCharged) => SettleMeaning::Refused,
            Some(reason) if reason.leaves_settlement_unknown() => SettleMeaning::Unknown,
            // Something was sent: a reverted transaction is no proof that the authorization is
            // dead, somebody may have used it first.
            _ if !self.transaction.is_empty() => SettleMeaning::Unknown,
            _ => SettleMeaning::Refused,
        }
    }
}
