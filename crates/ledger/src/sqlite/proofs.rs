//! Proofs of payments on SQLite: many are recorded in one transaction.

use std::collections::HashSet;

use faregate_protocol::PaymentKey;
use serde_json::json;

use super::reservations::step;
use super::settlements::{RECONCILER, SUBJECT};
use super::{SqliteLedger, Turn, homes, journal, leases, now_ms, signed, unavailable, unsigned};
use crate::{Lease, LedgerError, Proven, SettlementState};

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
    let mut tx = leases::begin(ledger, lease).await?;
    let mut moved = Vec::with_capacity(proofs.len());
    for proven in proofs {
        if one(&mut tx, proven).await? {
            moved.push(proven.key);
        }
    }
    tx.commit().await.map_err(unavailable)?;
    for key in &moved {
        ledger.tell(*key);
    }
    Ok(moved)
}

/// Whoever writes holds the only writing transaction, so a state that was read stays.
async fn one(tx: &mut Turn, proven: &Proven) -> Result<bool, LedgerError> {
    let (key, from, proof) = (&proven.key, proven.from, &proven.evidence);
    let to = SettlementState::Mined;
    if !from.may_become(to) {
        return Ok(false);
    }
    let stored = sqlx::query(INSERT_EVIDENCE)
        .bind(&proof.transaction)
        .bind(signed(proof.log_index))
        .bind(signed(proof.block_number))
        .bind(&proof.block_hash)
        .bind(signed(proof.gas_used))
        .bind(key.0.as_slice())
        .bind(from.number())
        .execute(&mut **tx)
        .await
        .map_err(unavailable)?;
    if stored.rows_affected() != 1 {
        return Ok(false);
    }
    if !step(tx, key, from, to).await? {
        return Err(LedgerError::Corrupt { what: "settlements.state" });
    }
    homes::leave(tx, key).await?;
    let evidence = json!({
        "transaction": proof.transaction, "log_index": proof.log_index,
        "block": proof.block_number, "block_hash": proof.block_hash,
        "gas_used": proof.gas_used,
    });
    journal(tx, RECONCILER, SUBJECT, key, (from.name(), to.name()), &evidence).await?;
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
    let evidence = json!({ "finalized": finalized });
    let mut tx = leases::begin(ledger, lease).await?;
    let mut moved = Vec::with_capacity(keys.len());
    for key in keys {
        if step(&mut tx, key, from, to).await? {
            let states = (from.name(), to.name());
            journal(&mut tx, RECONCILER, SUBJECT, key, states, &evidence).await?;
            moved.push(*key);
        }
    }
    tx.commit().await.map_err(unavailable)?;
    for key in &moved {
        ledger.tell(*key);
    }
    Ok(moved)
}

pub(super) async fn looked(
    ledger: &SqliteLedger,
    lease: &Lease,
    keys: &[PaymentKey],
    next_in_ms: u64,
) -> Result<(), LedgerError> {
    let mut tx = leases::begin(ledger, lease).await?;
    // A key that is named twice was looked at once.
    for key in keys.iter().collect::<HashSet<_>>() {
        sqlx::query(LOOKED)
            .bind(signed(next_in_ms))
            .bind(key.0.as_slice())
            .execute(&mut *tx)
            .await
            .map_err(unavailable)?;
    }
    tx.commit().await.map_err(unavailable)
}

/// How many are SIGNED or BROADCAST.
pub(super) async fn in_flight(ledger: &SqliteLedger, network: &str) -> Result<u64, LedgerError> {
    let query = sqlx::query(IN_FLIGHT).bind(network);
    let row = query.fetch_one(&ledger.reader).await.map_err(unavailable)?;
    unsigned(&row, "open")
}
