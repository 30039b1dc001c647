//! The engine's side of the ledger in memory: reservations, moves, reads. Nonce slots stand in
//! `slots.rs`, leases in `leases.rs`.

use async_trait::async_trait;
use faregate_protocol::PaymentKey;
use serde_json::{Value, json};
use tokio::sync::broadcast;
use uuid::Uuid;

use super::rows::{Rows, SettlementRow};
use super::{MemoryLedger, clamped, leases, proofs, refused, slots, stored};
use crate::{
    Attempt, Change, EvidenceRow, Hint, LaneRows, Lease, LedgerError, NewSettlement, Proven,
    Reserved, Settlement, SettlementState, SettlementStore, SlotRow, SlotState,
};

pub(super) const SUBJECT: &str = "settlement";
pub(super) const RECONCILER: (&str, &str) = ("reconciler", SUBJECT);
const LANE: (&str, &str) = ("lane", SUBJECT);
const API: (&str, &str) = ("api", SUBJECT);
const OPERATOR: (&str, &str) = ("operator", SUBJECT);
const MS_PER_SECOND: i64 = 1000;

#[async_trait]
impl SettlementStore for MemoryLedger {
    async fn lease(
        &self,
        name: &str,
        owner: Uuid,
        ttl_ms: u64,
    ) -> Result<Option<Lease>, LedgerError> {
        Ok(leases::take(self, name, owner, ttl_ms))
    }

    async fn give_up(&self, lease: &Lease) -> Result<(), LedgerError> {
        leases::give_up(self, lease);
        Ok(())
    }

    async fn reserve(&self, new: &NewSettlement, wait_ms: u64) -> Result<Reserved, LedgerError> {
        let outcome = reserve(self, new, wait_ms)?;
        if matches!(outcome, Reserved::New(_)) {
            self.tell(new.key, Change::Wanted);
        }
        Ok(outcome)
    }

    async fn want(&self, key: &PaymentKey, wait_ms: u64) -> Result<(), LedgerError> {
        {
            let (mut rows, now) = self.open();
            if let Some(row) = rows.settlements.get_mut(key) {
                let until = now.saturating_add(stored(wait_ms));
                row.wanted_until_ms = row.wanted_until_ms.max(until);
            }
            let (from, to) = (SettlementState::Dormant, SettlementState::Reserved);
            if rows.step(now, key, from, to) {
                let evidence = json!({ "asked_again": true });
                rows.note(now, API, key, (from.name(), to.name()), &evidence);
            }
        }
        self.tell(*key, Change::Wanted);
        Ok(())
    }

    async fn find_settlement(&self, key: &PaymentKey) -> Result<Option<Settlement>, LedgerError> {
        let (rows, now) = self.open();
        Ok(rows.settlements.get(key).map(|row| read(&rows, row, now)))
    }

    async fn wanted(
        &self,
        network: &str,
        ends_after: u64,
        limit: u32,
    ) -> Result<Vec<Settlement>, LedgerError> {
        let (rows, now) = self.open();
        let wanted = |row: &SettlementRow| {
            row.state == SettlementState::Reserved
                && row.wanted_until_ms > now
                && row.new.valid_before > ends_after
                && rows.home(&row.new.key).is_none()
        };
        Ok(list(&rows, now, network, limit, wanted, |row| {
            (stored(row.new.valid_before), row.created_at_ms)
        }))
    }

    async fn due(
        &self,
        network: &str,
        quiet_ms: u64,
        limit: u32,
    ) -> Result<Vec<Settlement>, LedgerError> {
        let (rows, now) = self.open();
        let quiet_since = now.saturating_sub(stored(quiet_ms));
        let due = |row: &SettlementRow| {
            !row.state.is_end()
                && row.next_look_ms <= now
                && (row.next_look_ms == 0 || row.updated_at_ms <= quiet_since)
        };
        let order = |row: &SettlementRow| (row.state == SettlementState::Mined, row.next_look_ms);
        Ok(list(&rows, now, network, limit, due, order))
    }

    async fn carried_by(
        &self,
        network: &str,
        transactions: &[String],
        limit: u32,
    ) -> Result<Vec<Settlement>, LedgerError> {
        let (rows, now) = self.open();
        let carried = |row: &SettlementRow| {
            let sent = rows.transactions(&row.new.key);
            proofs::is_in_flight(row) && sent.iter().any(|hash| transactions.contains(hash))
        };
        Ok(list(&rows, now, network, limit, carried, |row| rows.home_nonce(&row.new.key)))
    }

    async fn in_flight(&self, network: &str) -> Result<u64, LedgerError> {
        Ok(proofs::in_flight(self, network))
    }

    async fn looked(
        &self,
        lease: &Lease,
        keys: &[PaymentKey],
        next_in_ms: u64,
    ) -> Result<(), LedgerError> {
        proofs::looked(self, lease, keys, next_in_ms)
    }

