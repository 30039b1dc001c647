//! The grant, on PostgreSQL: the compare-and-set after which the first byte may leave.

use serde_json::json;
use uuid::Uuid;

use super::claims::GATE;
use super::rows::column;
use super::{Failure, PostgresLedger, exposure, journal, kept, now_ms};
use crate::{ClaimState, Hold, StoredBody};

/// From VERIFIED, by what is on the books.
const GRANT_DEFERRED: &str = concat!(
    "update claims set state = 4, grant_id = $1, granted_at_ms = ",
    now_ms!(),
    ", updated_at_ms = ",
    now_ms!(),
    " where payment_key = $2 and state = 0 and lease_token = $3 and grant_id is null"
);

/// From SETTLED, ANSWERED or DEFERRED; tells from which.
const GRANT: &str = concat!(
    "with old as (select payment_key, state from claims where payment_key = $2 ",
    "and state in (3, 10, 11) and lease_token = $3 and grant_id is null for no key update) ",
    "update claims c set state = 4, grant_id = $1, granted_at_ms = ",
    now_ms!(),
    ", updated_at_ms = ",
    now_ms!(),
    " from old where c.payment_key = old.payment_key returning old.state as from_state"
);

pub(super) async fn grant(
    ledger: &PostgresLedger,
    hold: &Hold,
    grant_id: Uuid,
) -> Result<bool, Failure> {
    let mut tx = ledger.begin().await?;
    let row = sqlx::query(GRANT)
        .bind(grant_id.to_string())
        .bind(hold.key.0.as_slice())
        .bind(hold.token)
        .fetch_optional(&mut *tx)
        .await?;
    let from = row.map(|row| column(&row, "from_state")).transpose()?;
    let Some(from) = from.and_then(ClaimState::from_number) else { return Ok(false) };
    // Dropping the transaction takes the grant back as well.
    if from == ClaimState::Deferred && !exposure::make_due(&mut tx, &hold.key).await? {
        return Ok(false);
    }
    let states = (from.name(), ClaimState::Granted.name());
    journal(&mut tx, GATE, &hold.key, states, &json!({ "grant_id": grant_id })).await?;
    tx.commit().await?;
    Ok(true)
}

pub(super) async fn grant_deferred(
    ledger: &PostgresLedger,
    hold: &Hold,
    (answer, body): (&[u8], &StoredBody),
    grant_id: Uuid,
) -> Result<bool, Failure> {
    use ClaimState::{Deferred, Granted, Verified};
    let mut tx = ledger.begin().await?;
    let query = sqlx::query(GRANT_DEFERRED).bind(grant_id.to_string());
    let query = query.bind(hold.key.0.as_slice()).bind(hold.token);
    if query.execute(&mut *tx).await?.rows_affected() != 1
        || !exposure::make_due(&mut tx, &hold.key).await?
    {
        return Ok(false);
    }
    kept::put_answer(&mut tx, hold, (&[], answer), body).await?;
    for (from, to, evidence) in [
        (Verified, Deferred, json!({ "answer_bytes": body.size() })),
        (Deferred, Granted, json!({ "grant_id": grant_id })),
    ] {
        journal(&mut tx, GATE, &hold.key, (from.name(), to.name()), &evidence).await?;
    }
    tx.commit().await?;
    Ok(true)
}
