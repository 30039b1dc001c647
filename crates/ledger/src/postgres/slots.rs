//! Nonce slots of the lanes on PostgreSQL: one intent for one nonce (U6), one live slot for one
//! payment (U7), signed bytes stored before they leave.

use std::collections::HashSet;
use std::ops::Range;

use faregate_protocol::PaymentKey;
use serde_json::json;
use sqlx::postgres::PgRow;
use sqlx::{Postgres, Transaction};

use super::moves::{SUBJECT, step_all};
use super::rows::{bytes32, column, signed, unsigned};
use super::{Failure, PostgresLedger, leases, now_ms};
use crate::sealing::Sealed;
use crate::{
    Attempt, LaneRows, Lease, LedgerError, SettlementState, SlotKind, SlotMember, SlotRow,
    SlotState,
};

const LANE: (&str, &str) = ("lane", SUBJECT);

/// Locks the payments first, always in the same order; which live somewhere is asked only then.
const RESERVED: &str = concat!(
    "select payment_key from settlements where payment_key = any($1) and state = 0 ",
    "order by payment_key for no key update"
);

const LIVING: &str = "select payment_key from slot_items where payment_key = any($1) and live";

/// New nonces of one lane are given out one by one, whatever leases their writers hold.
const ALONE_ON_THE_LANE: &str =
    "select pg_advisory_xact_lock(hashtextextended($1 || ' ' || $2, 0))";

const NEXT_NONCE: &str = concat!(
    "select coalesce(max(nonce) + 1, 0) as next from nonce_slots ",
    "where network = $1 and signer = $2"
);

const INSERT_SLOT: &str =
    "insert into nonce_slots (network, signer, nonce, kind, state) values ($1, $2, $3, $4, $5)";

const INSERT_ITEMS: &str = concat!(
    "insert into slot_items (network, signer, nonce, payment_key) ",
    "select $1, $2, $3, key from unnest($4) as key"
);

const INSERT_ATTEMPT: &str = concat!(
    "insert into attempts (transaction_hash, network, signer, nonce, raw, max_fee_wei, tip_wei, ",
    "created_at_ms) values ($1, $2, $3, $4, $5, $6, $7, ",
    now_ms!(),
    ")"
);

/// A slot is signed only as what it was read as: for these payments, or as a no-op. Payments only
/// ever leave a slot, so that as many are the same.
const SIGN_SLOT: &str = concat!(
    "update nonce_slots set state = 1 where network = $1 and signer = $2 and nonce = $3 ",
    "and kind = $4 and state in (0, 1) and (select count(*) from slot_items i ",
    "where i.network = $1 and i.signer = $2 and i.nonce = $3) = $5"
);

const SET_KIND: &str = concat!(
    "update nonce_slots set kind = $4 where network = $1 and signer = $2 and nonce = $3 ",
    "and state = 0 and kind <> 2"
);

const KEEP: &str = concat!(
    "delete from slot_items where network = $1 and signer = $2 and nonce = $3 ",
    "and payment_key <> all($4)"
);

const LIVE_MEMBERS: &str = concat!(
    "select payment_key from slot_items where network = $1 and signer = $2 and nonce = $3 ",
    "and live order by payment_key"
);

const CLOSE: &str = concat!(
    "update nonce_slots set state = 2 where network = $1 and signer = $2 and state <> 2 ",
    "and nonce = any($3)"
);

const HURRY: &str = concat!(
    "update settlements set next_look_ms = 0 where payment_key in (select payment_key from ",
    "slot_items where network = $1 and signer = $2 and live and nonce = any($3)) ",
    "returning payment_key"
);

const REOPEN: &str = concat!(
    "update nonce_slots as s set state = case when exists (select 1 from attempts a where ",
    "a.network = s.network and a.signer = s.signer and a.nonce = s.nonce) then 1 else 0 end ",
    "where network = $1 and signer = $2 and nonce >= $3 and nonce < $4 and state = 2"
);

const FILL: &str = concat!(
    "insert into nonce_slots (network, signer, nonce, kind, state) ",
    "select $1, $2, n, 2, 0 from generate_series($3, $4 - 1) as n on conflict do nothing"
);

/// One row for each payment of a slot; one without a payment for a no-op.
const OPEN: &str = concat!(
    "select n.nonce, n.kind, i.payment_key, i.live from nonce_slots n left join slot_items i ",
    "using (network, signer, nonce) ",
    "where n.network = $1 and n.signer = $2 and n.state <> 2 order by n.nonce, i.payment_key"
);

