//! What an answer to a request with a payment means for the payment.
//!
//! "Unknown" is the word for everything that leaves open whether money moved; only then is the
//! same payment sent again.

use faregate_protocol::header::{self, PAYMENT_REQUIRED, PAYMENT_RESPONSE, X_PAYMENT_RESPONSE};
use faregate_protocol::receipt::SettleMeaning;
use faregate_protocol::{Reason, SettleResponse, json};
use serde_json::Value;

use crate::exchange::Answer;

const MAX_REASON_CHARS: usize = 200;
const MAX_TRANSACTION_CHARS: usize = 128;
/// Larger bodies are not looked into for a reason.
const MAX_REASON_BODY_BYTES: usize = 64 * 1024;

/// What became of a payment, as far as an answer tells.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// The answer is what was bought, or the seller shows that the payment was used.
    Done,
    /// The seller refuses; the authorization is not known to be dead.
    Refused,
    /// The seller says the authorization moved no money and never will.
    NotCharged,
    /// Nobody can tell yet.
    Unknown,
}

/// An answer to a payment, read.
pub(crate) struct Reading {
    pub(crate) verdict: Verdict,
    /// The receipt says that the money moved.
    pub(crate) paid: bool,
    /// Of the receipt.
    pub(crate) transaction: Option<String>,
    /// The seller's reason, when it gives one: printable, bounded.
    pub(crate) reason: Option<String>,
}

/// Reads an answer.
pub(crate) fn read(answer: &Answer) -> Reading {
    let receipt = [PAYMENT_RESPONSE, X_PAYMENT_RESPONSE].iter().find_map(|name| {
        let value = answer.headers.get(*name)?;
        receipt(value.as_bytes())
    });
    let receipt = receipt.as_ref();
    let meaning = receipt.map(SettleResponse::meaning);
    let reason = reason(answer, receipt);
    let known = reason.as_deref().and_then(Reason::from_code);
    let transaction = receipt
        .and_then(|receipt| plain(&receipt.transaction, MAX_TRANSACTION_CHARS))
        .filter(|text| !text.is_empty());
    Reading {
        verdict: verdict(answer.status.as_u16(), meaning, known),
        paid: meaning == Some(SettleMeaning::Paid),
        transaction,
        reason,
    }
}

fn receipt(header: &[u8]) -> Option<SettleResponse> {
    let Ok(Value::Object(mut members)) = header::decode_value(header) else { return None };
    // Sellers of version 1 write null where there is nothing to say.
    members.retain(|_, value| !value.is_null());
    serde_json::from_value(Value::Object(members)).ok()
}

fn verdict(status: u16, receipt: Option<SettleMeaning>, reason: Option<Reason>) -> Verdict {
    match (status, receipt) {
        (200..=299, _) => Verdict::Done,
        // Whatever the status, an open settlement is asked about again.
        (_, Some(SettleMeaning::Unknown)) => Verdict::Unknown,
        // Paid, and yet an error: redeeming it is up to the seller, not to another payment.
        (500.., _) => Verdict::Unknown,
        (_, Some(SettleMeaning::Paid)) => Verdict::Done,
        (402, _) if reason == Some(Reason::PaymentNotCharged) => Verdict::NotCharged,
        (402, _) if reason.is_some_and(Reason::leaves_settlement_unknown) => Verdict::Unknown,
        (408 | 425 | 429, _) => Verdict::Unknown,
        (409, _) => match reason {
            Some(Reason::PaymentAlreadyUsed) => Verdict::Done,
            Some(Reason::PaymentAlreadyClaimed | Reason::HandlerInterrupted) => Verdict::Refused,
            _ => Verdict::Unknown,
        },
        _ => Verdict::Refused,
    }
}

/// The most telling reason first: the receipt, the challenge, the body.
fn reason(answer: &Answer, receipt: Option<&SettleResponse>) -> Option<String> {
    if answer.status.is_success() {
        return None;
    }
    if let Some(reason) = receipt.and_then(|receipt| receipt.error_reason.as_deref()) {
        return plain(reason, MAX_REASON_CHARS);
    }
    let challenge = answer.headers.get(PAYMENT_REQUIRED);
    let challenge = challenge.and_then(|value| header::decode_value(value.as_bytes()).ok());
    let body = (answer.body.len() <= MAX_REASON_BODY_BYTES)
        .then(|| json::parse(&answer.body).ok())
        .flatten();
    let member = |value: &Option<Value>, key: &str| {
        let text = value.as_ref()?.get(key)?.as_str()?;
        plain(text, MAX_REASON_CHARS)
    };
    member(&challenge, "error").or_else(|| member(&body, "code")).or_else(|| member(&body, "error"))
}

/// A seller's text, if it is short and printable: it ends up on a terminal.
fn plain(text: &str, max: usize) -> Option<String> {
    let printable = text.chars().all(|c| c.is_ascii_graphic() || c == ' ');
    (text.len() <= max && printable).then(|| text.to_owned())
}

#[cfg(test)]
mod tests;
