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
use crate::{
    Attempt, Change, LaneRows, Lease, LedgerError, SettlementState, SlotKind, SlotMember, SlotRow,
    SlotState,
};

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
    keys: &[PaymentKey],
) -> Result<Option<SlotRow>, LedgerError> {
    let (mut rows, now) = leases::begin(ledger, lease)?;
    let is_free = |key: &&PaymentKey| {
        let row = rows.settlements.get(*key);
        row.is_some_and(|row| row.state == SettlementState::Reserved) && rows.home(key).is_none()
    };
    let free: BTreeMap<_, _> = keys.iter().filter(is_free).map(|key| (*key, true)).collect();
    if free.is_empty() {
        return Ok(None);
    }
    let nonce = next_nonce(&rows, network, signer).max(floor_nonce);
    let name = (network.to_owned(), signer.to_owned(), nonce);
    let mut slot = empty(SlotRow::kind_of(free.len()));
    slot.items = free;
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
    // A slot is signed only as what it was read as: for these payments, or as a no-op.
    let as_read = rows.slots.get(&name).is_some_and(|stored| {
        stored.state != SlotState::Mined
            && stored.kind == slot.kind
            && stored.items.keys().eq(slot.members.iter().map(|member| &member.key))
    });
    if !as_read {
        return Ok(false);
    }
    // The first bytes of a slot are its payments' step to SIGNED; later ones replace them.
    let first_for = if slot.attempts.is_empty() { slot.members.as_slice() } else { &[] };
    let (from, to) = (SettlementState::Reserved, SettlementState::Signed);
    let is_reserved =
        |key: &PaymentKey| rows.settlements.get(key).is_some_and(|row| row.state == from);
    if !first_for.iter().all(|member| is_reserved(&member.key)) {
        return Ok(false);
    }
    let order = rows.attempts_made.len();
    match rows.attempts_made.entry(attempt.transaction.clone()) {
        Entry::Vacant(free) => free.insert(now),
        Entry::Occupied(_) => return Err(refused("attempts.transaction_hash")),
    };
    let evidence = json!({
        "transaction": attempt.transaction, "signer": slot.signer, "nonce": slot.nonce,
    });
    for member in first_for {
        rows.step(now, &member.key, from, to);
        rows.note(now, LANE, &member.key, (from.name(), to.name()), &evidence);
    }
    if let Some(stored) = rows.slots.get_mut(&name) {
        stored.state = SlotState::Signed;
        stored.attempts.push((order, attempt.clone()));
        stored.signed_at_ms = now;
    }
    Ok(true)
}

pub(super) fn keep_members(
    ledger: &MemoryLedger,
    lease: &Lease,
    slot: &SlotRow,
    keep: &[PaymentKey],
) -> Result<bool, LedgerError> {
    let (mut rows, _) = leases::begin(ledger, lease)?;
    let stored = rows.slots.get_mut(&name_of(slot));
    let Some(stored) =
        stored.filter(|stored| stored.state == SlotState::Empty && stored.kind != SlotKind::NoOp)
    else {
        return Ok(false);
    };
    stored.items.retain(|key, _| keep.contains(key));
    stored.kind = SlotRow::kind_of(stored.items.len());
    Ok(true)
}

pub(super) fn acknowledge(
    ledger: &MemoryLedger,
    lease: &Lease,
    slot: &SlotRow,
) -> Result<(), LedgerError> {
    let (from, to) = (SettlementState::Signed, SettlementState::Broadcast);
    let (mut rows, now) = leases::begin(ledger, lease)?;
    let Some(stored) = rows.slots.get(&name_of(slot)) else { return Ok(()) };
    let live = stored.items.iter().filter(|(_, live)| **live);
    let mut moved: Vec<_> = live.map(|(key, _)| *key).collect();
    moved.retain(|key| rows.step(now, key, from, to));
    for key in &moved {
        rows.note(now, LANE, key, (from.name(), to.name()), &json!({}));
    }
    drop(rows);
    if let Some(first) = moved.first() {
        ledger.tell(*first, Change::Sent);
    }
    Ok(())
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
    if let Some(first) = due.first() {
        ledger.tell(*first, Change::Due);
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
    let age_ms = u64::try_from(now.saturating_sub(slot.signed_at_ms)).unwrap_or_default();
    SlotRow {
        network: network.clone(),
        signer: signer.clone(),
        nonce: *nonce,
        kind: slot.kind,
        members: slot
            .items
            .iter()
            .map(|(key, live)| SlotMember { key: *key, live: *live })
            .collect(),
        attempts: slot.attempts.iter().map(|(_, attempt)| attempt.clone()).collect(),
        age_ms: if slot.attempts.is_empty() { 0 } else { age_ms },
    }
}