const ATTEMPTS: &str = concat!(
    "select a.*, greatest(0, ",
    now_ms!(),
    " - a.created_at_ms) as age_ms from attempts a join nonce_slots n using (network, signer, nonce) ",
    "where network = $1 and signer = $2 and n.state <> 2 order by a.made_order"
);

const LEAVE: &str = "update slot_items set live = false where payment_key = $1 and live";

const NEWEST: &str = concat!(
    "select network, signer, nonce from attempts a join slot_items i ",
    "using (network, signer, nonce) where i.payment_key = $1 order by a.made_order desc limit 1"
);

const REVIVE: &str = concat!(
    "update slot_items set live = true where network = $1 and signer = $2 and nonce = $3 ",
    "and payment_key = $4"
);

const SIGNED_AGAIN: &str =
    "update nonce_slots set state = 1 where network = $1 and signer = $2 and nonce = $3";

pub(super) async fn lane(
    ledger: &PostgresLedger,
    network: &str,
    signer: &str,
) -> Result<LaneRows, Failure> {
    let mut tx = ledger.begin_reading().await?;
    let rows = sqlx::query(OPEN).bind(network).bind(signer).fetch_all(&mut *tx).await?;
    let mut open: Vec<SlotRow> = Vec::new();
    for row in &rows {
        let nonce = unsigned(row, "nonce")?;
        if open.last().is_none_or(|last| last.nonce != nonce) {
            open.push(slot(row, (network, signer), nonce)?);
        }
        if let (Some(last), Some(member)) = (open.last_mut(), member(row)?) {
            last.members.push(member);
        }
    }
    let rows = sqlx::query(ATTEMPTS).bind(network).bind(signer).fetch_all(&mut *tx).await?;
    for row in &rows {
        let nonce = unsigned(row, "nonce")?;
        if let Some(slot) = open.iter_mut().find(|slot| slot.nonce == nonce) {
            slot.attempts.push(attempt(ledger, row)?);
            slot.age_ms = unsigned(row, "age_ms")?;
        }
    }
    let next_nonce = next_nonce(&mut tx, (network, signer)).await?;
    Ok(LaneRows { open, next_nonce })
}

pub(super) async fn allocate(
    ledger: &PostgresLedger,
    lease: &Lease,
    (network, signer): (&str, &str),
    floor_nonce: u64,
    keys: &[PaymentKey],
) -> Result<Option<SlotRow>, Failure> {
    let mut tx = leases::begin(ledger, lease).await?;
    let asked: Vec<&[u8]> = keys.iter().map(|key| key.0.as_slice()).collect();
    let reserved = sqlx::query(RESERVED).bind(&asked).fetch_all(&mut *tx).await?;
    let living = sqlx::query(LIVING).bind(&asked).fetch_all(&mut *tx).await?;
    let read = |row| bytes32(row, "payment_key").map(PaymentKey);
    let living = living.iter().map(read).collect::<Result<HashSet<_>, _>>()?;
    let mut free = reserved.iter().map(read).collect::<Result<Vec<_>, _>>()?;
    free.retain(|key| !living.contains(key));
    if free.is_empty() {
        return Ok(None);
    }
    sqlx::query(ALONE_ON_THE_LANE).bind(network).bind(signer).execute(&mut *tx).await?;
    let nonce = next_nonce(&mut tx, (network, signer)).await?.max(floor_nonce);
    let kind = SlotRow::kind_of(free.len());
    sqlx::query(INSERT_SLOT)
        .bind(network)
        .bind(signer)
        .bind(signed(nonce))
        .bind(kind.number())
        .bind(SlotState::Empty.number())
        .execute(&mut *tx)
        .await?;
    sqlx::query(INSERT_ITEMS)
        .bind(network)
        .bind(signer)
        .bind(signed(nonce))
        .bind(free.iter().map(|key| key.0.as_slice()).collect::<Vec<_>>())
        .execute(&mut *tx)
        .await?;
    tx.commit().await?;
    Ok(Some(SlotRow {
        network: network.to_owned(),
        signer: signer.to_owned(),
        nonce,
        kind,
        members: free.into_iter().map(|key| SlotMember { key, live: true }).collect(),
        attempts: Vec::new(),
        age_ms: 0,
    }))
}

