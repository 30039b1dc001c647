//! Nonce slots of the lanes on SQLite: one intent for one nonce (U6), one live slot for one
//! payment (U7), signed bytes stored before they leave.

use std::sync::Arc;

use faregate_protocol::PaymentKey;
use rusqlite::{Connection, Row, params};
use serde_json::{Value, json};

use super::asking::Turn;
use super::reservations::step;
use super::settlements::SUBJECT;
use super::statements::{
    all, blob, bytes32, column, exactly_one, journal, now_ms, one, run, signed, unsigned,
};
use super::{SqliteLedger, leases};
use crate::sealing::{Sealed, Sealer};
use crate::{
    Attempt, Change, LaneRows, Lease, LedgerError, SettlementState, SlotKind, SlotMember, SlotRow,
    SlotState,
};

const ACTOR: &str = "lane";

const OPEN: &str =
    "select * from nonce_slots where network = ? and signer = ? and state <> 2 order by nonce";

const THERE: &str = "select 1 from nonce_slots where network = ? and signer = ? and nonce = ?";

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
    let (network, signer) = (network.to_owned(), signer.to_owned());
    let sealer = Arc::clone(&ledger.sealer);
    ledger
        .read(move |on| {
            let open = all(on, OPEN, params![network, signer], |row| read(&sealer, on, row))?;
            Ok(LaneRows { open, next_nonce: next_nonce(on, &network, &signer)? })
        })
        .await
}

pub(super) async fn allocate(
    ledger: &SqliteLedger,
    lease: &Lease,
    (network, signer): (&str, &str),
    floor_nonce: u64,
    keys: &[PaymentKey],
) -> Result<Option<SlotRow>, LedgerError> {
    let (network, signer, keys) = (network.to_owned(), signer.to_owned(), keys.to_vec());
    let allocate = move |tx: &Connection| {
        let mut members = Vec::with_capacity(keys.len());
        for key in &keys {
            if one(tx, FREE, params![key.0.as_slice()], |_| Ok(()))?.is_some() {
                members.push(SlotMember { key: *key, live: true });
            }
        }
        if members.is_empty() {
            return Ok(Turn::TakenBack(None));
        }
        members.sort_by_key(|member| member.key);
        // A key that is named twice lives there once, as in the other stores.
        members.dedup_by_key(|member| member.key);
        let nonce = next_nonce(tx, &network, &signer)?.max(floor_nonce);
        let kind = SlotRow::kind_of(members.len());
        insert_slot(tx, (&network, &signer), nonce, kind)?;
        for member in &members {
            let key = member.key.0.as_slice();
            run(tx, INSERT_ITEM, params![network, signer, signed(nonce), key])?;
        }
        let attempts = Vec::new();
        let (network, signer) = (network.clone(), signer.clone());
        Ok(Turn::Kept(Some(SlotRow { network, signer, nonce, kind, members, attempts, age_ms: 0 })))
    };
    leases::write(ledger, lease, allocate).await
}

fn next_nonce(on: &Connection, network: &str, signer: &str) -> Result<u64, LedgerError> {
    exactly_one(on, NEXT_NONCE, params![network, signer], |row| unsigned(row, "next"))
}

fn insert_slot(
    tx: &Connection,
    (network, signer): (&str, &str),
    nonce: u64,
    kind: SlotKind,
) -> Result<(), LedgerError> {
    let empty = SlotState::Empty.number();
    run(tx, INSERT_SLOT, params![network, signer, signed(nonce), kind.number(), empty]).map(|_| ())
}

pub(super) async fn record_attempt(
    ledger: &SqliteLedger,
    lease: &Lease,
    slot: &SlotRow,
    attempt: &Attempt,
) -> Result<bool, LedgerError> {
    let row = attempt.transaction.as_bytes();
    let sealed = ledger.sealer.seal(Sealed::Transaction, row, &attempt.raw)?;
    let (slot, transaction) = (slot.clone(), attempt.transaction.clone());
    let (max_fee_wei, tip_wei) = (attempt.max_fee_wei.to_string(), attempt.tip_wei.to_string());
    let record = move |tx: &Connection| {
        let SlotRow { network, signer, .. } = &slot;
        let (nonce, count) = (signed(slot.nonce), signed(slot.members.len() as u64));
        if run(tx, SIGN_SLOT, params![network, signer, nonce, slot.kind.number(), count])? != 1 {
            return Ok(Turn::TakenBack(false));
        }
        // The first bytes of a slot are its payments' step to SIGNED; later ones replace them.
        let first_for = if slot.attempts.is_empty() { slot.members.as_slice() } else { &[] };
        let (from, to) = (SettlementState::Reserved, SettlementState::Signed);
        let evidence = json!({ "transaction": transaction, "signer": signer, "nonce": slot.nonce });
        for member in first_for {
            if !step(tx, &member.key, from, to)? {
                return Ok(Turn::TakenBack(false));
            }
            journal(tx, ACTOR, SUBJECT, &member.key, (from.name(), to.name()), &evidence)?;
        }
        let values = params![transaction, network, signer, nonce, sealed, max_fee_wei, tip_wei];
        run(tx, INSERT_ATTEMPT, values)?;
        Ok(Turn::Kept(true))
    };
    leases::write(ledger, lease, record).await
}

