//! Reservations and moves of settlements on PostgreSQL: each a compare-and-set with its journal
//! row, in one transaction.

use faregate_protocol::PaymentKey;
use serde_json::{Value, json};
use sqlx::{Postgres, Transaction};

use super::rows::{bytes32, signed, text};
use super::settlement_rows::read;
use super::settlements::SELECT;
use super::{Failure, PostgresLedger, journal, leases, now_ms, refused, slots};
use crate::sealing::Sealed;
use crate::{Lease, LedgerError, NewSettlement, Reserved, SettlementState};

pub(super) const SUBJECT: &str = "settlement";
pub(super) const RECONCILER: (&str, &str) = ("reconciler", SUBJECT);
const LANE: (&str, &str) = ("lane", SUBJECT);
const API: (&str, &str) = ("api", SUBJECT);
const OPERATOR: (&str, &str) = ("operator", SUBJECT);

/// Without a target, so that a racing insert of the same settle id is no error but a conflict.
const INSERT: &str = concat!(
    "insert into settlements (payment_key, settle_id, caller_has_key, requirements_hash, ",
    "payload_hash, request, network, payer, pay_to, asset, amount, valid_before, head_at_claim, ",
    "state, wanted_until_ms, next_look_ms, created_at_ms, updated_at_ms) ",
    "values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, 0, ",
    now_ms!(),
    " + $14, ",
    now_ms!(),
    ", ",
    now_ms!(),
    ", ",
    now_ms!(),
    ") on conflict do nothing"
);

/// Bytes that may still be mined carry who lives in an open slot, so none of those is RESERVED again.
const MOVE: &str = concat!(
    "update settlements set state = $1, version = version + 1, looks = 0, next_look_ms = ",
    now_ms!(),
    ", updated_at_ms = ",
    now_ms!(),
    " where payment_key = $2 and state = $3 and not ($1 = 0 and $3 in (1, 2) and exists ",
    "(select 1 from slot_items i join nonce_slots n using (network, signer, nonce) ",
    "where i.payment_key = $2 and i.live and n.state <> 2))"
);

/// In one order, so that two that move several do not wait for each other for ever.
pub(super) const LOCK_ALL: &str = concat!(
    "select 1 from settlements where payment_key = any($1) order by payment_key ",
    "for no key update"
);

const MOVE_ALL: &str = concat!(
    "with moved as (update settlements set state = $1, version = version + 1, looks = 0, ",
    "next_look_ms = ",
    now_ms!(),
    ", updated_at_ms = ",
    now_ms!(),
    " where payment_key = any($2) and state = $3 returning payment_key) ",
    "insert into journal (at_ms, actor, subject, payment_key, from_state, to_state, evidence) ",
    "select ",
    now_ms!(),
    ", $4, $5, payment_key, $6, $7, $8 from moved returning payment_key"
);

const WANT: &str = concat!(
    "update settlements set wanted_until_ms = greatest(wanted_until_ms, ",
    now_ms!(),
    " + $1) where payment_key = $2"
);

/// The largest second whose milliseconds can be stored stands for never.
const WANTED_TO_THE_END: &str = concat!(
    "update settlements set wanted_until_ms = least(valid_before, 9223372036854775) * 1000 ",
    "where payment_key = $1"
);

const FORGET_TRIES: &str = "update settlements set tries = 0 where payment_key = $1";

const DELETE_EVIDENCE: &str = "delete from evidence where payment_key = $1";

/// The compare-and-set of every move. The row stays locked until the move is committed.
pub(super) async fn step(
    tx: &mut Transaction<'static, Postgres>,
    key: &PaymentKey,
    from: SettlementState,
    to: SettlementState,
) -> Result<bool, Failure> {
    let query = sqlx::query(MOVE).bind(to.number()).bind(key.0.as_slice()).bind(from.number());
    Ok(query.execute(&mut **tx).await?.rows_affected() == 1)
}

/// As [`step`], for several payments at once, with their journal rows. Returns those that moved.
pub(super) async fn step_all(
    tx: &mut Transaction<'static, Postgres>,
    (actor, subject): (&str, &str),
    keys: &[PaymentKey],
    (from, to): (SettlementState, SettlementState),
    evidence: &Value,
) -> Result<Vec<PaymentKey>, Failure> {
    let keys: Vec<&[u8]> = keys.iter().map(|key| key.0.as_slice()).collect();
    sqlx::query(LOCK_ALL).bind(&keys).execute(&mut **tx).await?;
    let rows = sqlx::query(MOVE_ALL)
        .bind(to.number())
        .bind(&keys)
        .bind(from.number())
        .bind(actor)
        .bind(subject)
        .bind(from.name())
        .bind(to.name())
        .bind(text(&evidence.to_string()))
        .fetch_all(&mut **tx)
        .await?;
    let moved = rows.iter().map(|row| bytes32(row, "payment_key").map(PaymentKey));
    Ok(moved.collect::<Result<_, _>>()?)
}