    async fn unresolved(&self, network: &str) -> Result<u64, LedgerError> {
        let (rows, _) = self.open();
        let open = rows.settlements.values().filter(|row| {
            row.new.network == network && !row.state.is_end() && !row.state.is_paid()
        });
        Ok(u64::try_from(open.count()).unwrap_or(u64::MAX))
    }

    async fn lane(&self, network: &str, signer: &str) -> Result<LaneRows, LedgerError> {
        Ok(slots::lane(self, network, signer))
    }

    async fn allocate_slot(
        &self,
        lease: &Lease,
        network: &str,
        signer: &str,
        floor_nonce: u64,
        keys: &[PaymentKey],
    ) -> Result<Option<SlotRow>, LedgerError> {
        slots::allocate(self, lease, (network, signer), floor_nonce, keys)
    }

    async fn record_attempt(
        &self,
        lease: &Lease,
        slot: &SlotRow,
        attempt: &Attempt,
    ) -> Result<bool, LedgerError> {
        slots::record_attempt(self, lease, slot, attempt)
    }

    async fn keep_members(
        &self,
        lease: &Lease,
        slot: &SlotRow,
        keep: &[PaymentKey],
    ) -> Result<bool, LedgerError> {
        slots::keep_members(self, lease, slot, keep)
    }

    async fn acknowledge(&self, lease: &Lease, slot: &SlotRow) -> Result<(), LedgerError> {
        slots::acknowledge(self, lease, slot)
    }

    async fn close_slots(
        &self,
        lease: &Lease,
        network: &str,
        signer: &str,
        nonces: &[u64],
    ) -> Result<(), LedgerError> {
        slots::close(self, lease, (network, signer), nonces)
    }

    async fn reopen_slots(
        &self,
        lease: &Lease,
        network: &str,
        signer: &str,
        from: u64,
        to: u64,
    ) -> Result<u64, LedgerError> {
        slots::reopen(self, lease, (network, signer), from..to)
    }

    async fn move_settlement(
        &self,
        lease: &Lease,
        key: &PaymentKey,
        from: SettlementState,
        to: SettlementState,
        evidence: Value,
    ) -> Result<bool, LedgerError> {
        if !from.may_become_bare(to) {
            return Err(LedgerError::IllegalMove { from: from.name(), to: to.name() });
        }
        {
            let (mut rows, now) = leases::begin(self, lease)?;
            if !rows.step(now, key, from, to) {
                return Ok(false);
            }
            use SettlementState::{Dead, Quarantined, Reserved};
            if matches!(to, Reserved | Dead | Quarantined) {
                rows.leave(key);
            }
            let who = if to == SettlementState::Broadcast { LANE } else { RECONCILER };
            rows.note(now, who, key, (from.name(), to.name()), &evidence);
        }
        self.tell(*key, Change::of_move(to));
        Ok(true)
    }

    async fn record_mined(
        &self,
        lease: &Lease,
        key: &PaymentKey,
        from: SettlementState,
        proof: &EvidenceRow,
    ) -> Result<bool, LedgerError> {
        let to = SettlementState::Mined;
        if !from.may_become(to) {
            return Err(LedgerError::IllegalMove { from: from.name(), to: to.name() });
        }
        let one = Proven { key: *key, from, evidence: proof.clone() };
        Ok(!self.record_all_mined(lease, &[one]).await?.is_empty())
    }

    async fn record_all_mined(
        &self,
        lease: &Lease,
        all: &[Proven],
    ) -> Result<Vec<PaymentKey>, LedgerError> {
        let moved = proofs::record(self, lease, all)?;
        for key in &moved {
            self.tell(*key, Change::Outcome);
        }
        Ok(moved)
    }

    async fn record_all_final(
        &self,
        lease: &Lease,
        keys: &[PaymentKey],
        finalized: u64,
    ) -> Result<Vec<PaymentKey>, LedgerError> {
        let moved = proofs::finalise(self, lease, keys, finalized)?;
        for key in &moved {
            self.tell(*key, Change::Outcome);
        }
        Ok(moved)
    }

    async fn undo_mined(&self, lease: &Lease, key: &PaymentKey) -> Result<bool, LedgerError> {
        let moved = undo(self, lease, key)?;
        if moved {
            self.tell(*key, Change::Wanted);
        }
        Ok(moved)
    }

    async fn retry_quarantined(&self, key: &PaymentKey) -> Result<bool, LedgerError> {
        {
            let (mut rows, now) = self.open();
            let (from, to) = (SettlementState::Quarantined, SettlementState::Reserved);
            if !rows.step(now, key, from, to) {
                return Ok(false);
            }
            if let Some(row) = rows.settlements.get_mut(key) {
                row.tries = 0;
                row.wanted_until_ms = end_of_validity(row);
            }
            let evidence = json!({ "retried": true });
            rows.note(now, OPERATOR, key, (from.name(), to.name()), &evidence);
        }
        self.tell(*key, Change::Wanted);
        Ok(true)
    }

