//! The mark that a handler was started, on SQLite.

use rusqlite::params;
use serde_json::json;

use super::SqliteLedger;
use super::asking::Turn;
use super::claims::{ACTOR, SUBJECT};
use super::statements::{journal, now_ms, one, run};
use crate::{ClaimState, Hold, LedgerError};

const START: &str = concat!(
    "update claims set handler_started = 1, updated_at_ms = ",
    now_ms!(),
    " where payment_key = ? and state = 0 and lease_token = ? and handler_started = 0"
);

const STARTED: &str =
    "select handler_started from claims where payment_key = ? and state = 0 and lease_token = ?";

pub(super) async fn start(ledger: &SqliteLedger, hold: &Hold) -> Result<Option<bool>, LedgerError> {
    let hold = *hold;
    ledger
        .write(move |tx| {
            let values = params![hold.key.0.as_slice(), hold.token];
            if run(tx, START, values)? == 0 {
                return Ok(Turn::TakenBack(one(tx, STARTED, values, |_| Ok(false))?));
            }
            let states = (ClaimState::Verified.name(), ClaimState::Verified.name());
            let evidence = json!({ "handler_started": true });
            journal(tx, ACTOR, SUBJECT, &hold, states, &evidence)?;
            Ok(Turn::Kept(Some(true)))
        })
        .await
}
