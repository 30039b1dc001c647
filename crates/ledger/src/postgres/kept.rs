//! What a claim keeps besides its row, sealed: the answer it buys and the payment as it is asked
//! to be settled.

use faregate_protocol::{PaymentKey, PaymentRequest};
use serde_json::json;
use sqlx::{Postgres, Transaction};

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

const REQUEST: &str = "select payment_key, request as it from kept where payment_key = $1 \
     and length(request) > 0 union all select payment_key, request as it from kept_requests where payment_key = $1 limit 1";

const PUT_REQUEST: &str = concat!(
    "insert into kept_requests (payment_key, request, kept_at_ms) values ($1, $2, ",
    now_ms!(),
    ") on conflict (payment_key) do update set request = excluded.request, ",
    "kept_at_ms = excluded.kept_at_ms"
);

const AWAITS: &str = "select state, exists (select 1 from deferrals d where d.payment_key = \
     c.payment_key and d.state = 0) as deferred from claims c where payment_key = $1 \
     and lease_token = $2";

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

/// The same for payments that were kept before there was an answer, once their money is proven
/// either way.
const FORGET_REQUESTS: &str = concat!(
    "delete from kept_requests where payment_key in (select k.payment_key from kept_requests k ",
    "join claims c using (payment_key) where c.state in (4, 5, 7) and not exists (select 1 ",
    "from deferrals d where d.payment_key = c.payment_key and d.state not in (3, 5)) ",
    "and least(c.valid_before, 9223372036854775) * 1000 <= ",
    one_now_ms!(),
    " - $1 limit $2 for update of c, k skip locked)"
);

/// Where the claim stands, and where it will with its answer.
async fn awaited(
    tx: &mut Transaction<'static, Postgres>,
    hold: &Hold,
) -> Result<Option<(ClaimState, ClaimState)>, Failure> {
    let query = sqlx::query(AWAITS).bind(hold.key.0.as_slice()).bind(hold.token);
    let Some(row) = query.fetch_optional(&mut **tx).await? else { return Ok(None) };
    let from = ClaimState::from_number(column(&row, "state")?);
    let from = from.ok_or(LedgerError::Corrupt { what: "claims.state" })?;
    let to = from.with_answer(column(&row, "deferred")?);
    Ok(to.map(|to| (from, to)))
}

pub(super) fn sealed_request(
    ledger: &PostgresLedger,
    key: &PaymentKey,
    request: &PaymentRequest,
) -> Result<Vec<u8>, LedgerError> {
    let request =
        serde_json::to_vec(request).map_err(|_| LedgerError::Corrupt { what: "kept.request" })?;
    ledger.sealer.seal(Sealed::Request, &key.0, &request)
}

/// A payment without an answer, in the caller's transaction.
pub(super) async fn put_request(
    tx: &mut Transaction<'static, Postgres>,
    key: &PaymentKey,
    sealed: &[u8],
) -> Result<(), Failure> {
    sqlx::query(PUT_REQUEST).bind(key.0.as_slice()).bind(sealed).execute(&mut **tx).await?;
    Ok(())
}

/// VERIFIED to SETTLING, before anything ran.
pub(super) async fn settle_first(
    ledger: &PostgresLedger,
    hold: &Hold,
    request: &PaymentRequest,
) -> Result<bool, LedgerError> {
    let sealed = sealed_request(ledger, &hold.key, request)?;
    let (from, to) = (ClaimState::Verified, ClaimState::Settling);
    let first = || async {
        let mut tx = ledger.begin().await?;
        if !step(&mut tx, hold, (from, to), None).await? {
            return Ok(false);
        }
        put_request(&mut tx, &hold.key, &sealed).await?;
        let evidence = json!({ "first": true });
        journal(&mut tx, GATE, &hold.key, (from.name(), to.name()), &evidence).await?;
        tx.commit().await?;
        Ok(true)
    };
    ledger.retried(first).await
}

pub(super) async fn keep(
    ledger: &PostgresLedger,
    hold: &Hold,
    answer: &StoredAnswer,
    request: &PaymentRequest,
) -> Result<bool, LedgerError> {
    let request = sealed_request(ledger, &hold.key, request)?;
    let sealed = sealed_answer(ledger, hold, answer)?;
    ledger.retried(|| store(ledger, hold, (&request, &sealed), &answer.body)).await
}

pub(super) fn sealed_answer(
    ledger: &PostgresLedger,
    hold: &Hold,
    answer: &StoredAnswer,
) -> Result<Vec<u8>, LedgerError> {
    ledger.sealer.seal(Sealed::Answer, &hold.key.0, &answer.to_bytes()?)
}

/// An answer with the payment, which is empty where that is kept already, in the caller's
/// transaction.
pub(super) async fn put_answer(
    tx: &mut Transaction<'static, Postgres>,
    hold: &Hold,
    (request, answer): (&[u8], &[u8]),
    body: &StoredBody,
) -> Result<(), Failure> {
    if let Some(body) = in_parts(body)
        && !parts::are_all_there(&mut **tx, &hold.key, body).await?
    {
        return Err(LedgerError::Corrupt { what: "kept_parts" }.into());
    }
    let query = sqlx::query(KEEP).bind(hold.key.0.as_slice()).bind(request).bind(answer);
    query.execute(&mut **tx).await?;
    Ok(())
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
    let mut tx = ledger.begin().await?;
    let Some((from, to)) = awaited(&mut tx, hold).await? else { return Ok(false) };
    if !step(&mut tx, hold, (from, to), None).await? {
        return Ok(false);
    }
    put_answer(&mut tx, hold, (request, answer), body).await?;
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
    let query = sqlx::query(FORGET_REQUESTS).bind(signed(older_than_ms)).bind(i64::from(limit));
    query.execute(&mut *tx).await?;
    let of_bodies = parts::forget(&mut tx, limit).await?;
    tx.commit().await?;
    Ok(done.rows_affected().saturating_add(of_bodies))
}
