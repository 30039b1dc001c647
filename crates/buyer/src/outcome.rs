//! What a run came to, for people and as JSON.

use base64::Engine as _;
use bytes::Bytes;
use faregate_protocol::{Amount, Network};
use reqwest::header::HeaderMap;
use serde::{Serialize, Serializer};

use crate::exchange::Answer;
use crate::journal::Record;
use crate::verdict::Reading;

/// What a run came to.
#[derive(Clone, Debug, Serialize)]
pub struct Outcome {
    /// HTTP status of the last answer.
    pub status: u16,
    /// Headers of the last answer; values that are not text are left out.
    pub headers: Vec<(String, String)>,
    /// Body of the last answer. In JSON a string, or `{"base64": ...}` if it is not UTF-8.
    #[serde(serialize_with = "text_or_base64")]
    pub body: Bytes,
    /// The seller's receipt says that the money moved.
    pub paid: bool,
    /// The seller's reason, when it refused.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// The payment, if one was sent.
    #[serde(flatten)]
    pub payment: Option<PaymentReport>,
    /// How often the payment was sent in this run.
    pub attempts: u32,
    /// The payment was signed by an earlier run.
    pub resumed: bool,
    /// From the first byte sent to the last received, in milliseconds.
    pub elapsed_ms: u64,
}

/// A payment that was sent.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct PaymentReport {
    /// For people, such as `0.01 USDC`.
    pub price: String,
    /// In atomic units of the asset.
    pub amount: Amount,
    /// CAIP-2 id.
    pub network: Network,
    /// Token contract.
    pub asset: String,
    /// Who is paid.
    pub pay_to: String,
    /// Who pays.
    pub payer: String,
    /// The settlement's transaction, if the seller named one.
    pub transaction: Option<String>,
    /// End of the authorization's life, in unix seconds.
    pub valid_before: u64,
}

impl PaymentReport {
    pub(crate) fn of(record: &Record, transaction: Option<String>) -> Self {
        Self {
            price: record.price(),
            amount: record.amount,
            network: record.network.clone(),
            asset: record.asset.clone(),
            pay_to: record.pay_to.clone(),
            payer: record.payer.clone(),
            transaction,
            valid_before: record.valid_before,
        }
    }
}

impl Outcome {
    /// An answer without a payment.
    pub(crate) fn unpaid(answer: Answer) -> Self {
        Self {
            status: answer.status.as_u16(),
            headers: text_headers(&answer.headers),
            body: answer.body,
            paid: false,
            reason: None,
            payment: None,
            attempts: 0,
            resumed: false,
            elapsed_ms: 0,
        }
    }

    /// An answer to a payment.
    pub(crate) fn of_payment(answer: Answer, reading: Reading, record: &Record) -> Self {
        Self {
            paid: reading.paid,
            reason: reading.reason,
            payment: Some(PaymentReport::of(record, reading.transaction)),
            ..Self::unpaid(answer)
        }
    }
}

fn text_headers(headers: &HeaderMap) -> Vec<(String, String)> {
    headers
        .iter()
        .filter_map(|(name, value)| Some((name.to_string(), value.to_str().ok()?.to_owned())))
        .collect()
}

fn text_or_base64<S: Serializer>(body: &Bytes, serializer: S) -> Result<S::Ok, S::Error> {
    match std::str::from_utf8(body) {
        Ok(text) => serializer.serialize_str(text),
        Err(_) => {
            let text = base64::engine::general_purpose::STANDARD.encode(body);
            serializer.collect_map([("base64", text)])
        }
    }
}
