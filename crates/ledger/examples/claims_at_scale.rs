//! What a claim costs with few and with many payments on record, on SQLite:
//!
//! ```sh
//! cargo run --release -p faregate-ledger --example claims_at_scale -- 10000 1000000
//! ```
//!
//! For each number of payments a ledger of its own is filled (10^7 take about 12 GB in the folder
//! for temporary files), 2000 more are claimed one after the other, and a line says what that took:
//! the wait, the pages that lie between a root and the place of a key in each table and index, and
//! the pages that had to be read from outside of the connection's memory.
#![allow(clippy::float_arithmetic)] // figures, not money

use std::path::Path;
use std::time::{Duration, Instant};

use faregate_ledger::{ClaimStore, Claimed, NewClaim, Sealer, SqliteLedger};
use faregate_protocol::PaymentKey;
use rusqlite::{Connection, params};
use uuid::Uuid;

type Done<T> = Result<T, Box<dyn std::error::Error>>;

const CLAIMED: u64 = 2000;
const PAGE: u64 = 4096;
const TREES: &[&str] = &[
    "claims",
    "sqlite_autoindex_claims_1",
    "sqlite_autoindex_claims_2",
    "claims_by_state",
    "claims_granted",
    "journal",
    "journal_by_payment",
];

#[tokio::main]
async fn main() -> Done<()> {
    println!("payments  p50 us  p99 us  pages read by a claim  pages from root to leaf");
    for argument in std::env::args().skip(1) {
        let payments = argument.parse()?;
        let folder = tempfile::tempdir()?;
        measure(&folder.path().join("ledger.db"), payments).await?;
    }
    Ok(())
}

async fn measure(path: &Path, payments: u64) -> Done<()> {
    let sealer = || Sealer::new(&"11".repeat(32), &[]);
    SqliteLedger::open(path, sealer()?).await?.close().await;
    fill(path, payments)?;
    let ledger = SqliteLedger::open(path, sealer()?).await?;
    // What every claim reads is in memory before the clock starts.
    for n in 0..CLAIMED {
        claim(&ledger, payments + n).await?;
    }
    let before = read_bytes()?;
    let mut waits = Vec::new();
    for n in 0..CLAIMED {
        waits.push(claim(&ledger, payments + CLAIMED + n).await?);
    }
    let read = (read_bytes()? - before).div_ceil(PAGE) as f64 / CLAIMED as f64;
    waits.sort_unstable();
    let of_thousand = |rank: usize| waits[waits.len() * rank / 1000].as_micros();
    ledger.close().await;
    let depths = TREES.iter().map(|tree| depth(path, tree).map(|pages| pages.to_string()));
    let depths = depths.collect::<Done<Vec<_>>>()?;
    println!(
        "{payments:>8}  {:>6}  {:>6}  {read:>21.2}  {}",
        of_thousand(500),
        of_thousand(990),
        depths.join(" ")
    );
    Ok(())
}

async fn claim(ledger: &SqliteLedger, n: u64) -> Done<Duration> {
    let new = new_claim(n);
    let began = Instant::now();
    let claimed = ledger.claim(&new, 60_000).await?;
    let took = began.elapsed();
    assert!(matches!(claimed, Claimed::Won(_)));
    Ok(took)
}

/// Spread over all keys, as hashes are.
fn key(n: u64) -> PaymentKey {
    const ODD: u64 = 0x9e37_79b9_7f4a_7c15;
    let mut key = [0; 32];
    key[..8].copy_from_slice(&n.wrapping_mul(ODD).to_be_bytes());
    PaymentKey(key)
}

fn new_claim(n: u64) -> NewClaim {
    NewClaim {
        key: key(n),
        settle_id: Uuid::now_v7(),
        facilitator: "local".to_owned(),
        request_fp: [1; 32],
        requirements_hash: [2; 32],
        payload_hash: [3; 32],
        route: "weather".to_owned(),
        network: "eip155:84532".to_owned(),
        payer: "0xf39Fd6e51aad88F6F4ce6aB8827279cffFb92266".to_owned(),
        pay_to: "0x70997970C51812dc3A010C7d01b50e0d17dc79C8".to_owned(),
        asset: "0x036CbD53842c5426634e7929541eC2318f3dCF7e".to_owned(),
        amount: 10_000.into(),
        valid_before: 4_000_000_000,
    }
}

/// Payments that were granted long ago, in the order of their keys: so many are inserted soon.
fn fill(path: &Path, payments: u64) -> Done<()> {
    let mut keys: Vec<_> = (0..payments).map(key).collect();
    keys.sort_unstable();
    let mut connection = Connection::open(path)?;
    for setting in ["synchronous", "foreign_keys"] {
        connection.pragma_update(None, setting, "off")?;
    }
    connection.pragma_update(None, "cache_size", -1_000_000)?;
    let filling = connection.transaction()?;
    fill_claims(&filling, &keys)?;
    filling.execute(
        "insert into journal (at_ms, actor, subject, payment_key, settle_id, from_state, to_state, \
         evidence) select 0, 'gate', 'claim', payment_key, settle_id, '', 'VERIFIED', '{}' \
         from claims order by rowid",
        (),
    )?;
    Ok(filling.commit()?)
}

fn fill_claims(filling: &Connection, keys: &[PaymentKey]) -> Done<()> {
    let mut claim = filling.prepare(
        "insert into claims (payment_key, settle_id, facilitator, request_fp, requirements_hash, \
         payload_hash, route, network, payer, pay_to, asset, amount, valid_before, state, grant_id, \
         granted_at_ms, lease_until_ms, transaction_hash, created_at_ms, updated_at_ms) \
         values (?, ?, 'local', ?, ?, ?, ?, ?, ?, ?, ?, ?, 1, 4, ?, 0, 0, '', ?, ?)",
    )?;
    let template = new_claim(0);
    let amount = template.amount.to_be_bytes();
    for (at, key) in (0_i64..).zip(keys) {
        claim.execute(params![
            key.0.as_slice(),
            Uuid::now_v7().to_string(),
            template.request_fp.as_slice(),
            template.requirements_hash.as_slice(),
            template.payload_hash.as_slice(),
            template.route,
            template.network,
            template.payer,
            template.pay_to,
            template.asset,
            amount.as_slice(),
            Uuid::now_v7().to_string(),
            at,
            at
        ])?;
    }
    Ok(())
}

/// Pages from the root to a leaf, both included.
fn depth(path: &Path, tree: &str) -> Done<usize> {
    let connection = Connection::open(path)?;
    let sql = "select path from dbstat where name = ? and pagetype = 'leaf' limit 1";
    let path: String = connection.query_row(sql, [tree], |row| row.get(0))?;
    Ok(path.matches('/').count())
}

/// By this process, from files, whether or not the kernel had them in memory.
fn read_bytes() -> Done<u64> {
    let counted = std::fs::read_to_string("/proc/self/io")?;
    let line = counted.lines().find_map(|line| line.strip_prefix("rchar: "));
    Ok(line.ok_or("no rchar")?.parse()?)
}