async fn next_nonce(
    tx: &mut Transaction<'static, Postgres>,
    (network, signer): (&str, &str),
) -> Result<u64, Failure> {
    let row = sqlx::query(NEXT_NONCE).bind(network).bind(signer).fetch_one(&mut **tx).await?;
    Ok(unsigned(&row, "next")?)
}

pub(super) async fn record_attempt(
    ledger: &PostgresLedger,
    lease: &Lease,
    slot: &SlotRow,
    attempt: &Attempt,
) -> Result<bool, Failure> {
    let row = attempt.transaction.as_bytes();
    let sealed = ledger.sealer.seal(Sealed::Transaction, row, &attempt.raw)?;
    let mut tx = leases::begin(ledger, lease).await?;
    // The first bytes of a slot are its payments' step to SIGNED; later ones replace them.
    if slot.attempts.is_empty() {
        let keys: Vec<_> = slot.members.iter().map(|member| member.key).collect();
        let moves = (SettlementState::Reserved, SettlementState::Signed);
        let evidence = json!({
            "transaction": attempt.transaction, "signer": slot.signer, "nonce": slot.nonce,
        });
        if step_all(&mut tx, LANE, &keys, moves, &evidence).await?.len() != keys.len() {
            return Ok(false);
        }
    }
    let done = sqlx::query(SIGN_SLOT)
        .bind(&slot.network)
        .bind(&slot.signer)
        .bind(signed(slot.nonce))
        .bind(slot.kind.number())
        .bind(signed(slot.members.len() as u64))
        .execute(&mut *tx)
        .await?;
    // Dropping the transaction takes the step back as well.
    if done.rows_affected() != 1 {
        return Ok(false);
    }
    sqlx::query(INSERT_ATTEMPT)
        .bind(&attempt.transaction)
        .bind(&slot.network)
        .bind(&slot.signer)
        .bind(signed(slot.nonce))
        .bind(sealed)
        .bind(attempt.max_fee_wei.to_string())
        .bind(attempt.tip_wei.to_string())
        .execute(&mut *tx)
        .await?;
    tx.commit().await?;
    Ok(true)
}

pub(super) async fn keep_members(
    ledger: &PostgresLedger,
    lease: &Lease,
    slot: &SlotRow,
    keep: &[PaymentKey],
) -> Result<bool, Failure> {
    let mut tx = leases::begin(ledger, lease).await?;
    let done = sqlx::query(SET_KIND)
        .bind(&slot.network)
        .bind(&slot.signer)
        .bind(signed(slot.nonce))
        .bind(slot.kind_with(keep).number())
        .execute(&mut *tx)
        .await?;
    if done.rows_affected() != 1 {
        return Ok(false);
    }
    sqlx::query(KEEP)
        .bind(&slot.network)
        .bind(&slot.signer)
        .bind(signed(slot.nonce))
        .bind(keep.iter().map(|key| key.0.as_slice()).collect::<Vec<_>>())
        .execute(&mut *tx)
        .await?;
    tx.commit().await?;
    Ok(true)
}

/// Returns the payments that moved.
pub(super) async fn acknowledge(
    ledger: &PostgresLedger,
    lease: &Lease,
    slot: &SlotRow,
) -> Result<Vec<PaymentKey>, Failure> {
    let mut tx = leases::begin(ledger, lease).await?;
    let query = sqlx::query(LIVE_MEMBERS).bind(&slot.network).bind(&slot.signer);
    let rows = query.bind(signed(slot.nonce)).fetch_all(&mut *tx).await?;
    let live = rows.iter().map(|row| bytes32(row, "payment_key").map(PaymentKey));
    let live = live.collect::<Result<Vec<_>, _>>()?;
    let moves = (SettlementState::Signed, SettlementState::Broadcast);
    let moved = step_all(&mut tx, LANE, &live, moves, &json!({})).await?;
    tx.commit().await?;
    Ok(moved)
}

