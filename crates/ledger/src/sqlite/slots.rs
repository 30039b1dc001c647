//! Nonce slots of the lanes on SQLite: one intent for one nonce (U6), one live slot for one
//! payment (U7), signed bytes stored before they leave.

use faregate_protocol::PaymentKey;
use serde_json::{Value, json};
use sqlx::sqlite::{SqliteConnection, SqliteRow};

use super::reservations::step;
use super::settlements::SUBJECT;
use super::{
    SqliteLedger, Turn, bytes32, column, journal, leases, now_ms, signed, unavailable, unsigned,
};
use crate::sealing::Sealed;
use crate::{
    Attempt, LaneRows, Lease, LedgerError, SettlementState, SlotKind, SlotMember, SlotRow,
    SlotState,
};

const ACTOR: &str = "lane";

const FREE: &str = concat!(
    "select 1 from settlements s where s.payment_key = ?1 and s.state = 0 and not exists ",
    "(select 1 from slot_items i where i.payment_key = ?1 and i.live = 1)"
);

const NEXT_NONCE: &str = concat!(
    "select coalesce(max(nonce) + 1, 0) as next from nonce_slots ",
    "where network = ? and signer = ?"
);

const INSERT_SLOT: &str =
    "insert into nonce_slots (network, signer, nonce, kind, state) values (?, ?, ?, ?, ?)";

const INSERT_ITEM: &str =
    "insert into slot_items (network, signer, nonce, payment_key) values (?, ?, ?, ?)";

const INSERT_ATTEMPT: &str = concat!(
    "insert into attempts (transaction_hash, network, signer, nonce, raw, max_fee_wei, tip_wei, ",
    "created_at_ms) values (?, ?, ?, ?, ?, ?, ?, ",
    now_ms!(),
    ")"
);

/// A slot is signed only as what it was read as: for these payments, or as a no-op. Payments only
/// ever leave a slot, so that as many are the same.
const SIGN_SLOT: &str = concat!(
    "update nonce_slots set state = 1 where network = ?1 and signer = ?2 and nonce = ?3 ",
    "and kind = ?4 and state in (0, 1) and (select count(*) from slot_items i ",
    "where i.network = ?1 and i.signer = ?2 and i.nonce = ?3) = ?5"
);

const SET_KIND: &str = concat!(
    "update nonce_slots set kind = ?4 where network = ?1 and signer = ?2 and nonce = ?3 ",
    "and state = 0 and kind <> 2"
);

const KEEP: &str = concat!(
    "delete from slot_items where network = ?1 and signer = ?2 and nonce = ?3 ",
    "and lower(hex(payment_key)) not in (select value from json_each(?4))"
);

const MEMBERS: &str = concat!(
    "select payment_key, live from slot_items where network = ? and signer = ? and nonce = ? ",
    "order by payment_key"
);

const LIVE_MEMBERS: &str = concat!(
    "select payment_key from slot_items where network = ? and signer = ? and nonce = ? ",
    "and live = 1 order by payment_key"
);

const CLOSE: &str = concat!(
    "update nonce_slots set state = 2 where network = ?1 and signer = ?2 and state <> 2 ",
    "and nonce in (select value from json_each(?3))"
);

const HURRY: &str = concat!(
    "update settlements set next_look_ms = 0 where payment_key in (select payment_key from ",
    "slot_items where network = ?1 and signer = ?2 and live = 1 ",
    "and nonce in (select value from json_each(?3))) returning payment_key"
);

const ATTEMPTS: &str = concat!(
    "select *, max(0, ",
    now_ms!(),
    " - created_at_ms) as age_ms from attempts ",
    "where network = ? and signer = ? and nonce = ? order by made_order"
);

const REOPEN: &str = concat!(
    "update nonce_slots as s set state = case when exists (select 1 from attempts a where ",
    "a.network = s.network and a.signer = s.signer and a.nonce = s.nonce) then 1 else 0 end ",
    "where network = ? and signer = ? and nonce = ? and state = 2"
);

pub(super) async fn lane(
    ledger: &SqliteLedger,
    network: &str,
    signer: &str,
) -> Result<LaneRows, LedgerError> {
    let mut tx = ledger.reader.begin().await.map_err(unavailable)?;
    let rows = sqlx::query(
        "select * from nonce_slots where network = ? and signer = ? and state <> 2 order by nonce",
    )
    .bind(network)
    .bind(signer)
    .fetch_all(&mut *tx)
    .await
    .map_err(unavailable)?;
    let mut open = Vec::with_capacity(rows.len());
    for row in &rows {
        open.push(read(ledger, &mut tx, row).await?);
    }
    let next_nonce = next_nonce(&mut tx, network, signer).await?;
    Ok(LaneRows { open, next_nonce })
}

