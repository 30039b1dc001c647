//! Proofs of payments on SQLite: many are recorded in one transaction.

use std::collections::HashSet;

use faregate_protocol::PaymentKey;
use rusqlite::{Connection, params};
use serde_json::json;

use super::asking::Turn;
use super::reservations::step;
use super::settlements::{RECONCILER, SUBJECT};
use super::statements::{exactly_one, journal, now_ms, run, signed, unsigned};
use super::{SqliteLedger, homes, leases};
use crate::{Change, Lease, LedgerError, Proven, SettlementState};

const INSERT_EVIDENCE: &str = concat!(
    "insert into evidence (network, transaction_hash, log_index, block_number, block_hash, ",
    "gas_used, payment_key) select network, ?, ?, ?, ?, ?, payment_key from settlements ",
    "where payment_key = ? and state = ? on conflict do nothing"
);

const LOOKED: &str = concat!(
    "update settlements set looks = looks + 1, next_look_ms = ",
    now_ms!(),
    " + ? where payment_key = ?"
);

/// Repeats the condition of its index.
const IN_FLIGHT: &str = concat!(
    "select count(*) as open from settlements where network = ? and state not in (3, 4, 6) ",
    "and state in (1, 2)"
);

/// Records what can be recorded, and says what that was.
pub(super) async fn record(
    ledger: &SqliteLedger,
    lease: &Lease,
    proofs: &[Proven],
) -> Result<Vec<PaymentKey>, LedgerError> {
    let proofs = proofs.to_vec();
    let all = move |tx: &Connection| {
        let mut moved = Vec::with_capacity(proofs.len());
        for proven in &proofs {
            if one(tx, proven)? {
                moved.push(proven.key);
            }
        }
        Ok(Turn::Kept(moved))
    };
    let moved = leases::write(ledger, lease, all).await?;
    for key in &moved {
        ledger.tell(*key, Change::Outcome);
    }
    Ok(moved)
}

/// Whoever writes holds the only writing transaction, so a state that was read stays.
fn one(tx: &Connection, proven: &Proven) -> Result<bool, LedgerError> {
    let (key, from, proof) = (&proven.key, proven.from, &proven.evidence);
    let to = SettlementState::Mined;
    if !from.may_become(to) {
        return Ok(false);
    }
    let values = params![
        proof.transaction,
        signed(proof.log_index),
        signed(proof.block_number),
        proof.block_hash,
        signed(proof.gas_used),
        key.0.as_slice(),
        from.number(),
    ];
    if run(tx, INSERT_EVIDENCE, values)? != 1 {
        return Ok(false);
    }
    if !step(tx, key, from, to)? {
        return Err(LedgerError::Corrupt { what: "settlements.state" });
    }
    homes::leave(tx, key)?;
    let evidence = json!({
        "transaction": proof.transaction, "log_index": proof.log_index,
        "block": proof.block_number, "block_hash": proof.block_hash,
        "gas_used": proof.gas_used,
    });
    journal(tx, RECONCILER, SUBJECT, key, (from.name(), to.name()), &evidence)?;
    Ok(true)
}

/// Moves those that are MINED to FINAL.
pub(super) async fn finalise(
    ledger: &SqliteLedger,
    lease: &Lease,
    keys: &[PaymentKey],
    finalized: u64,
) -> Result<Vec<PaymentKey>, LedgerError> {
    let (from, to) = (SettlementState::Mined, SettlementState::Final);
    let keys = keys.to_vec();
    let all = move |tx: &Connection| {
        let evidence = json!({ "finalized": finalized });
        let mut moved = Vec::with_capacity(keys.len());
        for key in &keys {
            if step(tx, key, from, to)? {
                journal(tx, RECONCILER, SUBJECT, key, (from.name(), to.name()), &evidence)?;
                moved.push(*key);
            }
        }
        Ok(Turn::Kept(moved))
    };
    let moved = leases::write(ledger, lease, all).await?;
    for key in &moved {
        ledger.tell(*key, Change::Outcome);
    }
    Ok(moved)
}

pub(super) async fn looked(
    ledger: &SqliteLedger,
    lease: &Lease,
    keys: &[PaymentKey],
    next_in_ms: u64,
) -> Result<(), LedgerError> {
    // A key that is named twice was looked at once.
    let keys: HashSet<PaymentKey> = keys.iter().copied().collect();
    let looked = move |tx: &Connection| {
        for key in &keys {
            run(tx, LOOKED, params![signed(next_in_ms), key.0.as_slice()])?;
        }
        Ok(Turn::Kept(()))
    };
    leases::write(ledger, lease, looked).await
}

/// How many are SIGNED or BROADCAST.
pub(super) async fn in_flight(ledger: &SqliteLedger, network: &str) -> Result<u64, LedgerError> {
    let network = network.to_owned();
    ledger
        .read(move |on| exactly_one(on, IN_FLIGHT, params![network], |row| unsigned(row, "open")))
        .await
}
