//! What of a facilitator's settlement answer may be shown to a buyer.

use faregate_protocol::{Network, Reason, SettleResponse};
use serde_json::{Map, Value};

use crate::answers::is_code;
use crate::limits;

/// A facilitator's answer as it goes out: its free text is left out (it may hold the words of an
/// endpoint), codes are held to their form, sizes are bounded.
pub(crate) fn shown(answer: SettleResponse, network: &Network) -> SettleResponse {
    let reason = match answer.error_reason.as_deref() {
        _ if answer.success => None,
        Some(code) if is_code(code) => Some(code.to_owned()),
        _ => Some(Reason::UnexpectedSettleError.code().to_owned()),
    };
    let message = reason.as_deref().and_then(Reason::from_code).map(Reason::help);
    SettleResponse {
        success: answer.success,
        error_message: message.map(ToOwned::to_owned),
        error_reason: reason,
        payer: answer.payer.filter(|payer| is_name(payer)),
        transaction: transaction(&answer.transaction),
        network: network.to_string(),
        amount: answer.amount,
        extensions: answer.extensions.filter(is_small),
        extra: answer.extra.filter(is_small),
    }
}

/// Settlement is not proven; `transaction` is empty when none is known.
pub(crate) fn pending(network: &Network, transaction: &str, payer: &str) -> SettleResponse {
    let transaction = Some(transaction.to_owned()).filter(|hash| !hash.is_empty());
    let payer = Some(payer.to_owned());
    SettleResponse::failed(Reason::SettlementPending, network, transaction, payer)
}

/// The name of a transaction, or nothing if the text cannot be one.
pub(crate) fn transaction(text: &str) -> String {
    if is_name(text) { text.to_owned() } else { String::new() }
}

fn is_name(text: &str) -> bool {
    text.len() <= limits::MAX_TRANSACTION_BYTES && text.bytes().all(|b| b.is_ascii_graphic())
}

fn is_small(members: &Map<String, Value>) -> bool {
    serde_json::to_vec(members).is_ok_and(|text| text.len() <= limits::MAX_RECEIPT_EXTRA_BYTES)
}