/// Returns the payments that are due for a look.
pub(super) async fn close(
    ledger: &PostgresLedger,
    lease: &Lease,
    (network, signer): (&str, &str),
    nonces: &[u64],
) -> Result<Vec<PaymentKey>, Failure> {
    let list: Vec<i64> = nonces.iter().map(|nonce| signed(*nonce)).collect();
    let mut tx = leases::begin(ledger, lease).await?;
    let due = sqlx::query(HURRY).bind(network).bind(signer).bind(&list);
    let due = due.fetch_all(&mut *tx).await?;
    let close = sqlx::query(CLOSE).bind(network).bind(signer).bind(&list);
    close.execute(&mut *tx).await?;
    tx.commit().await?;
    let keys = due.iter().map(|row| bytes32(row, "payment_key").map(PaymentKey));
    Ok(keys.collect::<Result<_, _>>()?)
}

pub(super) async fn reopen(
    ledger: &PostgresLedger,
    lease: &Lease,
    (network, signer): (&str, &str),
    nonces: Range<u64>,
) -> Result<u64, Failure> {
    let mut tx = leases::begin(ledger, lease).await?;
    sqlx::query(ALONE_ON_THE_LANE).bind(network).bind(signer).execute(&mut *tx).await?;
    let mut reopened = 0_u64;
    for sql in [REOPEN, FILL] {
        let query = sqlx::query(sql).bind(network).bind(signer);
        let query = query.bind(signed(nonces.start)).bind(signed(nonces.end));
        let done = query.execute(&mut *tx).await?;
        reopened = reopened.saturating_add(done.rows_affected());
    }
    tx.commit().await?;
    Ok(reopened)
}

/// The payment no longer lives in a slot.
pub(super) async fn leave(
    tx: &mut Transaction<'static, Postgres>,
    key: &PaymentKey,
) -> Result<(), Failure> {
    sqlx::query(LEAVE).bind(key.0.as_slice()).execute(&mut **tx).await?;
    Ok(())
}

/// The slot of the payment's newest transaction: network, signer, nonce.
pub(super) async fn newest(
    tx: &mut Transaction<'static, Postgres>,
    key: &PaymentKey,
) -> Result<Option<(String, String, i64)>, Failure> {
    let row = sqlx::query(NEWEST).bind(key.0.as_slice()).fetch_optional(&mut **tx).await?;
    let Some(row) = row else { return Ok(None) };
    Ok(Some((column(&row, "network")?, column(&row, "signer")?, column(&row, "nonce")?)))
}

/// The payment lives in that slot again.
pub(super) async fn come_back(
    tx: &mut Transaction<'static, Postgres>,
    key: &PaymentKey,
    (network, signer, nonce): &(String, String, i64),
) -> Result<(), Failure> {
    let signed_again = sqlx::query(SIGNED_AGAIN).bind(network).bind(signer).bind(nonce);
    signed_again.execute(&mut **tx).await?;
    let revive = sqlx::query(REVIVE).bind(network).bind(signer).bind(nonce);
    revive.bind(key.0.as_slice()).execute(&mut **tx).await?;
    Ok(())
}

/// A slot without its payments and attempts.
fn slot(row: &PgRow, (network, signer): (&str, &str), nonce: u64) -> Result<SlotRow, LedgerError> {
    let kind: i64 = column(row, "kind")?;
    Ok(SlotRow {
        network: network.to_owned(),
        signer: signer.to_owned(),
        nonce,
        kind: SlotKind::from_number(kind).ok_or(LedgerError::Corrupt { what: "kind" })?,
        members: Vec::new(),
        attempts: Vec::new(),
        age_ms: 0,
    })
}

fn member(row: &PgRow) -> Result<Option<SlotMember>, LedgerError> {
    let key: Option<&[u8]> = column(row, "payment_key")?;
    let live: Option<bool> = column(row, "live")?;
    let (Some(key), Some(live)) = (key, live) else { return Ok(None) };
    let key = key.try_into().map_err(|_| LedgerError::Corrupt { what: "payment_key" })?;
    Ok(Some(SlotMember { key: PaymentKey(key), live }))
}

fn attempt(ledger: &PostgresLedger, row: &PgRow) -> Result<Attempt, LedgerError> {
    let wei = |name: &'static str| {
        let text: &str = column(row, name)?;
        text.parse().map_err(|_| LedgerError::Corrupt { what: name })
    };
    let transaction: String = column(row, "transaction_hash")?;
    let sealed: &[u8] = column(row, "raw")?;
    let raw = ledger.sealer.open(Sealed::Transaction, transaction.as_bytes(), sealed)?;
    Ok(Attempt { transaction, raw, max_fee_wei: wei("max_fee_wei")?, tip_wei: wei("tip_wei")? })
}
