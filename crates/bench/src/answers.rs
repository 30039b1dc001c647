//! What an answer means to whoever counts.

use faregate_protocol::SettleResponse;
use faregate_protocol::receipt::SettleMeaning;
use serde::Deserialize;

use crate::requests::Work;

/// What an answer means.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Meaning {
    /// What was asked for.
    Accepted,
    /// No outcome yet: the same request again.
    AskAgain,
    /// Something else, and why.
    Failed(String),
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Verdict {
    is_valid: bool,
    invalid_reason: Option<String>,
}

#[derive(Deserialize)]
struct Refusal {
    error: Option<String>,
}

const OK: u16 = 200;
const PAYMENT_REQUIRED: u16 = 402;
const TOO_MANY: u16 = 429;
const UNAVAILABLE: u16 = 503;

/// What an answer to `work` means.
pub(crate) fn meaning(work: Work, status: u16, body: &[u8]) -> Meaning {
    match (work, status) {
        (Work::Challenge, PAYMENT_REQUIRED) | (Work::Free | Work::Paid, OK) => Meaning::Accepted,
        (Work::Verify, OK) => verdict(body),
        (Work::Settle, OK) => outcome(body),
        // A busy server and an open outcome are the same to a buyer: ask again.
        (Work::Settle | Work::Paid, TOO_MANY | UNAVAILABLE) => Meaning::AskAgain,
        (Work::Paid, _) if word(body).is_some_and(|word| word == "payment_in_progress") => {
            Meaning::AskAgain
        }
        _ => Meaning::Failed(match word(body) {
            Some(word) => format!("{status} {word}"),
            None => status.to_string(),
        }),
    }
}

fn verdict(body: &[u8]) -> Meaning {
    match serde_json::from_slice::<Verdict>(body) {
        Ok(Verdict { is_valid: true, .. }) => Meaning::Accepted,
        Ok(Verdict { invalid_reason, .. }) => {
            Meaning::Failed(invalid_reason.unwrap_or_else(|| "invalid".to_owned()))
        }
        Err(_) => Meaning::Failed("no verdict".to_owned()),
    }
}

fn outcome(body: &[u8]) -> Meaning {
    let Ok(outcome) = serde_json::from_slice::<SettleResponse>(body) else {
        return Meaning::Failed("no outcome".to_owned());
    };
    match outcome.meaning() {
        SettleMeaning::Paid => Meaning::Accepted,
        SettleMeaning::Unknown => Meaning::AskAgain,
        SettleMeaning::Refused => {
            Meaning::Failed(outcome.error_reason.unwrap_or_else(|| "refused".to_owned()))
        }
    }
}

/// The code that a refusal carries.
fn word(body: &[u8]) -> Option<String> {
    serde_json::from_slice::<Refusal>(body).ok()?.error
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_answer_has_one_meaning() {
        let failed = |why: &str| Meaning::Failed(why.to_owned());
        let in_progress = r#"{"error":"payment_in_progress"}"#;
        for (work, status, body, want) in [
            (Work::Verify, 200, r#"{"isValid":true,"payer":"0x"}"#, Meaning::Accepted),
            (Work::Verify, 200, r#"{"isValid":false,"invalidReason":"x"}"#, failed("x")),
            (Work::Verify, 503, r#"{"error":"queue_full"}"#, failed("503 queue_full")),
            (
                Work::Settle,
                200,
                r#"{"success":true,"transaction":"0x1","network":"eip155:1"}"#,
                Meaning::Accepted,
            ),
            (
                Work::Settle,
                200,
                r#"{"success":false,"errorReason":"settlement_pending","transaction":"","network":"n"}"#,
                Meaning::AskAgain,
            ),
            (
                Work::Settle,
                200,
                r#"{"success":false,"errorReason":"insufficient_funds","transaction":"","network":"n"}"#,
                failed("insufficient_funds"),
            ),
            (Work::Settle, 200, "nothing", failed("no outcome")),
            (Work::Settle, 429, "", Meaning::AskAgain),
            (Work::Settle, 500, "", failed("500")),
            (Work::Paid, 200, "", Meaning::Accepted),
            (Work::Paid, 503, "", Meaning::AskAgain),
            (Work::Paid, 409, in_progress, Meaning::AskAgain),
            (
                Work::Paid,
                409,
                r#"{"error":"payment_already_used"}"#,
                failed("409 payment_already_used"),
            ),
            (Work::Paid, 402, "", failed("402")),
            (Work::Challenge, 402, "", Meaning::Accepted),
            (Work::Challenge, 200, "", failed("200")),
            (Work::Free, 200, "", Meaning::Accepted),
            (Work::Free, 502, "", failed("502")),
        ] {
            assert_eq!(meaning(work, status, body.as_bytes()), want, "{work:?} {status} {body}");
        }
    }
}
