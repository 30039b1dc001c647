//! A database that would lose what it has acknowledged, and one that crashes.

use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use faregate_ledger::{ClaimStore, Claimed, LedgerError, NewClaim, PostgresConfig, PostgresLedger};
use faregate_protocol::PaymentKey;
use tokio::task::JoinSet;
use uuid::Uuid;

use super::{config, raw, run};
use crate::cluster::{self, Cluster};
use crate::samples::{LEASE_MS, new_claim};
use crate::stores::{connect, sealer};

const CRASHES: usize = 3;
const WRITERS: usize = 8;
const UNDER_LOAD: Duration = Duration::from_millis(400);

async fn refused(url: &str) -> LedgerError {
    PostgresLedger::connect(url, sealer(), config()).await.unwrap_err()
}

#[tokio::test]
async fn o2_a_session_that_acknowledges_before_the_disk_is_refused() {
    let cluster = cluster::shared();
    for level in ["off", "local", "remote_write"] {
        let database = cluster.database().await;
        let mut admin = raw(cluster, &database).await;
        let set = format!("alter database {database} set synchronous_commit = {level}");
        run(&mut admin, &set).await;
        let error = refused(&cluster.url(&database)).await;
        let LedgerError::NotDurable { setting: "synchronous_commit", found } = &error else {
            panic!("{error:?}")
        };
        assert_eq!(found, level);
        run(&mut admin, &set.replace(level, "remote_apply")).await;
        connect(&cluster.url(&database)).await;
    }
}

#[tokio::test]
async fn o2_a_later_connection_is_checked_too() {
    let cluster = cluster::shared();
    let database = cluster.database().await;
    let mut limits = config();
    limits.acquire_timeout = Duration::from_millis(500);
    let ledger = PostgresLedger::connect(&cluster.url(&database), sealer(), limits).await.unwrap();
    ledger.ping().await.unwrap();
    let mut admin = raw(cluster, &database).await;
    run(&mut admin, &format!("alter database {database} set synchronous_commit = off")).await;
    run(
        &mut admin,
        "select pg_terminate_backend(pid) from pg_stat_activity \
         where datname = current_database() and pid <> pg_backend_pid()",
    )
    .await;
    let refused = ledger.claim(&new_claim(1), LEASE_MS).await;
    assert!(matches!(refused, Err(LedgerError::Unavailable { .. })), "{refused:?}");
}

#[tokio::test]
async fn o2_a_server_that_may_lose_pages_is_refused() {
    let cluster = Cluster::start(&[]);
    for setting in ["fsync", "full_page_writes"] {
        let database = cluster.database().await;
        let mut admin = raw(&cluster, &database).await;
        run(&mut admin, &format!("alter system set {setting} = off")).await;
        run(&mut admin, "select pg_reload_conf()").await;
        let error = loop {
            // New sessions see the new setting once the postmaster has read it.
            let opened = PostgresLedger::connect(&cluster.url(&database), sealer(), config()).await;
            if let Err(error) = opened {
                break error;
            }
        };
        let LedgerError::NotDurable { setting: named, found } = &error else { panic!("{error:?}") };
        assert_eq!((*named, &**found), (setting, "off"));
        run(&mut admin, &format!("alter system reset {setting}")).await;
        run(&mut admin, "select pg_reload_conf()").await;
    }
}

/// Kills the server while claims are acknowledged: every acknowledged one is there afterwards.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn o2_no_acknowledged_claim_is_lost_in_a_crash() {
    let mut cluster = Cluster::start(&[]);
    let database = cluster.database().await;
    let limits = PostgresConfig { acquire_timeout: UNDER_LOAD, ..config() };
    let ledger = PostgresLedger::connect(&cluster.url(&database), sealer(), limits).await.unwrap();
    let mut acknowledged = HashSet::new();
    for crash in 0..CRASHES {
        let stop = Arc::new(AtomicBool::new(false));
        let mut writers = JoinSet::new();
        for _ in 0..WRITERS {
            writers.spawn(claim_until(ledger.clone(), stop.clone()));
        }
        tokio::time::sleep(UNDER_LOAD).await;
        cluster.kill();
        stop.store(true, Ordering::SeqCst);
        let before = acknowledged.len();
        while let Some(keys) = writers.join_next().await {
            acknowledged.extend(keys.unwrap());
        }
        let made = acknowledged.len() - before;
        assert!(made > WRITERS, "crash {crash}: only {made} claims under load");
        cluster.start_again();
        // The same ledger finds the server again.
        for key in &acknowledged {
            assert!(ledger.find_claim(key).await.unwrap().is_some(), "{key} was acknowledged");
        }
    }
    println!("{} claims over {CRASHES} crashes", acknowledged.len());
    ledger.close().await;
    cluster.kill();
    let signal = cluster.data().join("standby.signal");
    std::fs::write(&signal, "").unwrap();
    cluster::give(&signal);
    cluster.start_again();
    let error = refused(&cluster.url(&database)).await;
    assert!(matches!(error, LedgerError::Standby), "{error:?}");
}

/// Returns what was acknowledged.
async fn claim_until(ledger: PostgresLedger, stop: Arc<AtomicBool>) -> Vec<PaymentKey> {
    let mut acknowledged = Vec::new();
    while !stop.load(Ordering::SeqCst) {
        let (one, two) = (Uuid::new_v4(), Uuid::new_v4());
        let key = PaymentKey([*one.as_bytes(), *two.as_bytes()].concat().try_into().unwrap());
        let new = NewClaim { key, ..new_claim(0) };
        match ledger.claim(&new, LEASE_MS).await {
            Ok(Claimed::Won(_)) => acknowledged.push(key),
            Ok(Claimed::Exists(claim)) => panic!("{claim:?}"),
            Err(_) => tokio::time::sleep(Duration::from_millis(10)).await,
        }
    }
    acknowledged
}
