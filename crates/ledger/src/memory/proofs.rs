//! Proofs of payments in memory.

use std::collections::HashSet;

use faregate_protocol::PaymentKey;
use serde_json::json;

use super::rows::{Rows, SettlementRow};
use super::settlements::RECONCILER;
use super::{MemoryLedger, leases, stored};
use crate::{Lease, LedgerError, Proven, SettlementState};

/// Records what can be recorded, and says what that was.
pub(super) fn record(
    ledger: &MemoryLedger,
    lease: &Lease,
    proofs: &[Proven],
) -> Result<Vec<PaymentKey>, LedgerError> {
    let (mut rows, now) = leases::begin(ledger, lease)?;
    let moved = proofs.iter().filter(|proven| one(&mut rows, now, proven));
    Ok(moved.map(|proven| proven.key).collect())
}

fn one(rows: &mut Rows, now: i64, proven: &Proven) -> bool {
    let (key, from, proof) = (&proven.key, proven.from, &proven.evidence);
    let to = SettlementState::Mined;
    let Some(row) = rows.settlements.get(key) else { return false };
    let log = (row.new.network.clone(), proof.transaction.clone(), proof.log_index);
    let taken = row.evidence.is_some() || rows.logs.contains(&log);
    if taken || !from.may_become(to) || !rows.step(now, key, from, to) {
        return false;
    }
    rows.logs.insert(log);
    if let Some(row) = rows.settlements.get_mut(key) {
        row.evidence = Some(proof.clone());
    }
    rows.leave(key);
    let evidence = json!({
        "transaction": proof.transaction, "log_index": proof.log_index,
        "block": proof.block_number, "block_hash": proof.block_hash,
        "gas_used": proof.gas_used,
    });
    rows.note(now, RECONCILER, key, (from.name(), to.name()), &evidence);
    true
}

/// Moves those that are MINED to FINAL.
pub(super) fn finalise(
    ledger: &MemoryLedger,
    lease: &Lease,
    keys: &[PaymentKey],
    finalized: u64,
) -> Result<Vec<PaymentKey>, LedgerError> {
    let (from, to) = (SettlementState::Mined, SettlementState::Final);
    let (mut rows, now) = leases::begin(ledger, lease)?;
    let evidence = json!({ "finalized": finalized });
    let mut moved = Vec::with_capacity(keys.len());
    for key in keys {
        if rows.step(now, key, from, to) {
            rows.note(now, RECONCILER, key, (from.name(), to.name()), &evidence);
            moved.push(*key);
        }
    }
    Ok(moved)
}

/// A key that is named twice was looked at once.
pub(super) fn looked(
    ledger: &MemoryLedger,
    lease: &Lease,
    keys: &[PaymentKey],
    next_in_ms: u64,
) -> Result<(), LedgerError> {
    let (mut rows, now) = leases::begin(ledger, lease)?;
    for key in keys.iter().collect::<HashSet<_>>() {
        if let Some(row) = rows.settlements.get_mut(key) {
            row.looks = row.looks.saturating_add(1);
            row.next_look_ms = now.saturating_add(stored(next_in_ms));
        }
    }
    Ok(())
}

/// Whether it is SIGNED or BROADCAST.
pub(super) fn is_in_flight(row: &SettlementRow) -> bool {
    matches!(row.state, SettlementState::Signed | SettlementState::Broadcast)
}

/// How many are.
pub(super) fn in_flight(ledger: &MemoryLedger, network: &str) -> u64 {
    let (rows, _) = ledger.open();
    let open = rows.settlements.values();
    let open = open.filter(|row| row.new.network == network && is_in_flight(row));
    u64::try_from(open.count()).unwrap_or(u64::MAX)
}
