//! The grant, on SQLite: the compare-and-set after which the first byte may leave.

use rusqlite::params;
use serde_json::json;
use uuid::Uuid;

use super::asking::Turn;
use super::claims::{ACTOR, SUBJECT};
use super::statements::{column, journal, now_ms, one, run};
use super::{SqliteLedger, exposure, kept};
use crate::{ClaimState, Hold, LedgerError, StoredAnswer};

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
    let hold = *hold;
    ledger
        .write(move |tx| {
            let key = hold.key.0.as_slice();
            let state = |row: &rusqlite::Row<'_>| column(row, "state");
            let from = one(tx, GRANTABLE, params![key, hold.token], state)?;
            let from = from.and_then(ClaimState::from_number).filter(|from| from.is_grantable());
            let Some(from) = from else { return Ok(Turn::TakenBack(false)) };
            let values = params![grant_id.to_string(), key, from.number(), hold.token];
            if run(tx, GRANT, values)? != 1 {
                return Ok(Turn::TakenBack(false));
            }
            if from == ClaimState::Deferred && !exposure::make_due(tx, hold.settle_id)? {
                return Ok(Turn::TakenBack(false));
            }
            let states = (from.name(), ClaimState::Granted.name());
            let evidence = json!({ "grant_id": grant_id });
            journal(tx, ACTOR, SUBJECT, &hold, states, &evidence)?;
            Ok(Turn::Kept(true))
        })
        .await
}

pub(super) async fn grant_deferred(
    ledger: &SqliteLedger,
    hold: &Hold,
    answer: &StoredAnswer,
    grant_id: Uuid,
) -> Result<bool, LedgerError> {
    use ClaimState::{Deferred, Granted, Verified};
    let hold = *hold;
    let keeping = kept::Keeping::of(ledger, &hold, answer)?;
    ledger
        .write(move |tx| {
            let key = hold.key.0.as_slice();
            let values = params![grant_id.to_string(), key, Verified.number(), hold.token];
            if run(tx, GRANT, values)? != 1 || !exposure::make_due(tx, hold.settle_id)? {
                return Ok(Turn::TakenBack(false));
            }
            let size = keeping.put(tx, &hold, &[])?;
            for (from, to, evidence) in [
                (Verified, Deferred, json!({ "answer_bytes": size })),
                (Deferred, Granted, json!({ "grant_id": grant_id })),
            ] {
                journal(tx, ACTOR, SUBJECT, &hold, (from.name(), to.name()), &evidence)?;
            }
            Ok(Turn::Kept(true))
        })
        .await
}
