//! The mark that a handler was started, on PostgreSQL.

use serde_json::json;

use super::claims::GATE;
use super::{Failure, PostgresLedger, journal, now_ms};
use crate::{ClaimState, Hold};

const START: &str = concat!(
    "update claims set handler_started = 1, updated_at_ms = ",
    now_ms!(),
    " where payment_key = $1 and state = 0 and lease_token = $2 and handler_started = 0"
);

const HELD: &str = "select 1 from claims where payment_key = $1 and state = 0 and lease_token = $2";

pub(super) async fn start(ledger: &PostgresLedger, hold: &Hold) -> Result<Option<bool>, Failure> {
    let mut tx = ledger.begin().await?;
    let query = |sql| sqlx::query(sql).bind(hold.key.0.to_vec()).bind(hold.token);
    if query(START).execute(&mut *tx).await?.rows_affected() == 0 {
        let held = query(HELD).fetch_optional(&mut *tx).await?;
        return Ok(held.map(|_| false));
    }
    let states = (ClaimState::Verified.name(), ClaimState::Verified.name());
    let evidence = json!({ "handler_started": true });
    journal(&mut tx, GATE, &hold.key, states, &evidence).await?;
    tx.commit().await?;
    Ok(Some(true))
}