    async fn count_try(&self, key: &PaymentKey) -> Result<i64, LedgerError> {
        let (mut rows, _) = self.open();
        let row = rows.settlements.get_mut(key).ok_or_else(|| refused("no such settlement"))?;
        row.tries = row.tries.saturating_add(1);
        Ok(row.tries)
    }

    async fn report_success(&self, key: &PaymentKey, caller: Uuid) -> Result<bool, LedgerError> {
        let (mut rows, _) = self.open();
        let row = rows.settlements.get_mut(key).filter(|row| row.state.is_paid());
        Ok(row.is_some_and(|row| *row.success_reported_to.get_or_insert(caller) == caller))
    }

    fn hints(&self) -> broadcast::Receiver<Hint> {
        self.hints.subscribe()
    }
}

fn reserve(
    ledger: &MemoryLedger,
    new: &NewSettlement,
    wait_ms: u64,
) -> Result<Reserved, LedgerError> {
    let (mut rows, now) = ledger.open();
    if let Some(row) = rows.settlements.get(&new.key) {
        return Ok(Reserved::Exists(Box::new(read(&rows, row, now))));
    }
    if rows.settlements_by_settle_id.contains_key(&new.settle_id) {
        return Err(refused("settlements.settle_id"));
    }
    rows.settlements_by_settle_id.insert(new.settle_id, new.key);
    let row = SettlementRow {
        new: NewSettlement {
            valid_before: clamped(new.valid_before),
            head_at_claim: clamped(new.head_at_claim),
            ..new.clone()
        },
        state: SettlementState::Reserved,
        version: 0,
        success_reported_to: None,
        tries: 0,
        wanted_until_ms: now.saturating_add(stored(wait_ms)),
        next_look_ms: now,
        looks: 0,
        evidence: None,
        created_at_ms: now,
        updated_at_ms: now,
    };
    let found = Box::new(read(&rows, &row, now));
    rows.settlements.insert(new.key, row);
    let evidence = json!({ "settle_id": new.settle_id, "head": new.head_at_claim });
    rows.note(now, API, &new.key, ("", SettlementState::Reserved.name()), &evidence);
    Ok(Reserved::New(found))
}

fn undo(ledger: &MemoryLedger, lease: &Lease, key: &PaymentKey) -> Result<bool, LedgerError> {
    let from = SettlementState::Mined;
    let (mut rows, now) = leases::begin(ledger, lease)?;
    let newest = rows.newest(key);
    let to = if newest.is_some() { SettlementState::Broadcast } else { SettlementState::Reserved };
    if !rows.step(now, key, from, to) {
        return Ok(false);
    }
    if let Some(slot) = newest.and_then(|name| rows.slots.get_mut(&name)) {
        slot.items.insert(*key, true);
        slot.state = SlotState::Signed;
    }
    let mut log = None;
    if let Some(row) = rows.settlements.get_mut(key) {
        row.wanted_until_ms = end_of_validity(row);
        log = row.evidence.take().map(|e| (row.new.network.clone(), e.transaction, e.log_index));
    }
    if let Some(log) = log {
        rows.logs.remove(&log);
    }
    let evidence = json!({ "reorganised": true });
    rows.note(now, RECONCILER, key, (from.name(), to.name()), &evidence);
    Ok(true)
}

fn end_of_validity(row: &SettlementRow) -> i64 {
    stored(row.new.valid_before).saturating_mul(MS_PER_SECOND)
}

fn list<K: Ord>(
    rows: &Rows,
    now: i64,
    network: &str,
    limit: u32,
    wanted: impl Fn(&SettlementRow) -> bool,
    order: impl Fn(&SettlementRow) -> K,
) -> Vec<Settlement> {
    let of_network = rows.settlements.values().filter(|row| row.new.network == network);
    let mut found: Vec<_> = of_network.filter(|row| wanted(row)).collect();
    // Stable: rows of one rank stay in the order of their keys.
    found.sort_by_key(|row| order(row));
    let limit = usize::try_from(limit).unwrap_or(usize::MAX);
    found.into_iter().take(limit).map(|row| read(rows, row, now)).collect()
}

fn read(rows: &Rows, row: &SettlementRow, now: i64) -> Settlement {
    let key = &row.new.key;
    Settlement {
        new: row.new.clone(),
        state: row.state,
        version: row.version,
        success_reported_to: row.success_reported_to,
        tries: row.tries,
        wanted: row.wanted_until_ms > now,
        looks: row.looks,
        in_open_slot: rows.home(key).is_some_and(|slot| slot.state != SlotState::Mined),
        transactions: rows.transactions(key),
        nonces: rows.nonces(key),
        evidence: row.evidence.clone(),
        reserved_unix_ms: row.created_at_ms,
        updated_unix_ms: row.updated_at_ms,
        read_unix_ms: now,
    }
}