pub(super) async fn allocate(
    ledger: &SqliteLedger,
    lease: &Lease,
    (network, signer): (&str, &str),
    floor_nonce: u64,
    keys: &[PaymentKey],
) -> Result<Option<SlotRow>, LedgerError> {
    let mut tx = leases::begin(ledger, lease).await?;
    let mut members = Vec::with_capacity(keys.len());
    for key in keys {
        let free = sqlx::query(FREE).bind(key.0.as_slice()).fetch_optional(&mut *tx).await;
        if free.map_err(unavailable)?.is_some() {
            members.push(SlotMember { key: *key, live: true });
        }
    }
    if members.is_empty() {
        return Ok(None);
    }
    members.sort_by_key(|member| member.key);
    // A key that is named twice lives there once, as in the other stores.
    members.dedup_by_key(|member| member.key);
    let nonce = next_nonce(&mut tx, network, signer).await?.max(floor_nonce);
    let kind = SlotRow::kind_of(members.len());
    insert_slot(&mut tx, (network, signer), nonce, kind).await?;
    for member in &members {
        sqlx::query(INSERT_ITEM)
            .bind(network)
            .bind(signer)
            .bind(signed(nonce))
            .bind(member.key.0.as_slice())
            .execute(&mut *tx)
            .await
            .map_err(unavailable)?;
    }
    tx.commit().await.map_err(unavailable)?;
    Ok(Some(SlotRow {
        network: network.to_owned(),
        signer: signer.to_owned(),
        nonce,
        kind,
        members,
        attempts: Vec::new(),
        age_ms: 0,
    }))
}

async fn next_nonce(
    tx: &mut SqliteConnection,
    network: &str,
    signer: &str,
) -> Result<u64, LedgerError> {
    let row = sqlx::query(NEXT_NONCE)
        .bind(network)
        .bind(signer)
        .fetch_one(&mut *tx)
        .await
        .map_err(unavailable)?;
    unsigned(&row, "next")
}

async fn insert_slot(
    tx: &mut Turn,
    (network, signer): (&str, &str),
    nonce: u64,
    kind: SlotKind,
) -> Result<(), LedgerError> {
    sqlx::query(INSERT_SLOT)
        .bind(network)
        .bind(signer)
        .bind(signed(nonce))
        .bind(kind.number())
        .bind(SlotState::Empty.number())
        .execute(&mut **tx)
        .await
        .map_err(unavailable)?;
    Ok(())
}

