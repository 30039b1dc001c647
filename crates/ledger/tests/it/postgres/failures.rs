//! A database that gives up transactions, answers late, or whose answers get lost.

use std::task::Poll;
use std::time::{Duration, Instant};

use faregate_ledger::{
    ClaimState, ClaimStore, Claimed, LedgerError, PostgresConfig, PostgresLedger, SettlementState,
    SettlementStore,
};
use serde_json::json;
use sqlx::Row as _;
use uuid::Uuid;

use super::proxy::Proxy;
use super::{config, raw, run, until_somebody_waits};
use crate::bench::{Bench, WAIT_MS};
use crate::cluster::{self, tcp_url};
use crate::samples::{LEASE_MS, new_claim};
use crate::stores::{connect, sealer};

/// Far below the limits that hold by default.
const SHORT: Duration = Duration::from_millis(300);
const LONG: Duration = Duration::from_secs(20);

fn unavailable<T: std::fmt::Debug>(answer: Result<T, LedgerError>) {
    assert!(matches!(answer, Err(LedgerError::Unavailable { .. })), "{answer:?}");
}

async fn behind_a_proxy() -> (Proxy, PostgresLedger) {
    let cluster = cluster::shared();
    let proxy = Proxy::to(cluster.port()).await;
    let url = tcp_url(proxy.port, &cluster.database().await);
    // In the clear, so that the proxy sees the commits.
    (proxy, connect(&format!("{url}?sslmode=disable")).await)
}

#[tokio::test]
async fn o5_a_claim_whose_acknowledgement_is_lost_is_found_by_reading_again() {
    let (proxy, ledger) = behind_a_proxy().await;
    let new = new_claim(1);
    proxy.break_after_the_next_commit();
    unavailable(ledger.claim(&new, LEASE_MS).await);
    assert!(proxy.broke());
    let found = ledger.find_claim(&new.key).await.unwrap().expect("it was committed");
    assert_eq!((found.new.settle_id, found.state), (new.settle_id, ClaimState::Verified));
    let again = ledger.claim(&new, LEASE_MS).await.unwrap();
    assert!(matches!(again, Claimed::Exists(claim) if claim.new == new), "not a second time");
    assert_eq!(ledger.journal(&new.key).await.unwrap().len(), 1);
}

#[tokio::test]
async fn o5_a_claim_whose_commit_never_arrived_is_not_there_and_can_be_made() {
    let (proxy, ledger) = behind_a_proxy().await;
    let new = new_claim(1);
    proxy.break_before_the_next_commit();
    unavailable(ledger.claim(&new, LEASE_MS).await);
    assert!(proxy.broke());
    assert_eq!(ledger.find_claim(&new.key).await.unwrap(), None);
    assert!(matches!(ledger.claim(&new, LEASE_MS).await.unwrap(), Claimed::Won(_)));
}

#[tokio::test]
async fn o5_a_grant_without_an_answer_is_never_given_twice() {
    let (proxy, ledger) = behind_a_proxy().await;
    let Claimed::Won(hold) = ledger.claim(&new_claim(1), LEASE_MS).await.unwrap() else {
        panic!("not won")
    };
    for (from, to) in
        [(ClaimState::Verified, ClaimState::Settling), (ClaimState::Settling, ClaimState::Settled)]
    {
        let step = faregate_ledger::ClaimMove { from, to, transaction: None, evidence: json!({}) };
        assert!(ledger.move_claim(&hold, step).await.unwrap());
    }
    proxy.break_after_the_next_commit();
    unavailable(ledger.grant(&hold, Uuid::new_v4()).await);
    assert!(!ledger.grant(&hold, Uuid::new_v4()).await.unwrap());
}

/// The first `times` inserts of journal rows fail with `code`; sequences are not rolled back.
fn failing(times: u32, code: &str) -> String {
    format!(
        "create sequence failures;
         create function fail() returns trigger language plpgsql as $$ begin
             if nextval('failures') <= {times} then
                 raise exception 'injected' using errcode = '{code}';
             end if;
             return new;
         end $$;
         create trigger fail before insert on journal for each row execute function fail();"
    )
}

#[tokio::test]
async fn o19_what_the_database_asks_to_repeat_is_repeated_three_times_as_a_whole() {
    let cluster = cluster::shared();
    for (code, failures, won, tries) in [
        ("40001", 3, true, 4),
        ("40P01", 3, true, 4),
        ("40001", 4, false, 4),
        ("23514", 1, false, 1),
    ] {
        let database = cluster.database().await;
        let ledger = connect(&cluster.url(&database)).await;
        let mut beside = raw(cluster, &database).await;
        run(&mut beside, &failing(failures, code)).await;
        let new = new_claim(1);
        let claimed = ledger.claim(&new, LEASE_MS).await;
        assert_eq!(claimed.is_ok(), won, "{code}: {claimed:?}");
        let there = ledger.find_claim(&new.key).await.unwrap();
        assert_eq!(there.is_some(), won, "{code}: all of it or nothing");
        assert_eq!(ledger.journal(&new.key).await.unwrap().len(), usize::from(won), "{code}");
        let made = sqlx::query("select last_value from failures").fetch_one(&mut beside).await;
        assert_eq!(made.unwrap().get::<i64, _>(0), tries, "{code}");
    }
}

