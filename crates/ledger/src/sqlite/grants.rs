//! The grant, on SQLite: the compare-and-set after which the first byte may leave.

use serde_json::json;
use uuid::Uuid;

use super::claims::{ACTOR, SUBJECT};
use super::{SqliteLedger, column, exposure, journal, now_ms, unavailable};
use crate::{ClaimState, Hold, LedgerError};

const GRANT: &str = concat!(
    "update claims set state = 4, grant_id = ?, granted_at_ms = ",
    now_ms!(),
    ", updated_at_ms = ",
    now_ms!(),
    " where payment_key = ? and state = ? and lease_token = ? and grant_id is null"
);

const GRANTABLE: &str = "select state from claims where payment_key = ? and lease_token = ?";

pub(super) async fn grant(
    ledger: &SqliteLedger,
    hold: &Hold,
    grant_id: Uuid,
) -> Result<bool, LedgerError> {
    let mut tx = ledger.begin().await?;
    let query = sqlx::query(GRANTABLE).bind(hold.key.0.as_slice()).bind(hold.token);
    let row = query.fetch_optional(&mut *tx).await.map_err(unavailable)?;
    let from = row.map(|row| column(&row, "state")).transpose()?;
    let from = from.and_then(ClaimState::from_number).filter(|from| from.is_grantable());
    let Some(from) = from else { return Ok(false) };
    let done = sqlx::query(GRANT)
        .bind(grant_id.to_string())
        .bind(hold.key.0.as_slice())
        .bind(from.number())
        .bind(hold.token)
        .execute(&mut *tx)
        .await
        .map_err(unavailable)?;
    if done.rows_affected() != 1 {
        return Ok(false);
    }
    if from == ClaimState::Deferred && !exposure::make_due(&mut tx, &hold.key).await? {
        return Ok(false);
    }
    let states = (from.name(), ClaimState::Granted.name());
    let evidence = json!({ "grant_id": grant_id });
    journal(&mut tx, ACTOR, SUBJECT, &hold.key, states, &evidence).await?;
    tx.commit().await.map_err(unavailable)?;
    Ok(true)
}