pub(super) async fn record_attempt(
    ledger: &SqliteLedger,
    lease: &Lease,
    slot: &SlotRow,
    attempt: &Attempt,
) -> Result<bool, LedgerError> {
    let row = attempt.transaction.as_bytes();
    let sealed = ledger.sealer.seal(Sealed::Transaction, row, &attempt.raw)?;
    let mut tx = leases::begin(ledger, lease).await?;
    let done = sqlx::query(SIGN_SLOT)
        .bind(&slot.network)
        .bind(&slot.signer)
        .bind(signed(slot.nonce))
        .bind(slot.kind.number())
        .bind(signed(slot.members.len() as u64))
        .execute(&mut *tx)
        .await
        .map_err(unavailable)?;
    if done.rows_affected() != 1 {
        return Ok(false);
    }
    // The first bytes of a slot are its payments' step to SIGNED; later ones replace them.
    let first_for = if slot.attempts.is_empty() { slot.members.as_slice() } else { &[] };
    let (from, to) = (SettlementState::Reserved, SettlementState::Signed);
    let evidence = json!({
        "transaction": attempt.transaction, "signer": slot.signer, "nonce": slot.nonce,
    });
    for member in first_for {
        if !step(&mut tx, &member.key, from, to).await? {
            return Ok(false);
        }
        journal(&mut tx, ACTOR, SUBJECT, &member.key, (from.name(), to.name()), &evidence).await?;
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
        .await
        .map_err(unavailable)?;
    tx.commit().await.map_err(unavailable)?;
    Ok(true)
}

pub(super) async fn keep_members(
    ledger: &SqliteLedger,
    lease: &Lease,
    slot: &SlotRow,
    keep: &[PaymentKey],
) -> Result<bool, LedgerError> {
    let mut tx = leases::begin(ledger, lease).await?;
    let done = sqlx::query(SET_KIND)
        .bind(&slot.network)
        .bind(&slot.signer)
        .bind(signed(slot.nonce))
        .bind(slot.kind_with(keep).number())
        .execute(&mut *tx)
        .await
        .map_err(unavailable)?;
    if done.rows_affected() != 1 {
        return Ok(false);
    }
    let list: Value = keep.iter().map(ToString::to_string).collect();
    sqlx::query(KEEP)
        .bind(&slot.network)
        .bind(&slot.signer)
        .bind(signed(slot.nonce))
        .bind(list.to_string())
        .execute(&mut *tx)
        .await
        .map_err(unavailable)?;
    tx.commit().await.map_err(unavailable)?;
    Ok(true)
}

/// Returns the payments that moved.
pub(super) async fn acknowledge(
    ledger: &SqliteLedger,
    lease: &Lease,
    slot: &SlotRow,
) -> Result<Vec<PaymentKey>, LedgerError> {
    let (from, to) = (SettlementState::Signed, SettlementState::Broadcast);
    let mut tx = leases::begin(ledger, lease).await?;
    let rows = sqlx::query(LIVE_MEMBERS)
        .bind(&slot.network)
        .bind(&slot.signer)
        .bind(signed(slot.nonce))
        .fetch_all(&mut *tx)
        .await
        .map_err(unavailable)?;
    let mut moved = Vec::with_capacity(rows.len());
    for row in &rows {
        let key = PaymentKey(bytes32(row, "payment_key")?);
        if step(&mut tx, &key, from, to).await? {
            let states = (from.name(), to.name());
            journal(&mut tx, ACTOR, SUBJECT, &key, states, &json!({})).await?;
            moved.push(key);
        }
    }
    tx.commit().await.map_err(unavailable)?;
    Ok(moved)
}

pub(super) async fn close(
    ledger: &SqliteLedger,
    lease: &Lease,
    (network, signer): (&str, &str),
    nonces: &[u64],
) -> Result<(), LedgerError> {
    let list: Value = nonces.iter().map(|nonce| signed(*nonce)).collect();
    let mut tx = leases::begin(ledger, lease).await?;
    sqlx::query(CLOSE)
        .bind(network)
        .bind(signer)
        .bind(list.to_string())
        .execute(&mut *tx)
        .await
        .map_err(unavailable)?;
    let due = sqlx::query(HURRY)
        .bind(network)
        .bind(signer)
        .bind(list.to_string())
        .fetch_all(&mut *tx)
        .await
        .map_err(unavailable)?;
    tx.commit().await.map_err(unavailable)?;
    for row in &due {
        ledger.tell(PaymentKey(bytes32(row, "payment_key")?));
    }
    Ok(())
}

pub(super) async fn reopen(
    ledger: &SqliteLedger,
    lease: &Lease,
    lane: (&str, &str),
    nonces: std::ops::Range<u64>,
) -> Result<u64, LedgerError> {
    let mut tx = leases::begin(ledger, lease).await?;
    let mut reopened = 0_u64;
    for nonce in nonces {
        let done = sqlx::query(REOPEN)
            .bind(lane.0)
            .bind(lane.1)
            .bind(signed(nonce))
            .execute(&mut *tx)
            .await
            .map_err(unavailable)?;
        let there =
            sqlx::query("select 1 from nonce_slots where network = ? and signer = ? and nonce = ?")
                .bind(lane.0)
                .bind(lane.1)
                .bind(signed(nonce))
                .fetch_optional(&mut *tx)
                .await
                .map_err(unavailable)?;
        if there.is_none() {
            insert_slot(&mut tx, lane, nonce, SlotKind::NoOp).await?;
            reopened = reopened.saturating_add(1);
        }
        reopened = reopened.saturating_add(done.rows_affected());
    }
    tx.commit().await.map_err(unavailable)?;
    Ok(reopened)
}

async fn read(
    ledger: &SqliteLedger,
    tx: &mut SqliteConnection,
    row: &SqliteRow,
) -> Result<SlotRow, LedgerError> {
    let network: String = column(row, "network")?;
    let signer: String = column(row, "signer")?;
    let nonce: i64 = column(row, "nonce")?;
    let kind: i64 = column(row, "kind")?;
    let items = sqlx::query(MEMBERS)
        .bind(&network)
        .bind(&signer)
        .bind(nonce)
        .fetch_all(&mut *tx)
        .await
        .map_err(unavailable)?;
    let member = |row: &SqliteRow| {
        let live: i64 = column(row, "live")?;
        Ok::<_, LedgerError>(SlotMember {
            key: PaymentKey(bytes32(row, "payment_key")?),
            live: live != 0,
        })
    };
    let rows = sqlx::query(ATTEMPTS)
        .bind(&network)
        .bind(&signer)
        .bind(nonce)
        .fetch_all(&mut *tx)
        .await
        .map_err(unavailable)?;
    Ok(SlotRow {
        network,
        signer,
        nonce: nonce.try_into().map_err(|_| LedgerError::Corrupt { what: "nonce" })?,
        kind: SlotKind::from_number(kind).ok_or(LedgerError::Corrupt { what: "kind" })?,
        members: items.iter().map(member).collect::<Result<_, _>>()?,
        attempts: rows.iter().map(|row| attempt(ledger, row)).collect::<Result<_, _>>()?,
        age_ms: rows.last().map_or(Ok(0), |newest| unsigned(newest, "age_ms"))?,
    })
}

fn attempt(ledger: &SqliteLedger, row: &SqliteRow) -> Result<Attempt, LedgerError> {
    let wei = |name: &'static str| {
        let text: &str = column(row, name)?;
        text.parse().map_err(|_| LedgerError::Corrupt { what: name })
    };
    let transaction: String = column(row, "transaction_hash")?;
    let sealed: &[u8] = column(row, "raw")?;
    let raw = ledger.sealer.open(Sealed::Transaction, transaction.as_bytes(), sealed)?;
    Ok(Attempt { transaction, raw, max_fee_wei: wei("max_fee_wei")?, tip_wei: wei("tip_wei")? })
}
