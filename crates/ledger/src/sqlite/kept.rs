//! What a claim keeps besides its row, sealed: the answer it buys and the payment as it is asked
//! to be settled.

use faregate_protocol::{PaymentKey, PaymentRequest};
use serde_json::json;

use super::{SqliteLedger, Turn, bytes32, column, journal, now_ms, parts, signed, unavailable};
use crate::sealing::Sealed;
use crate::{ClaimState, Hold, LedgerError, StoredAnswer, StoredBody};

const KEEP: &str = concat!(
    "insert into kept (payment_key, request, answer, kept_at_ms) values (?, ?, ?, ",
    now_ms!(),
    ") on conflict (payment_key) do update set request = excluded.request, ",
    "answer = excluded.answer, kept_at_ms = excluded.kept_at_ms"
);

/// Of claims at an end whose authorization can move nothing any more.
const FORGET: &str = concat!(
    "delete from kept where payment_key in (select k.payment_key from kept k join claims c ",
    "using (payment_key) where c.state in (4, 5, 7) and c.valid_before * 1000 <= ",
    now_ms!(),
    " - ? limit ?)"
);

const PUT_REQUEST: &str = concat!(
    "insert into kept_requests (payment_key, request, kept_at_ms) values (?, ?, ",
    now_ms!(),
    ") on conflict (payment_key) do update set request = excluded.request, ",
    "kept_at_ms = excluded.kept_at_ms"
);

/// The same for payments that were kept before there was an answer, once their money is proven
/// either way.
const FORGET_REQUESTS: &str = concat!(
    "delete from kept_requests where payment_key in (select k.payment_key from kept_requests k ",
    "join claims c using (payment_key) left join deferrals d using (payment_key) ",
    "where c.state in (4, 5, 7) and (d.state is null or d.state in (3, 5)) ",
    "and c.valid_before * 1000 <= ",
    now_ms!(),
    " - ? limit ?)"
);

const AWAITS: &str = "select state, exists (select 1 from deferrals d where d.payment_key =      c.payment_key and d.state = 0) as deferred from claims c where payment_key = ?      and lease_token = ?";

/// The answer's expected row: where the claim stands, and where it will.
async fn awaited(
    tx: &mut Turn,
    hold: &Hold,
) -> Result<Option<(ClaimState, ClaimState)>, LedgerError> {
    let query = sqlx::query(AWAITS).bind(hold.key.0.as_slice()).bind(hold.token);
    let Some(row) = query.fetch_optional(&mut **tx).await.map_err(unavailable)? else {
        return Ok(None);
    };
    let from = ClaimState::from_number(column(&row, "state")?);
    let from = from.ok_or(LedgerError::Corrupt { what: "claims.state" })?;
    let to = from.with_answer(column::<i64>(&row, "deferred")? != 0);
    Ok(to.map(|to| (from, to)))
}

pub(super) fn sealed_request(
    ledger: &SqliteLedger,
    key: &PaymentKey,
    request: &PaymentRequest,
) -> Result<Vec<u8>, LedgerError> {
    let request =
        serde_json::to_vec(request).map_err(|_| LedgerError::Corrupt { what: "kept.request" })?;
    ledger.sealer.seal(Sealed::Request, &key.0, &request)
}

/// A payment without an answer, in the caller's transaction.
pub(super) async fn put_request(
    tx: &mut Turn,
    key: &PaymentKey,
    sealed: Vec<u8>,
) -> Result<(), LedgerError> {
    let query = sqlx::query(PUT_REQUEST).bind(key.0.as_slice()).bind(sealed);
    query.execute(&mut **tx).await.map(|_| ()).map_err(unavailable)
}

/// VERIFIED to SETTLING, before anything ran.
pub(super) async fn settle_first(
    ledger: &SqliteLedger,
    hold: &Hold,
    request: &PaymentRequest,
) -> Result<bool, LedgerError> {
    let sealed = sealed_request(ledger, &hold.key, request)?;
    let (from, to) = (ClaimState::Verified, ClaimState::Settling);
    let mut tx = ledger.begin().await?;
    if !super::claims::step(&mut tx, hold, from, to, None).await? {
        return Ok(false);
    }
    put_request(&mut tx, &hold.key, sealed).await?;
    let evidence = json!({ "first": true });
    journal(&mut tx, "gate", "claim", &hold.key, (from.name(), to.name()), &evidence).await?;
    tx.commit().await.map_err(unavailable)?;
    Ok(true)
}

