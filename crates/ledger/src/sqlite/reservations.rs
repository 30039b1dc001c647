//! The row of a settlement on SQLite: how it comes to be, and the compare-and-set of its moves.

use faregate_protocol::PaymentKey;
use serde_json::json;

use super::settlements::SUBJECT;
use super::{SqliteLedger, Turn, journal, now_ms, signed, unavailable};
use crate::sealing::Sealed;
use crate::{LedgerError, NewSettlement, SettlementState};

const INSERT: &str = concat!(
    "insert into settlements (payment_key, settle_id, caller_has_key, requirements_hash, ",
    "payload_hash, request, network, payer, pay_to, asset, amount, valid_before, head_at_claim, ",
    "state, wanted_until_ms, next_look_ms, created_at_ms, updated_at_ms) ",
    "values (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, 0, ",
    now_ms!(),
    " + ?, ",
    now_ms!(),
    ", ",
    now_ms!(),
    ", ",
    now_ms!(),
    ") on conflict (payment_key) do nothing"
);

/// Bytes that may still be mined carry who lives in an open slot, so none of those is RESERVED again.
const MOVE: &str = concat!(
    "update settlements set state = ?1, version = version + 1, looks = 0, next_look_ms = ",
    now_ms!(),
    ", updated_at_ms = ",
    now_ms!(),
    " where payment_key = ?2 and state = ?3 and not (?1 = 0 and ?3 in (1, 2) and exists ",
    "(select 1 from slot_items i join nonce_slots n using (network, signer, nonce) ",
    "where i.payment_key = ?2 and i.live = 1 and n.state <> 2))"
);

/// The largest second whose milliseconds can be stored stands for never.
pub(super) const WANTED_TO_THE_END: &str = concat!(
    "update settlements set wanted_until_ms = min(valid_before, 9223372036854775) * 1000 ",
    "where payment_key = ?"
);

const FORGET_TRIES: &str = "update settlements set tries = 0 where payment_key = ?";

/// The compare-and-set of every move.
pub(super) async fn step(
    tx: &mut Turn,
    key: &PaymentKey,
    from: SettlementState,
    to: SettlementState,
) -> Result<bool, LedgerError> {
    let done = sqlx::query(MOVE)
        .bind(to.number())
        .bind(key.0.as_slice())
        .bind(from.number())
        .execute(&mut **tx)
        .await
        .map_err(unavailable)?;
    Ok(done.rows_affected() == 1)
}

pub(super) fn seal(ledger: &SqliteLedger, new: &NewSettlement) -> Result<Vec<u8>, LedgerError> {
    let request = serde_json::to_vec(&new.request)
        .map_err(|_| LedgerError::Corrupt { what: "settlements.request" })?;
    ledger.sealer.seal(Sealed::Request, &new.key.0, &request)
}

pub(super) async fn insert(
    tx: &mut Turn,
    new: &NewSettlement,
    request: Vec<u8>,
    wait_ms: u64,
) -> Result<bool, LedgerError> {
    let done = sqlx::query(INSERT)
        .bind(new.key.0.as_slice())
        .bind(new.settle_id.to_string())
        .bind(i64::from(new.caller_has_key))
        .bind(new.requirements_hash.as_slice())
        .bind(new.payload_hash.as_slice())
        .bind(request)
        .bind(&new.network)
        .bind(&new.payer)
        .bind(&new.pay_to)
        .bind(&new.asset)
        .bind(new.amount.to_be_bytes().to_vec())
        .bind(signed(new.valid_before))
        .bind(signed(new.head_at_claim))
        .bind(signed(wait_ms))
        .execute(&mut **tx)
        .await
        .map_err(unavailable)?;
    Ok(done.rows_affected() == 1)
}

/// What an operator does with a payment that was set aside.
pub(super) async fn retry(ledger: &SqliteLedger, key: &PaymentKey) -> Result<bool, LedgerError> {
    let mut tx = ledger.begin().await?;
    let (from, to) = (SettlementState::Quarantined, SettlementState::Reserved);
    if !step(&mut tx, key, from, to).await? {
        return Ok(false);
    }
    for sql in [FORGET_TRIES, WANTED_TO_THE_END] {
        sqlx::query(sql).bind(key.0.as_slice()).execute(&mut *tx).await.map_err(unavailable)?;
    }
    let evidence = json!({ "retried": true });
    journal(&mut tx, "operator", SUBJECT, key, (from.name(), to.name()), &evidence).await?;
    tx.commit().await.map_err(unavailable)?;
    Ok(true)
}
