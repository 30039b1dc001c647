//! Nonce slots of the lanes on SQLite: one intent for one nonce (U6), one live slot for one
//! payment (U7), signed bytes stored before they leave.

use faregate_protocol::PaymentKey;
use serde_json::json;
use sqlx::sqlite::SqliteRow;
use sqlx::{Row, Sqlite, Transaction};

use super::settlements::{SUBJECT, step};
use super::{SqliteLedger, column, journal, now_ms, signed, unavailable, unsigned};
use crate::{Attempt, LedgerError, SettlementState, SlotKind, SlotRow, SlotState};

const ACTOR: &str = "lane";

const LIVE_SLOT: &str = concat!(
    "select s.* from slot_items i join nonce_slots s using (network, signer, nonce) ",
    "where i.payment_key = ? and i.live = 1"
);

const NEXT_NONCE: &str = concat!(
    "select max(?, coalesce(max(nonce) + 1, 0)) as next from nonce_slots ",
    "where network = ? and signer = ?"
);

const INSERT_ATTEMPT: &str = concat!(
    "insert into attempts (transaction_hash, network, signer, nonce, raw, max_fee_wei, tip_wei, ",
    "created_at_ms) values (?, ?, ?, ?, ?, ?, ?, ",
    now_ms!(),
    ")"
);

const SET_SLOT: &str =
    "update nonce_slots set state = ?, kind = ? where network = ? and signer = ? and nonce = ?";

const COME_BACK: &str = concat!(
    "update slot_items set live = 1 where payment_key = ?1 and nonce = ",
    "(select max(nonce) from slot_items where payment_key = ?1)"
);

const REOPEN: &str = concat!(
    "update nonce_slots set state = 1 where (network, signer, nonce) in ",
    "(select network, signer, nonce from slot_items where payment_key = ? and live = 1)"
);

pub(super) async fn allocate(
    ledger: &SqliteLedger,
    network: &str,
    signer: &str,
    floor_nonce: u64,
    key: &PaymentKey,
) -> Result<SlotRow, LedgerError> {
    let mut tx = ledger.begin().await?;
    let live = sqlx::query(LIVE_SLOT)
        .bind(key.0.as_slice())
        .fetch_optional(&mut *tx)
        .await
        .map_err(unavailable)?;
    if let Some(row) = live {
        return read(&mut tx, &row).await;
    }
    let row = sqlx::query(NEXT_NONCE)
        .bind(signed(floor_nonce))
        .bind(network)
        .bind(signer)
        .fetch_one(&mut *tx)
        .await
        .map_err(unavailable)?;
    let nonce = unsigned(&row, "next")?;
    sqlx::query(
        "insert into nonce_slots (network, signer, nonce, kind, state) values (?, ?, ?, ?, ?)",
    )
    .bind(network)
    .bind(signer)
    .bind(signed(nonce))
    .bind(SlotKind::Single.number())
    .bind(SlotState::Empty.number())
    .execute(&mut *tx)
    .await
    .map_err(unavailable)?;
    sqlx::query("insert into slot_items (network, signer, nonce, payment_key) values (?, ?, ?, ?)")
        .bind(network)
        .bind(signer)
        .bind(signed(nonce))
        .bind(key.0.as_slice())
        .execute(&mut *tx)
        .await
        .map_err(unavailable)?;
    tx.commit().await.map_err(unavailable)?;
    Ok(SlotRow {
        network: network.to_owned(),
        signer: signer.to_owned(),
        nonce,
        kind: SlotKind::Single,
        live_key: Some(*key),
        attempts: Vec::new(),
    })
}

pub(super) async fn record_attempt(
    ledger: &SqliteLedger,
    slot: &SlotRow,
    attempt: &Attempt,
) -> Result<(), LedgerError> {
    let mut tx = ledger.begin().await?;
    sqlx::query(INSERT_ATTEMPT)
        .bind(&attempt.transaction)
        .bind(&slot.network)
        .bind(&slot.signer)
        .bind(signed(slot.nonce))
        .bind(&attempt.raw)
        .bind(attempt.max_fee_wei.to_string())
        .bind(attempt.tip_wei.to_string())
        .execute(&mut *tx)
        .await
        .map_err(unavailable)?;
    set(&mut tx, slot, SlotState::Signed, slot.kind).await?;
    if let Some(key) = slot.live_key {
        let (from, to) = (SettlementState::Reserved, SettlementState::Signed);
        if step(&mut tx, &key, from, to).await? {
            let evidence = json!({
                "transaction": attempt.transaction, "signer": slot.signer, "nonce": slot.nonce,
            });
            journal(&mut tx, ACTOR, SUBJECT, &key, (from.name(), to.name()), &evidence).await?;
        }
    }
    tx.commit().await.map_err(unavailable)
}