pub(super) async fn reserve(
    ledger: &PostgresLedger,
    new: &NewSettlement,
    wait_ms: u64,
) -> Result<Reserved, Failure> {
    let request = serde_json::to_vec(&new.request)
        .map_err(|_| LedgerError::Corrupt { what: "settlements.request" })?;
    let sealed = ledger.sealer.seal(Sealed::Request, &new.key.0, &request)?;
    let mut tx = ledger.begin().await?;
    let inserted = insert(&mut tx, new, sealed, wait_ms).await?;
    if inserted {
        let states = ("", SettlementState::Reserved.name());
        let evidence = json!({ "settle_id": new.settle_id, "head": new.head_at_claim });
        journal(&mut tx, API, &new.key, states, &evidence).await?;
    }
    let query = sqlx::query(SELECT).bind(new.key.0.as_slice());
    let row = query.fetch_optional(&mut *tx).await?;
    let row = row.ok_or_else(|| refused("settlements.settle_id"))?;
    let stored = Box::new(read(ledger, &row)?);
    tx.commit().await?;
    Ok(if inserted { Reserved::New(stored) } else { Reserved::Exists(stored) })
}

async fn insert(
    tx: &mut Transaction<'static, Postgres>,
    new: &NewSettlement,
    request: Vec<u8>,
    wait_ms: u64,
) -> Result<bool, Failure> {
    let done = sqlx::query(INSERT)
        .bind(new.key.0.as_slice())
        .bind(new.settle_id.to_string())
        .bind(new.caller_has_key)
        .bind(new.requirements_hash.as_slice())
        .bind(new.payload_hash.as_slice())
        .bind(request)
        .bind(text(&new.network))
        .bind(text(&new.payer))
        .bind(text(&new.pay_to))
        .bind(text(&new.asset))
        .bind(new.amount.to_be_bytes().to_vec())
        .bind(signed(new.valid_before))
        .bind(signed(new.head_at_claim))
        .bind(signed(wait_ms))
        .execute(&mut **tx)
        .await?;
    Ok(done.rows_affected() == 1)
}

pub(super) async fn want(
    ledger: &PostgresLedger,
    key: &PaymentKey,
    wait_ms: u64,
) -> Result<(), Failure> {
    let mut tx = ledger.begin().await?;
    let query = sqlx::query(WANT).bind(signed(wait_ms)).bind(key.0.as_slice());
    query.execute(&mut *tx).await?;
    let (from, to) = (SettlementState::Dormant, SettlementState::Reserved);
    if step(&mut tx, key, from, to).await? {
        let evidence = json!({ "asked_again": true });
        journal(&mut tx, API, key, (from.name(), to.name()), &evidence).await?;
    }
    Ok(tx.commit().await?)
}

pub(super) async fn go(
    ledger: &PostgresLedger,
    lease: &Lease,
    key: &PaymentKey,
    (from, to): (SettlementState, SettlementState),
    evidence: &Value,
) -> Result<bool, Failure> {
    use SettlementState::{Dead, Quarantined, Reserved};
    let mut tx = leases::begin(ledger, lease).await?;
    if !step(&mut tx, key, from, to).await? {
        return Ok(false);
    }
    if matches!(to, Reserved | Dead | Quarantined) {
        slots::leave(&mut tx, key).await?;
    }
    let who = if to == SettlementState::Broadcast { LANE } else { RECONCILER };
    journal(&mut tx, who, key, (from.name(), to.name()), evidence).await?;
    tx.commit().await?;
    Ok(true)
}

pub(super) async fn undo(
    ledger: &PostgresLedger,
    lease: &Lease,
    key: &PaymentKey,
) -> Result<bool, Failure> {
    let from = SettlementState::Mined;
    let mut tx = leases::begin(ledger, lease).await?;
    let newest = slots::newest(&mut tx, key).await?;
    let to = if newest.is_some() { SettlementState::Broadcast } else { SettlementState::Reserved };
    if !step(&mut tx, key, from, to).await? {
        return Ok(false);
    }
    if let Some(slot) = newest {
        slots::come_back(&mut tx, key, &slot).await?;
    }
    for sql in [DELETE_EVIDENCE, WANTED_TO_THE_END] {
        sqlx::query(sql).bind(key.0.as_slice()).execute(&mut *tx).await?;
    }
    let evidence = json!({ "reorganised": true });
    journal(&mut tx, RECONCILER, key, (from.name(), to.name()), &evidence).await?;
    tx.commit().await?;
    Ok(true)
}

pub(super) async fn retry(ledger: &PostgresLedger, key: &PaymentKey) -> Result<bool, Failure> {
    let (from, to) = (SettlementState::Quarantined, SettlementState::Reserved);
    let mut tx = ledger.begin().await?;
    if !step(&mut tx, key, from, to).await? {
        return Ok(false);
    }
    for sql in [FORGET_TRIES, WANTED_TO_THE_END] {
        sqlx::query(sql).bind(key.0.as_slice()).execute(&mut *tx).await?;
    }
    let evidence = json!({ "retried": true });
    journal(&mut tx, OPERATOR, key, (from.name(), to.name()), &evidence).await?;
    tx.commit().await?;
    Ok(true)
}
