//! What a facilitator tells of a settlement by its payment key, for those who lost the answer of
//! settle. It moves nothing, and it is no grant: only the answer to settle is.

use serde::{Deserialize, Serialize};

use crate::facilitator::BoxFuture;
use crate::{Amount, FacilitatorError, Network, PaymentKey};

/// What became of the money, as far as it is proven.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SettlementOutcome {
    /// Not proven either way. Never to be read as a failure.
    Pending,
    /// It moved to the payee.
    Paid,
    /// It never will: proven at a final block.
    NotCharged,
}

/// The state of one settlement.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SettlementStatus {
    /// 64 hex digits.
    pub payment_key: String,
    /// What became of the money.
    pub outcome: SettlementOutcome,
    /// Nothing can change it any more.
    #[serde(rename = "final")]
    pub is_final: bool,
    /// Name of the facilitator's state, for people.
    pub state: String,
    /// CAIP-2 id.
    pub network: Network,
    /// Transactions that were sent for it, oldest first.
    pub transactions: Vec<String>,
    /// The proof, if it is paid.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub proof: Option<SettlementProof>,
    /// Who paid whom how much: told to known callers only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub payment: Option<SettledPayment>,
}

/// The log that proves a settlement.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SettlementProof {
    /// Transaction that holds it; not necessarily one of the facilitator's.
    pub transaction: String,
    /// Block number.
    pub block_number: u64,
    /// Block hash.
    pub block_hash: String,
    /// Index of the log in the block.
    pub log_index: u64,
}

/// What a settlement moves.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SettledPayment {
    /// Who pays.
    pub payer: String,
    /// Who is paid.
    pub pay_to: String,
    /// What is paid with.
    pub asset: String,
    /// How much, in atomic units.
    pub amount: Amount,
}

/// Looks settlements up.
pub trait SettlementLookup: Send + Sync {
    /// The settlement of a payment; `None` if there never was one here.
    fn settlement<'a>(
        &'a self,
        key: &'a PaymentKey,
    ) -> BoxFuture<'a, Result<Option<SettlementStatus>, FacilitatorError>>;
}
