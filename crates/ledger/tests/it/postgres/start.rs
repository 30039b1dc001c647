//! Starting on a database: URLs, TLS, schemas of other versions, many processes at once.

use std::time::{Duration, Instant};

use faregate_ledger::{ClaimStore, LedgerError, PostgresConfig, PostgresLedger, SettlementStore};
use sqlx::Row as _;
use tokio::task::JoinSet;

use super::{config, raw, run};
use crate::bench::WAIT_MS;
use crate::cluster::{self, PASSWORD, tcp_url};
use crate::samples::{LEASE_MS, new_claim, new_settlement};
use crate::stores::{connect, sealer};

const REPLICAS: usize = 8;

async fn refused(url: &str) -> LedgerError {
    PostgresLedger::connect(url, sealer(), config()).await.unwrap_err()
}

#[tokio::test]
async fn no_error_shows_the_password() {
    let cluster = cluster::shared();
    let good = cluster.tcp_url("postgres");
    let nobody_listens = tcp_url(1, "postgres");
    for (url, words) in [
        (nobody_listens, "127.0.0.1:1"),
        (good.replace(PASSWORD, &format!("{PASSWORD}-wrong")), "authentication failed"),
        (good.replace("/postgres", "/nowhere").replace("postgres:", "postgresql:"), "nowhere"),
        (good.replace("127.0.0.1", "host.invalid"), "host.invalid"),
        (format!("{good}?sslmode=sometimes"), "parameter"),
    ] {
        let error = refused(&url).await;
        let text = format!("{error} {error:?}");
        assert!(text.contains(words), "{text}");
        assert!(!text.contains(PASSWORD), "{text}");
    }
}

#[tokio::test]
async fn tls_is_asked_for_in_the_url() {
    let cluster = cluster::shared();
    let database = cluster.database().await;
    let url = cluster.tcp_url(&database);
    let root = cluster.certificate();
    let verified = format!("{url}?sslmode=verify-ca&sslrootcert={}", root.display());
    let named = verified.replace("verify-ca", "verify-full").replace("127.0.0.1", "localhost");
    for good in [format!("{url}?sslmode=require"), verified.clone(), named] {
        let ledger = connect(&good).await;
        let mut beside = raw(cluster, &database).await;
        let encrypted = "select count(*) from pg_stat_ssl join pg_stat_activity using (pid) \
             where datname = current_database() and application_name = 'faregate' and not ssl";
        let plain: i64 = sqlx::query(encrypted).fetch_one(&mut beside).await.unwrap().get(0);
        assert_eq!(plain, 0);
        ledger.close().await;
    }
    let stranger = refused(&format!("{url}?sslmode=verify-ca")).await;
    assert!(stranger.to_string().contains("certificate"), "{stranger}");
}

#[tokio::test]
async fn many_processes_start_at_once_on_an_empty_database() {
    let cluster = cluster::shared();
    let url = cluster.url(&cluster.database().await);
    let mut starts = JoinSet::new();
    for _ in 0..REPLICAS {
        let url = url.clone();
        starts.spawn(async move { connect(&url).await.deployment() });
    }
    let deployments: std::collections::HashSet<_> = starts.join_all().await.into_iter().collect();
    assert_eq!(deployments.len(), 1, "one ledger has one id");
}

#[tokio::test]
async fn o18_a_schema_of_a_newer_program_is_refused() {
    let cluster = cluster::shared();
    let database = cluster.database().await;
    connect(&cluster.url(&database)).await.close().await;
    let mut admin = raw(cluster, &database).await;
    run(
        &mut admin,
        "insert into _sqlx_migrations (version, description, success, checksum, execution_time) \
         values (999, 'of tomorrow', true, '', 0)",
    )
    .await;
    let error = refused(&cluster.url(&database)).await;
    assert!(matches!(error, LedgerError::NewerSchema { version: 999 }), "{error:?}");
    run(&mut admin, "delete from _sqlx_migrations where version = 999").await;
    connect(&cluster.url(&database)).await.close().await;
    run(&mut admin, "update _sqlx_migrations set checksum = 'x'").await;
    let error = refused(&cluster.url(&database)).await;
    assert!(error.to_string().contains("modified"), "{error}");
}

#[tokio::test]
async fn the_limits_hold_in_every_session() {
    let cluster = cluster::shared();
    let database = cluster.database().await;
    let mut limits = config();
    limits.max_connections = 1;
    limits.lock_timeout = Duration::from_millis(500);
    let wanted = limits.lock_timeout;
    let ledger = PostgresLedger::connect(&cluster.url(&database), sealer(), limits).await.unwrap();
    ledger.ping().await.unwrap();
    let mut beside = raw(cluster, &database).await;
    run(&mut beside, "begin; lock table claims in access exclusive mode").await;
    let begun = Instant::now();
    let error = ledger.find_claim(&new_claim(1).key).await.unwrap_err();
    let waited = begun.elapsed();
    assert!(error.to_string().contains("lock timeout"), "{error}");
    assert!(waited >= wanted && waited < PostgresConfig::default().lock_timeout, "{waited:?}");
}

#[tokio::test]
async fn the_journal_is_append_only_and_what_is_secret_is_sealed() {
    let cluster = cluster::shared();
    let database = cluster.database().await;
    let ledger = connect(&cluster.url(&database)).await;
    ledger.claim(&new_claim(1), LEASE_MS).await.unwrap();
    let new = new_settlement(1);
    ledger.reserve(&new, WAIT_MS).await.unwrap();
    let mut beside = raw(cluster, &database).await;
    for sql in ["update journal set actor = 'x'", "delete from journal", "truncate journal"] {
        let error = sqlx::query(sql).execute(&mut beside).await.unwrap_err();
        assert!(error.to_string().contains("append-only"), "{sql}: {error}");
    }
    let signature = new.request.payment_payload.payload["signature"].as_str().unwrap();
    let found = "select count(*) from settlements where position($1::bytea in request) > 0";
    let found = sqlx::query(found).bind(signature.as_bytes()).fetch_one(&mut beside).await;
    assert_eq!(found.unwrap().get::<i64, _>(0), 0, "the signature can be read");
}

#[tokio::test]
async fn a_reader_reads_and_writes_nothing() {
    let cluster = cluster::shared();
    let url = cluster.url(&cluster.database().await);
    let read = || PostgresLedger::connect_to_read(&url, sealer(), config());
    let none = read().await.unwrap_err();
    assert!(matches!(none, LedgerError::Unavailable { .. }), "nobody made a ledger: {none}");
    let ledger = connect(&url).await;
    ledger.claim(&new_claim(1), LEASE_MS).await.unwrap();
    let reader = read().await.unwrap();
    assert_eq!(reader.deployment(), ledger.deployment());
    assert!(reader.find_claim(&new_claim(1).key).await.unwrap().is_some());
    let refused = reader.claim(&new_claim(2), LEASE_MS).await.unwrap_err();
    assert!(refused.to_string().contains("read-only"), "{refused}");
    reader.close().await;
    ledger.close().await;
}
