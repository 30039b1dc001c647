//! Proofs of payments on PostgreSQL: many are recorded in one transaction of as many statements as
//! one would take.

use std::collections::HashSet;

use faregate_protocol::PaymentKey;
use serde_json::json;

use super::moves::{LOCK_ALL, RECONCILER, step_all};
use super::rows::{bytes32, signed, text};
use super::{Failure, PostgresLedger, leases, now_ms};
use crate::{Lease, Proven, SettlementState};

/// Locks the rows that still are where their proof found them. In one order, so that nobody waits
/// for one who waits for them.
const LOCK: &str = concat!(
    "select s.payment_key from settlements s join unnest($1::bytea[], $2::bigint[]) as p (k, st) ",
    "on s.payment_key = p.k and s.state = p.st order by s.payment_key for update of s"
);

const INSERT_EVIDENCE: &str = concat!(
    "insert into evidence (network, transaction_hash, log_index, block_number, block_hash, ",
    "gas_used, payment_key) select s.network, p.hash, p.log, p.number, p.block, p.gas, p.k ",
    "from unnest($1::bytea[], $2::text[], $3::bigint[], $4::bigint[], $5::text[], $6::bigint[]) ",
    "as p (k, hash, log, number, block, gas) join settlements s on s.payment_key = p.k ",
    "on conflict do nothing returning payment_key"
);

const MOVE: &str = concat!(
    "update settlements set state = 3, version = version + 1, looks = 0, next_look_ms = ",
    now_ms!(),
    ", updated_at_ms = ",
    now_ms!(),
    " where payment_key = any($1)"
);

const LEAVE: &str = "update slot_items set live = false where payment_key = any($1) and live";

const JOURNAL: &str = concat!(
    "insert into journal (at_ms, actor, subject, payment_key, from_state, to_state, evidence) ",
    "select ",
    now_ms!(),
    ", $1, $2, p.k, p.was, $3, p.evidence ",
    "from unnest($4::bytea[], $5::text[], $6::text[]) as p (k, was, evidence)"
);

const LOOKED: &str = concat!(
    "update settlements set looks = looks + 1, next_look_ms = ",
    now_ms!(),
    " + $1 where payment_key = any($2)"
);

/// Records what can be recorded, and says what that was.
pub(super) async fn record(
    ledger: &PostgresLedger,
    lease: &Lease,
    proofs: &[Proven],
) -> Result<Vec<PaymentKey>, Failure> {
    let to = SettlementState::Mined;
    let mut tx = leases::begin(ledger, lease).await?;
    let legal = proofs.iter().filter(|proven| proven.from.may_become(to));
    let (keys, states): (Vec<_>, Vec<_>) =
        legal.map(|proven| (proven.key.0.to_vec(), proven.from.number())).unzip();
    let locked = sqlx::query(LOCK).bind(keys).bind(states).fetch_all(&mut *tx).await?;
    let locked = locked.iter().map(|row| bytes32(row, "payment_key"));
    let locked: Vec<[u8; 32]> = locked.collect::<Result<_, _>>()?;
    let mut left: HashSet<[u8; 32]> = locked.into_iter().collect();
    let mut stood: Vec<&Proven> =
        proofs.iter().filter(|proven| left.remove(&proven.key.0)).collect();
    let column = |of: fn(&Proven) -> i64| stood.iter().map(|p| of(p)).collect::<Vec<_>>();
    let stored = sqlx::query(INSERT_EVIDENCE)
        .bind(stood.iter().map(|p| p.key.0.to_vec()).collect::<Vec<_>>())
        .bind(stood.iter().map(|p| text(&p.evidence.transaction).into_owned()).collect::<Vec<_>>())
        .bind(column(|p| signed(p.evidence.log_index)))
        .bind(column(|p| signed(p.evidence.block_number)))
        .bind(stood.iter().map(|p| text(&p.evidence.block_hash).into_owned()).collect::<Vec<_>>())
        .bind(column(|p| signed(p.evidence.gas_used)))
        .fetch_all(&mut *tx)
        .await?;
    let stored = stored.iter().map(|row| bytes32(row, "payment_key"));
    let stored: HashSet<[u8; 32]> = stored.collect::<Result<_, _>>()?;
    stood.retain(|proven| stored.contains(&proven.key.0));
    let keys: Vec<Vec<u8>> = stood.iter().map(|proven| proven.key.0.to_vec()).collect();
    for sql in [MOVE, LEAVE] {
        sqlx::query(sql).bind(keys.clone()).execute(&mut *tx).await?;
    }
    let (actor, subject) = RECONCILER;
    sqlx::query(JOURNAL)
        .bind(actor)
        .bind(subject)
        .bind(to.name())
        .bind(keys)
        .bind(stood.iter().map(|proven| proven.from.name()).collect::<Vec<_>>())
        .bind(stood.iter().map(|proven| text(&told(proven)).into_owned()).collect::<Vec<_>>())
        .execute(&mut *tx)
        .await?;
    tx.commit().await?;
    Ok(stood.into_iter().map(|proven| proven.key).collect())
}

/// Moves those that are MINED to FINAL.
pub(super) async fn finalise(
    ledger: &PostgresLedger,
    lease: &Lease,
    keys: &[PaymentKey],
    finalized: u64,
) -> Result<Vec<PaymentKey>, Failure> {
    let states = (SettlementState::Mined, SettlementState::Final);
    let evidence = json!({ "finalized": finalized });
    let mut tx = leases::begin(ledger, lease).await?;
    let moved = step_all(&mut tx, RECONCILER, keys, states, &evidence).await?;
    tx.commit().await?;
    Ok(moved)
}

pub(super) async fn looked(
    ledger: &PostgresLedger,
    lease: &Lease,
    keys: &[PaymentKey],
    next_in_ms: u64,
) -> Result<(), Failure> {
    let keys: Vec<&[u8]> = keys.iter().map(|key| key.0.as_slice()).collect();
    let mut tx = leases::begin(ledger, lease).await?;
    sqlx::query(LOCK_ALL).bind(&keys).execute(&mut *tx).await?;
    sqlx::query(LOOKED).bind(signed(next_in_ms)).bind(&keys).execute(&mut *tx).await?;
    Ok(tx.commit().await?)
}

fn told(proven: &Proven) -> String {
    let proof = &proven.evidence;
    let evidence = json!({
        "transaction": proof.transaction, "log_index": proof.log_index,
        "block": proof.block_number, "block_hash": proof.block_hash,
        "gas_used": proof.gas_used,
    });
    evidence.to_string()
}