pub(super) async fn make_no_op(ledger: &SqliteLedger, slot: &SlotRow) -> Result<(), LedgerError> {
    let mut tx = ledger.begin().await?;
    if let Some(key) = slot.live_key {
        leave(&mut tx, &key).await?;
    }
    set(&mut tx, slot, SlotState::Empty, SlotKind::NoOp).await?;
    tx.commit().await.map_err(unavailable)
}

pub(super) async fn open(
    ledger: &SqliteLedger,
    network: &str,
    signer: &str,
) -> Result<Vec<SlotRow>, LedgerError> {
    let mut tx = ledger.reader.begin().await.map_err(unavailable)?;
    let rows = sqlx::query(
        "select * from nonce_slots where network = ? and signer = ? and state <> 2 order by nonce",
    )
    .bind(network)
    .bind(signer)
    .fetch_all(&mut *tx)
    .await
    .map_err(unavailable)?;
    let mut slots = Vec::with_capacity(rows.len());
    for row in &rows {
        slots.push(read(&mut tx, row).await?);
    }
    Ok(slots)
}

pub(super) async fn close_below(
    ledger: &SqliteLedger,
    network: &str,
    signer: &str,
    mined_nonce: u64,
) -> Result<u64, LedgerError> {
    let done = sqlx::query(
        "update nonce_slots set state = 2 where network = ? and signer = ? and nonce < ? and state <> 2",
    )
    .bind(network)
    .bind(signer)
    .bind(signed(mined_nonce))
    .execute(&ledger.writer)
    .await
    .map_err(unavailable)?;
    Ok(done.rows_affected())
}

/// The payment no longer lives in a slot.
pub(super) async fn leave(
    tx: &mut Transaction<'static, Sqlite>,
    key: &PaymentKey,
) -> Result<(), LedgerError> {
    sqlx::query("update slot_items set live = 0 where payment_key = ? and live = 1")
        .bind(key.0.as_slice())
        .execute(&mut **tx)
        .await
        .map_err(unavailable)?;
    Ok(())
}

/// After a reorganisation the payment lives in its last slot again.
pub(super) async fn come_back(
    tx: &mut Transaction<'static, Sqlite>,
    key: &PaymentKey,
) -> Result<(), LedgerError> {
    sqlx::query(COME_BACK).bind(key.0.as_slice()).execute(&mut **tx).await.map_err(unavailable)?;
    sqlx::query(REOPEN).bind(key.0.as_slice()).execute(&mut **tx).await.map_err(unavailable)?;
    Ok(())
}

async fn set(
    tx: &mut Transaction<'static, Sqlite>,
    slot: &SlotRow,
    state: SlotState,
    kind: SlotKind,
) -> Result<(), LedgerError> {
    sqlx::query(SET_SLOT)
        .bind(state.number())
        .bind(kind.number())
        .bind(&slot.network)
        .bind(&slot.signer)
        .bind(signed(slot.nonce))
        .execute(&mut **tx)
        .await
        .map_err(unavailable)?;
    Ok(())
}

async fn read(
    tx: &mut Transaction<'static, Sqlite>,
    row: &SqliteRow,
) -> Result<SlotRow, LedgerError> {
    let network: String = column(row, "network")?;
    let signer: String = column(row, "signer")?;
    let nonce: i64 = column(row, "nonce")?;
    let kind: i64 = column(row, "kind")?;
    let live = sqlx::query(
        "select payment_key from slot_items where network = ? and signer = ? and nonce = ? and live = 1",
    )
    .bind(&network)
    .bind(&signer)
    .bind(nonce)
    .fetch_optional(&mut **tx)
    .await
    .map_err(unavailable)?;
    let live_key =
        live.map(|row| super::bytes32(&row, "payment_key").map(PaymentKey)).transpose()?;
    let rows = sqlx::query(
        "select * from attempts where network = ? and signer = ? and nonce = ? order by made_order",
    )
    .bind(&network)
    .bind(&signer)
    .bind(nonce)
    .fetch_all(&mut **tx)
    .await
    .map_err(unavailable)?;
    Ok(SlotRow {
        network,
        signer,
        nonce: nonce.try_into().map_err(|_| LedgerError::Corrupt { what: "nonce" })?,
        kind: SlotKind::from_number(kind).ok_or(LedgerError::Corrupt { what: "kind" })?,
        live_key,
        attempts: rows.iter().map(attempt).collect::<Result<_, _>>()?,
    })
}

fn attempt(row: &SqliteRow) -> Result<Attempt, LedgerError> {
    let wei = |name: &'static str| {
        let text: &str = column(row, name)?;
        text.parse().map_err(|_| LedgerError::Corrupt { what: name })
    };
    Ok(Attempt {
        transaction: column(row, "transaction_hash")?,
        raw: row.try_get::<Vec<u8>, _>("raw").map_err(unavailable)?,
        max_fee_wei: wei("max_fee_wei")?,
        tip_wei: wei("tip_wei")?,
    })
}