#[tokio::test]
async fn a_deadlock_with_somebody_else_is_survived() {
    use SettlementState as S;
    let cluster = cluster::shared();
    let database = cluster.database().await;
    let mut other = raw(cluster, &database).await;
    // The ledger's session finds the deadlock, whoever came last.
    run(&mut other, &format!("alter database {database} set deadlock_timeout = '1500ms'")).await;
    run(&mut other, "set deadlock_timeout = '60s'").await;
    let bench = Bench::new(connect(&cluster.url(&database)).await).await;
    let key = bench.reserved(1).await;
    run(&mut other, "begin; update settlements set tries = tries + 1").await;
    let (moved, ()) = tokio::join!(bench.go(&key, S::Reserved, S::Dormant), async {
        let mut third = raw(cluster, &database).await;
        until_somebody_waits(&mut third).await;
        // The move has its lease locked and waits for the settlement.
        run(&mut other, "update leases set owner = owner").await;
        run(&mut other, "commit").await;
    });
    assert!(moved.unwrap());
    assert_eq!(bench.state(&key).await, S::Dormant);
    let deadlocks = "select deadlocks from pg_stat_database where datname = current_database()";
    let until = Instant::now() + LONG;
    while sqlx::query(deadlocks).fetch_one(&mut other).await.unwrap().get::<i64, _>(0) == 0 {
        assert!(Instant::now() < until, "there was none");
        tokio::time::sleep(SHORT).await;
    }
}

#[tokio::test]
async fn a_lock_that_is_not_given_back_ends_the_call_and_not_the_process() {
    let cluster = cluster::shared();
    let database = cluster.database().await;
    let limits = PostgresConfig {
        max_connections: 1,
        lock_timeout: SHORT,
        acquire_timeout: SHORT,
        ..config()
    };
    let ledger = PostgresLedger::connect(&cluster.url(&database), sealer(), limits).await.unwrap();
    let Claimed::Won(hold) = ledger.claim(&new_claim(1), LEASE_MS).await.unwrap() else {
        panic!("not won")
    };
    let mut other = raw(cluster, &database).await;
    run(&mut other, "begin; update claims set epoch = epoch").await;
    let begun = Instant::now();
    // One waits for the row, the others for the only connection.
    let (one, two, three) =
        tokio::join!(ledger.let_go(&hold), ledger.let_go(&hold), ledger.find_claim(&hold.key));
    assert!(begun.elapsed() < LONG / 4, "{:?}", begun.elapsed());
    unavailable(one);
    assert!(two.is_err() || three.is_err(), "somebody had no connection");
    run(&mut other, "rollback").await;
    ledger.let_go(&hold).await.unwrap();
}

/// A process that froze inside a transaction keeps its locks only until the database ends it.
#[tokio::test]
async fn o6_a_worker_that_froze_in_a_transaction_loses_the_lease() {
    let cluster = cluster::shared();
    let database = cluster.database().await;
    let ledger = connect(&cluster.url(&database)).await;
    let first = ledger.lease("lane", Uuid::new_v4(), 0).await.unwrap().unwrap();
    let mut frozen = raw(cluster, &database).await;
    let short = SHORT.as_millis();
    run(&mut frozen, &format!("set idle_in_transaction_session_timeout = '{short}ms'")).await;
    run(&mut frozen, "begin; select 1 from leases for no key update").await;
    let second = ledger.lease("lane", Uuid::new_v4(), WAIT_MS).await.unwrap().unwrap();
    assert_eq!(second.token, first.token + 1);
    assert!(sqlx::query("commit").execute(&mut frozen).await.is_err(), "its session is over");
}

/// A caller that loses interest drops its call, wherever it is.
#[tokio::test]
async fn a_call_that_is_dropped_leaves_no_session_in_a_transaction() {
    let cluster = cluster::shared();
    let database = cluster.database().await;
    // So that it is not the database that tidies up.
    let limits = PostgresConfig {
        max_connections: 1,
        idle_in_transaction_timeout: 10 * LONG,
        ..PostgresConfig::default()
    };
    let ledger = PostgresLedger::connect(&cluster.url(&database), sealer(), limits).await.unwrap();
    let Claimed::Won(hold) = ledger.claim(&new_claim(1), LEASE_MS).await.unwrap() else {
        panic!("not won")
    };
    let mut beside = raw(cluster, &database).await;
    let open = "select count(*) from pg_stat_activity \
         where datname = current_database() and state like 'idle in transaction%'";
    for most in 0..24 {
        let (mut call, mut polls) = (Box::pin(ledger.let_go(&hold)), 0);
        std::future::poll_fn(|context| {
            polls += 1;
            if polls > most { Poll::Ready(()) } else { call.as_mut().poll(context).map(drop) }
        })
        .await;
        drop(call);
        // By the same connection, after whatever was under way on it.
        ledger.find_claim(&hold.key).await.unwrap();
        let until = Instant::now() + LONG;
        while sqlx::query(open).fetch_one(&mut beside).await.unwrap().get::<i64, _>(0) > 0 {
            assert!(Instant::now() < until, "a session stays in its transaction, {most} polls");
            tokio::time::sleep(SHORT / 10).await;
        }
    }
    ledger.let_go(&hold).await.unwrap();
}
