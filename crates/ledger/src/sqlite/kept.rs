//! What a claim keeps besides its row, sealed: the answer it buys and the payment as it is asked
//! to be settled.

use faregate_protocol::{PaymentKey, PaymentRequest};
use serde_json::json;

use super::{SqliteLedger, bytes32, column, journal, now_ms, parts, signed, unavailable};
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

pub(super) async fn keep(
    ledger: &SqliteLedger,
    hold: &Hold,
    answer: &StoredAnswer,
    request: &PaymentRequest,
) -> Result<bool, LedgerError> {
    let row = hold.key.0;
    let request =
        serde_json::to_vec(request).map_err(|_| LedgerError::Corrupt { what: "kept.request" })?;
    let request = ledger.sealer.seal(Sealed::Request, &row, &request)?;
    let size = answer.body.size();
    let sealed = ledger.sealer.seal(Sealed::Answer, &row, &answer.to_bytes()?)?;
    let (from, to) = (ClaimState::Verified, ClaimState::Executed);
    let mut tx = ledger.begin().await?;
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
    let Some(sealed) =
        sealed(ledger, "select payment_key, request as it from kept where payment_key = ?", key)
            .await?
    else {
        return Ok(None);
    };
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
    let of_bodies = parts::forget(&mut tx, limit).await?;
    tx.commit().await.map_err(unavailable)?;
    Ok(done.rows_affected().saturating_add(of_bodies))
}
