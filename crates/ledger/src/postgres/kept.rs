//! What a claim keeps besides its row, sealed: the answer it buys and the payment as it is asked
//! to be settled.

use faregate_protocol::{PaymentKey, PaymentRequest};
use serde_json::json;

use super::claims::{GATE, step};
use super::rows::{bytes32, column, signed};
use super::{Failure, PostgresLedger, journal, now_ms, one_now_ms, parts};
use crate::sealing::Sealed;
use crate::{BodyParts, ClaimState, Hold, LedgerError, StoredAnswer, StoredBody};

const KEEP: &str = concat!(
    "insert into kept (payment_key, request, answer, kept_at_ms) values ($1, $2, $3, ",
    now_ms!(),
    ") on conflict (payment_key) do update set request = excluded.request, ",
    "answer = excluded.answer, kept_at_ms = excluded.kept_at_ms"
);

const ANSWER: &str = "select payment_key, answer as it from kept where payment_key = $1";

const REQUEST: &str = "select payment_key, request as it from kept where payment_key = $1";

/// Of claims at an end whose authorization can move nothing any more. What somebody else is
/// forgetting, or taking up again, is left to them. The largest second whose milliseconds can be
/// stored stands for never.
const FORGET: &str = concat!(
    "delete from kept where payment_key in (select k.payment_key from kept k join claims c ",
    "using (payment_key) where c.state in (4, 5, 7) ",
    "and least(c.valid_before, 9223372036854775) * 1000 <= ",
    one_now_ms!(),
    " - $1 limit $2 for update of c, k skip locked)"
);

pub(super) async fn keep(
    ledger: &PostgresLedger,
    hold: &Hold,
    answer: &StoredAnswer,
    request: &PaymentRequest,
) -> Result<bool, LedgerError> {
    let row = hold.key.0;
    let request =
        serde_json::to_vec(request).map_err(|_| LedgerError::Corrupt { what: "kept.request" })?;
    let request = ledger.sealer.seal(Sealed::Request, &row, &request)?;
    let sealed = ledger.sealer.seal(Sealed::Answer, &row, &answer.to_bytes()?)?;
    ledger.retried(|| store(ledger, hold, (&request, &sealed), &answer.body)).await
}

fn in_parts(body: &StoredBody) -> Option<&BodyParts> {
    match body {
        StoredBody::Whole(_) => None,
        StoredBody::Parts(parts) => Some(parts),
    }
}

async fn store(
    ledger: &PostgresLedger,
    hold: &Hold,
    (request, answer): (&[u8], &[u8]),
    body: &StoredBody,
) -> Result<bool, Failure> {
    let (from, to) = (ClaimState::Verified, ClaimState::Executed);
    let mut tx = ledger.begin().await?;
    if !step(&mut tx, hold, (from, to), None).await? {
        return Ok(false);
    }
    if let Some(body) = in_parts(body)
        && !parts::are_all_there(&mut *tx, &hold.key, body).await?
    {
        return Err(LedgerError::Corrupt { what: "kept_parts" }.into());
    }
    let query = sqlx::query(KEEP).bind(hold.key.0.as_slice()).bind(request).bind(answer);
    query.execute(&mut *tx).await?;
    let evidence = json!({ "answer_bytes": body.size() });
    journal(&mut tx, GATE, &hold.key, (from.name(), to.name()), &evidence).await?;
    tx.commit().await?;
    Ok(true)
}

pub(super) async fn answer(
    ledger: &PostgresLedger,
    key: &PaymentKey,
) -> Result<Option<StoredAnswer>, LedgerError> {
    let Some(sealed) = ledger.retried(|| sealed(ledger, ANSWER, key)).await? else {
        return Ok(None);
    };
    let bytes = ledger.sealer.open(Sealed::Answer, &key.0, &sealed)?;
    let answer = StoredAnswer::from_bytes(&bytes)?;
    if let Some(body) = in_parts(&answer.body)
        && !ledger.retried(|| parts::are_all_there(&ledger.pool, key, body)).await?
    {
        return Ok(None);
    }
    Ok(Some(answer))
}

pub(super) async fn request(
    ledger: &PostgresLedger,
    key: &PaymentKey,
) -> Result<Option<PaymentRequest>, LedgerError> {
    let Some(sealed) = ledger.retried(|| sealed(ledger, REQUEST, key)).await? else {
        return Ok(None);
    };
    let bytes = ledger.sealer.open(Sealed::Request, &key.0, &sealed)?;
    let request = serde_json::from_slice(&bytes);
    request.map(Some).map_err(|_| LedgerError::Corrupt { what: "kept.request" })
}

async fn sealed(
    ledger: &PostgresLedger,
    sql: &'static str,
    key: &PaymentKey,
) -> Result<Option<Vec<u8>>, Failure> {
    let query = sqlx::query(sql).bind(key.0.as_slice());
    let Some(row) = query.fetch_optional(&ledger.pool).await? else { return Ok(None) };
    // The row that was asked for, whatever the index says.
    if bytes32(&row, "payment_key")? != key.0 {
        return Err(LedgerError::Corrupt { what: "kept.payment_key" }.into());
    }
    Ok(column(&row, "it")?)
}

pub(super) async fn forget(
    ledger: &PostgresLedger,
    older_than_ms: u64,
    limit: u32,
) -> Result<u64, Failure> {
    let mut tx = ledger.begin().await?;
    let query = sqlx::query(FORGET).bind(signed(older_than_ms)).bind(i64::from(limit));
    let done = query.execute(&mut *tx).await?;
    let of_bodies = parts::forget(&mut tx, limit).await?;
    tx.commit().await?;
    Ok(done.rows_affected().saturating_add(of_bodies))
}
