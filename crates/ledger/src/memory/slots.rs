//! Nonce slots of the lanes in memory: one intent for one nonce (U6), one live slot for one
//! payment (U7), signed bytes stored before they leave.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::ops::Range;

use faregate_protocol::PaymentKey;
use serde_json::json;

use super::rows::{Rows, SlotName, StoredSlot};
use super::settlements::SUBJECT;
use super::{MemoryLedger, leases, refused};
use crate::{Attempt, LaneRows, Lease, LedgerError, SettlementState, SlotKind, SlotRow, SlotState};

const LANE: (&str, &str) = ("lane", SUBJECT);

pub(super) fn lane(ledger: &MemoryLedger, network: &str, signer: &str) -> LaneRows {
    let (rows, now) = ledger.open();
    let slots = rows.slots.iter().filter(|(name, _)| (&*name.0, &*name.1) == (network, signer));
    let open = slots.filter(|(_, slot)| slot.state != SlotState::Mined);
    LaneRows {
        open: open.map(|(name, slot)| read(name, slot, now)).collect(),
        next_nonce: next_nonce(&rows, network, signer),
    }
}

pub(super) fn allocate(
    ledger: &MemoryLedger,
    lease: &Lease,
    (network, signer): (&str, &str),
    floor_nonce: u64,
    key: &PaymentKey,
) -> Result<Option<SlotRow>, LedgerError> {
    let (mut rows, now) = leases::begin(ledger, lease)?;
    let reserved =
        rows.settlements.get(key).is_some_and(|row| row.state == SettlementState::Reserved);
    if !reserved || rows.home(key).is_some() {
        return Ok(None);
    }
    let nonce = next_nonce(&rows, network, signer).max(floor_nonce);
    let name = (network.to_owned(), signer.to_owned(), nonce);
    let mut slot = empty(SlotKind::Single);
    slot.items.insert(*key, true);
    let row = read(&name, &slot, now);
    rows.slots.insert(name, slot);
    Ok(Some(row))
}

pub(super) fn record_attempt(
    ledger: &MemoryLedger,
    lease: &Lease,
    slot: &SlotRow,
    attempt: &Attempt,
) -> Result<bool, LedgerError> {
    let (mut rows, now) = leases::begin(ledger, lease)?;
    let name = name_of(slot);
    // A slot is signed only as what it was read as: for this payment, or as a no-op.
    let as_read = rows.slots.get(&name).is_some_and(|stored| {
        let own = slot.key.is_some_and(|key| stored.items.contains_key(&key));
        stored.state != SlotState::Mined
            && stored.kind == slot.kind
            && (stored.kind == SlotKind::NoOp || own)
    });
    if !as_read {
        return Ok(false);
    }
    // The first bytes of a slot are the payment's step to SIGNED; later ones replace them.
    let first_for = slot.key.filter(|_| slot.attempts.is_empty());
    let (from, to) = (SettlementState::Reserved, SettlementState::Signed);
    if let Some(key) = first_for
        && rows.settlements.get(&key).is_none_or(|row| row.state != from)
    {
        return Ok(false);
    }
    let order = rows.attempts_made.len();
    match rows.attempts_made.entry(attempt.transaction.clone()) {
        Entry::Vacant(free) => free.insert(now),
        Entry::Occupied(_) => return Err(refused("attempts.transaction_hash")),
    };
    if let Some(key) = first_for {
        rows.step(now, &key, from, to);
        let evidence = json!({
            "transaction": attempt.transaction, "signer": slot.signer, "nonce": slot.nonce,
        });
        rows.note(now, LANE, &key, (from.name(), to.name()), &evidence);
    }
    if let Some(stored) = rows.slots.get_mut(&name) {
        stored.state = SlotState::Signed;
        stored.attempts.push((order, attempt.clone()));
        stored.signed_at_ms = now;
    }
    Ok(true)
}

pub(super) fn make_no_op(
    ledger: &MemoryLedger,
    lease: &Lease,
    slot: &SlotRow,
) -> Result<bool, LedgerError> {
    let (mut rows, _) = leases::begin(ledger, lease)?;
    let stored = rows.slots.get_mut(&name_of(slot));
    let Some(stored) =
        stored.filter(|stored| stored.state == SlotState::Empty && stored.kind == SlotKind::Single)
    else {
        return Ok(false);
    };
    stored.kind = SlotKind::NoOp;
    stored.items.clear();
    Ok(true)
}

pub(super) fn close(
    ledger: &MemoryLedger,
    lease: &Lease,
    (network, signer): (&str, &str),
    nonces: &[u64],
) -> Result<(), LedgerError> {
    let (mut rows, _) = leases::begin(ledger, lease)?;
    let mut due = Vec::new();
    for nonce in nonces {
        let name = (network.to_owned(), signer.to_owned(), *nonce);
        let Some(slot) = rows.slots.get_mut(&name) else { continue };
        slot.state = SlotState::Mined;
        due.extend(slot.items.iter().filter(|(_, live)| **live).map(|(key, _)| *key));
    }
    for key in &due {
        if let Some(row) = rows.settlements.get_mut(key) {
            row.next_look_ms = 0;
        }
    }
    drop(rows);
    for key in due {
        ledger.tell(key);
    }
    Ok(())
}

pub(super) fn reopen(
    ledger: &MemoryLedger,
    lease: &Lease,
    (network, signer): (&str, &str),
    nonces: Range<u64>,
) -> Result<u64, LedgerError> {
    let (mut rows, _) = leases::begin(ledger, lease)?;
    let mut reopened = 0_u64;
    for nonce in nonces {
        let name = (network.to_owned(), signer.to_owned(), nonce);
        match rows.slots.get_mut(&name) {
            Some(slot) if slot.state == SlotState::Mined => {
                let signed = !slot.attempts.is_empty();
                slot.state = if signed { SlotState::Signed } else { SlotState::Empty };
            }
            Some(_) => continue,
            None => {
                rows.slots.insert(name, empty(SlotKind::NoOp));
            }
        }
        reopened = reopened.saturating_add(1);
    }
    Ok(reopened)
}

fn next_nonce(rows: &Rows, network: &str, signer: &str) -> u64 {
    let of_lane = rows.slots.keys().filter(|name| (&*name.0, &*name.1) == (network, signer));
    of_lane.map(|name| name.2.saturating_add(1)).max().unwrap_or_default()
}

fn empty(kind: SlotKind) -> StoredSlot {
    StoredSlot {
        kind,
        state: SlotState::Empty,
        items: BTreeMap::new(),
        attempts: Vec::new(),
        signed_at_ms: 0,
    }
}

fn name_of(slot: &SlotRow) -> SlotName {
    (slot.network.clone(), slot.signer.clone(), slot.nonce)
}

fn read((network, signer, nonce): &SlotName, slot: &StoredSlot, now: i64) -> SlotRow {
    let item = slot.items.iter().next();
    let age_ms = u64::try_from(now.saturating_sub(slot.signed_at_ms)).unwrap_or_default();
    SlotRow {
        network: network.clone(),
        signer: signer.clone(),
        nonce: *nonce,
        kind: slot.kind,
        key: item.map(|(key, _)| *key),
        live: item.is_some_and(|(_, live)| *live),
        attempts: slot.attempts.iter().map(|(_, attempt)| attempt.clone()).collect(),
        age_ms: if slot.attempts.is_empty() { 0 } else { age_ms },
    }
}
