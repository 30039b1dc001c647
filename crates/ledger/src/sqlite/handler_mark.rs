//! The mark that a handler was started, on SQLite.

use serde_json::json;

use super::claims::{ACTOR, SUBJECT};
use super::{SqliteLedger, column, journal, now_ms, unavailable};
use crate::{ClaimState, Hold, LedgerError};

const START: &str = concat!(
    "update claims set handler_started = 1, updated_at_ms = ",
    now_ms!(),
    " where payment_key = ? and state = 0 and lease_token = ? and handler_started = 0"
);

const STARTED: &str =
    "select handler_started from claims where payment_key = ? and state = 0 and lease_token = ?";

pub(super) async fn start(ledger: &SqliteLedger, hold: &Hold) -> Result<Option<bool>, LedgerError> {
    let mut tx = ledger.begin().await?;
    let query = |sql| sqlx::query(sql).bind(hold.key.0.as_slice()).bind(hold.token);
    let done = query(START).execute(&mut *tx).await.map_err(unavailable)?;
    if done.rows_affected() == 0 {
        let row = query(STARTED).fetch_optional(&mut *tx).await.map_err(unavailable)?;
        let started = row.map(|row| column::<i64>(&row, "handler_started")).transpose()?;
        return Ok(started.map(|_| false));
    }
    let states = (ClaimState::Verified.name(), ClaimState::Verified.name());
    let evidence = json!({ "handler_started": true });
    journal(&mut tx, ACTOR, SUBJECT, &hold.key, states, &evidence).await?;
    tx.commit().await.map_err(unavailable)?;
    Ok(Some(true))
}