pub(super) async fn keep_members(
    ledger: &SqliteLedger,
    lease: &Lease,
    slot: &SlotRow,
    keep: &[PaymentKey],
) -> Result<bool, LedgerError> {
    let (network, signer, nonce) = (slot.network.clone(), slot.signer.clone(), signed(slot.nonce));
    let kind = slot.kind_with(keep).number();
    let list: Value = keep.iter().map(ToString::to_string).collect();
    leases::write(ledger, lease, move |tx| {
        if run(tx, SET_KIND, params![network, signer, nonce, kind])? != 1 {
            return Ok(Turn::TakenBack(false));
        }
        run(tx, KEEP, params![network, signer, nonce, list.to_string()])?;
        Ok(Turn::Kept(true))
    })
    .await
}

/// Returns the payments that moved.
pub(super) async fn acknowledge(
    ledger: &SqliteLedger,
    lease: &Lease,
    slot: &SlotRow,
) -> Result<Vec<PaymentKey>, LedgerError> {
    let (from, to) = (SettlementState::Signed, SettlementState::Broadcast);
    let (network, signer, nonce) = (slot.network.clone(), slot.signer.clone(), signed(slot.nonce));
    leases::write(ledger, lease, move |tx| {
        let live = all(tx, LIVE_MEMBERS, params![network, signer, nonce], key)?;
        let mut moved = Vec::with_capacity(live.len());
        for key in live {
            if step(tx, &key, from, to)? {
                journal(tx, ACTOR, SUBJECT, &key, (from.name(), to.name()), &json!({}))?;
                moved.push(key);
            }
        }
        Ok(Turn::Kept(moved))
    })
    .await
}

pub(super) async fn close(
    ledger: &SqliteLedger,
    lease: &Lease,
    (network, signer): (&str, &str),
    nonces: &[u64],
) -> Result<(), LedgerError> {
    let list: Value = nonces.iter().map(|nonce| signed(*nonce)).collect();
    let (network, signer) = (network.to_owned(), signer.to_owned());
    let close = move |tx: &Connection| {
        run(tx, CLOSE, params![network, signer, list.to_string()])?;
        all(tx, HURRY, params![network, signer, list.to_string()], key).map(Turn::Kept)
    };
    if let Some(first) = leases::write(ledger, lease, close).await?.first() {
        ledger.tell(*first, Change::Due);
    }
    Ok(())
}

pub(super) async fn reopen(
    ledger: &SqliteLedger,
    lease: &Lease,
    (network, signer): (&str, &str),
    nonces: std::ops::Range<u64>,
) -> Result<u64, LedgerError> {
    let (network, signer) = (network.to_owned(), signer.to_owned());
    let reopened = leases::write(ledger, lease, move |tx| {
        let mut reopened = 0_usize;
        for nonce in nonces.clone() {
            let of_one = params![network, signer, signed(nonce)];
            let done = run(tx, REOPEN, of_one)?;
            if one(tx, THERE, of_one, |_| Ok(()))?.is_none() {
                insert_slot(tx, (&network, &signer), nonce, SlotKind::NoOp)?;
                reopened = reopened.saturating_add(1);
            }
            reopened = reopened.saturating_add(done);
        }
        Ok(Turn::Kept(reopened))
    });
    Ok(u64::try_from(reopened.await?).unwrap_or(u64::MAX))
}

fn key(row: &Row<'_>) -> Result<PaymentKey, LedgerError> {
    bytes32(row, "payment_key").map(PaymentKey)
}

fn read(sealer: &Sealer, on: &Connection, row: &Row<'_>) -> Result<SlotRow, LedgerError> {
    let network: String = column(row, "network")?;
    let signer: String = column(row, "signer")?;
    let nonce: i64 = column(row, "nonce")?;
    let kind: i64 = column(row, "kind")?;
    let members = all(on, MEMBERS, params![network, signer, nonce], |row| {
        Ok(SlotMember { key: key(row)?, live: column::<i64>(row, "live")? != 0 })
    })?;
    let mut age_ms = 0;
    let attempts = all(on, ATTEMPTS, params![network, signer, nonce], |row| {
        // That of the newest stays.
        age_ms = unsigned(row, "age_ms")?;
        attempt(sealer, row)
    })?;
    Ok(SlotRow {
        network,
        signer,
        nonce: nonce.try_into().map_err(|_| LedgerError::Corrupt { what: "nonce" })?,
        kind: SlotKind::from_number(kind).ok_or(LedgerError::Corrupt { what: "kind" })?,
        members,
        attempts,
        age_ms,
    })
}

fn attempt(sealer: &Sealer, row: &Row<'_>) -> Result<Attempt, LedgerError> {
    let wei = |name: &'static str| {
        let text: String = column(row, name)?;
        text.parse().map_err(|_| LedgerError::Corrupt { what: name })
    };
    let transaction: String = column(row, "transaction_hash")?;
    let raw = sealer.open(Sealed::Transaction, transaction.as_bytes(), blob(row, "raw")?)?;
    Ok(Attempt { transaction, raw, max_fee_wei: wei("max_fee_wei")?, tip_wei: wei("tip_wei")? })
}
