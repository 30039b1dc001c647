//! What only a file can show.

use faregate_ledger::{ClaimStore, Claimed, LedgerError, SqliteLedger};

use crate::{LEASE_MS, new_claim};

#[tokio::test]
async fn a_second_process_is_refused_and_the_file_is_found_again() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("ledger.db");
    let ledger = SqliteLedger::open(&path).await.unwrap();
    let deployment = ledger.deployment();
    assert!(matches!(ledger.claim(&new_claim(1), LEASE_MS).await.unwrap(), Claimed::Won(_)));
    let second = SqliteLedger::open(&path).await;
    assert!(matches!(second, Err(LedgerError::InUse { .. })), "{second:?}");
    ledger.close().await;
    drop(ledger);
    let again = SqliteLedger::open(&path).await.unwrap();
    assert_eq!(again.deployment(), deployment);
    assert!(matches!(again.claim(&new_claim(1), LEASE_MS).await.unwrap(), Claimed::Exists(_)));
}

#[tokio::test]
async fn a_file_that_is_no_database_is_a_clear_error() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("ledger.db");
    std::fs::write(&path, "this is not a database, but a text that is long enough to be read")
        .unwrap();
    let error = SqliteLedger::open(&path).await.unwrap_err();
    assert!(error.to_string().contains("unavailable"), "{error}");
}

#[tokio::test]
async fn a_missing_folder_is_a_clear_error() {
    let error = SqliteLedger::open("/no/such/folder/ledger.db".as_ref()).await.unwrap_err();
    assert!(error.to_string().contains("/no/such/folder"), "{error}");
}

#[tokio::test]
async fn the_files_are_their_owners_only() {
    use std::os::unix::fs::PermissionsExt as _;
    let dir = tempfile::tempdir().unwrap();
    let ledger = SqliteLedger::open(&dir.path().join("ledger.db")).await.unwrap();
    ledger.claim(&new_claim(1), LEASE_MS).await.unwrap();
    let mut seen = 0;
    for entry in std::fs::read_dir(dir.path()).unwrap() {
        let entry = entry.unwrap();
        let mode = entry.metadata().unwrap().permissions().mode() & 0o777;
        assert_eq!(mode, 0o600, "{:?}", entry.file_name());
        seen += 1;
    }
    assert!(seen >= 3, "database, log and lock");
}

#[tokio::test]
async fn commits_are_durable() {
    let dir = tempfile::tempdir().unwrap();
    let ledger = SqliteLedger::open(&dir.path().join("ledger.db")).await.unwrap();
    ledger.ping().await.unwrap();
    assert_eq!(ledger.durability().await.unwrap(), ("wal".to_owned(), 2));
}
