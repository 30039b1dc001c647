//! How calls to the facilitator are counted, in process and remote alike. The words are those that
//! the facilitator's own door counts with, so that both sides of a connection can be compared.

use faregate_protocol::receipt::SettleMeaning;
use faregate_protocol::{FacilitatorError, SettleResponse, VerifyResponse};

/// The facilitator answered nothing that could be used, or nothing in time.
const ERROR: &str = "error";

/// How a verification ended; `None`: it took too long or broke down.
pub(crate) fn verified(answer: Option<&Result<VerifyResponse, FacilitatorError>>) -> &'static str {
    match answer {
        Some(Ok(verdict)) if verdict.is_valid => "valid",
        Some(Ok(_)) => "invalid",
        Some(Err(error)) => failed(error),
        None => ERROR,
    }
}

/// How a settlement ended; `None`: it took too long or broke down.
pub(crate) fn settled(answer: Option<&Result<SettleResponse, FacilitatorError>>) -> &'static str {
    match answer {
        Some(Ok(outcome)) => match outcome.meaning() {
            SettleMeaning::Paid => "paid",
            SettleMeaning::Refused => "refused",
            SettleMeaning::Unknown => "pending",
        },
        Some(Err(error)) => failed(error),
        None => ERROR,
    }
}

const fn failed(error: &FacilitatorError) -> &'static str {
    match error {
        FacilitatorError::Unavailable(_) => "unavailable",
        _ => ERROR,
    }
}
