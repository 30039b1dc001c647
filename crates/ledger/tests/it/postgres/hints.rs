//! Hints between processes.

use std::time::Duration;

use faregate_ledger::{Change, Hint, NewSettlement, PostgresLedger, SettlementStore};
use tokio::sync::broadcast::Receiver;
use tokio::time::timeout;

use super::{raw, run};
use crate::bench::WAIT_MS;
use crate::cluster;
use crate::samples::new_settlement;
use crate::stores::connect;

const LONG: Duration = Duration::from_secs(20);
const SHORT: Duration = Duration::from_millis(200);

fn wanted(new: &NewSettlement) -> Hint {
    Hint { key: new.key, change: Change::Wanted }
}

/// Hints get lost, above all while a listener is starting: tells until one is heard.
async fn heard(teller: &PostgresLedger, hints: &mut Receiver<Hint>, n: u8) {
    let new = new_settlement(n);
    teller.reserve(&new, WAIT_MS).await.unwrap();
    let heard = async {
        loop {
            teller.want(&new.key, WAIT_MS).await.unwrap();
            if let Ok(Ok(hint)) = timeout(SHORT, hints.recv()).await {
                return hint;
            }
        }
    };
    assert_eq!(timeout(LONG, heard).await.expect("no hint"), wanted(&new));
    while timeout(SHORT, hints.recv()).await.is_ok() {}
}

#[tokio::test]
async fn a_move_in_one_process_is_hinted_in_another_also_after_the_connection_broke() {
    let cluster = cluster::shared();
    let database = cluster.database().await;
    let one = connect(&cluster.url(&database)).await;
    let two = connect(&cluster.url(&database)).await;
    let mut hints = two.hints();
    heard(&one, &mut hints, 1).await;
    let mut admin = raw(cluster, &database).await;
    run(
        &mut admin,
        "select pg_terminate_backend(pid) from pg_stat_activity \
         where datname = current_database() and pid <> pg_backend_pid()",
    )
    .await;
    heard(&one, &mut hints, 2).await;
}

#[tokio::test]
async fn an_own_move_is_hinted_once_and_nonsense_never() {
    let cluster = cluster::shared();
    let database = cluster.database().await;
    let one = connect(&cluster.url(&database)).await;
    let two = connect(&cluster.url(&database)).await;
    let mut hints = one.hints();
    // By now its listener runs.
    heard(&two, &mut hints, 1).await;
    let mut admin = raw(cluster, &database).await;
    for text in ["", "x", "00", &"\u{e9}".repeat(40)] {
        run(&mut admin, &format!("notify faregate_moved, '{text}'")).await;
    }
    let new = new_settlement(2);
    one.reserve(&new, WAIT_MS).await.unwrap();
    assert_eq!(timeout(LONG, hints.recv()).await.unwrap().unwrap(), wanted(&new));
    assert!(timeout(SHORT * 2, hints.recv()).await.is_err(), "heard twice");
}