pub(super) async fn keep(
    ledger: &SqliteLedger,
    hold: &Hold,
    answer: &StoredAnswer,
    request: &PaymentRequest,
) -> Result<bool, LedgerError> {
    let row = hold.key.0;
    let request = sealed_request(ledger, &hold.key, request)?;
    let size = answer.body.size();
    let sealed = ledger.sealer.seal(Sealed::Answer, &row, &answer.to_bytes()?)?;
    let mut tx = ledger.begin().await?;
    let Some((from, to)) = awaited(&mut tx, hold).await? else { return Ok(false) };
    if !super::claims::step(&mut tx, hold, from, to, None).await? {
        return Ok(false);
    }
    if let StoredBody::Parts(body) = &answer.body
        && !parts::are_all_there(&mut *tx, &hold.key, body).await?
    {
        return Err(LedgerError::Corrupt { what: "kept_parts" });
    }
    sqlx::query(KEEP)
        .bind(row.as_slice())
        .bind(request)
        .bind(sealed)
        .execute(&mut *tx)
        .await
        .map_err(unavailable)?;
    let evidence = json!({ "answer_bytes": size });
    journal(&mut tx, "gate", "claim", &hold.key, (from.name(), to.name()), &evidence).await?;
    tx.commit().await.map_err(unavailable)?;
    Ok(true)
}

pub(super) async fn answer(
    ledger: &SqliteLedger,
    key: &PaymentKey,
) -> Result<Option<StoredAnswer>, LedgerError> {
    let Some(sealed) =
        sealed(ledger, "select payment_key, answer as it from kept where payment_key = ?", key)
            .await?
    else {
        return Ok(None);
    };
    let bytes = ledger.sealer.open(Sealed::Answer, &key.0, &sealed)?;
    let answer = StoredAnswer::from_bytes(&bytes)?;
    if let StoredBody::Parts(body) = &answer.body
        && !parts::are_all_there(&ledger.reader, key, body).await?
    {
        return Ok(None);
    }
    Ok(Some(answer))
}

pub(super) async fn request(
    ledger: &SqliteLedger,
    key: &PaymentKey,
) -> Result<Option<PaymentRequest>, LedgerError> {
    const KEPT: &str = "select payment_key, request as it from kept where payment_key = ?1 \
         union all select payment_key, request as it from kept_requests where payment_key = ?1 \
         limit 1";
    let Some(sealed) = sealed(ledger, KEPT, key).await? else { return Ok(None) };
    let bytes = ledger.sealer.open(Sealed::Request, &key.0, &sealed)?;
    let request = serde_json::from_slice(&bytes);
    request.map(Some).map_err(|_| LedgerError::Corrupt { what: "kept.request" })
}

async fn sealed(
    ledger: &SqliteLedger,
    sql: &'static str,
    key: &PaymentKey,
) -> Result<Option<Vec<u8>>, LedgerError> {
    let row = sqlx::query(sql)
        .bind(key.0.as_slice())
        .fetch_optional(&ledger.reader)
        .await
        .map_err(unavailable)?;
    let Some(row) = row else { return Ok(None) };
    // The row that was asked for, whatever the index says.
    if bytes32(&row, "payment_key")? != key.0 {
        return Err(LedgerError::Corrupt { what: "kept.payment_key" });
    }
    let sealed: &[u8] = column(&row, "it")?;
    Ok(Some(sealed.to_vec()))
}

pub(super) async fn forget(
    ledger: &SqliteLedger,
    older_than_ms: u64,
    limit: u32,
) -> Result<u64, LedgerError> {
    let mut tx = ledger.begin().await?;
    let done = sqlx::query(FORGET)
        .bind(signed(older_than_ms))
        .bind(limit)
        .execute(&mut *tx)
        .await
        .map_err(unavailable)?;
    let query = sqlx::query(FORGET_REQUESTS).bind(signed(older_than_ms)).bind(limit);
    query.execute(&mut *tx).await.map_err(unavailable)?;
    let of_bodies = parts::forget(&mut tx, limit).await?;
    tx.commit().await.map_err(unavailable)?;
    Ok(done.rows_affected().saturating_add(of_bodies))
}
