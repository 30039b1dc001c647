//! What only a file can show.

use faregate_ledger::{
    ClaimMove, ClaimState, ClaimStore, Claimed, LedgerError, Sealer, SettlementStore, SqliteLedger,
};

use crate::samples::{LEASE_MS, new_claim, new_settlement};

fn sealer() -> Sealer {
    Sealer::new(&"11".repeat(32), &[]).unwrap()
}

#[tokio::test]
async fn a_second_process_is_refused_and_the_file_is_found_again() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("ledger.db");
    let ledger = SqliteLedger::open(&path, sealer()).await.unwrap();
    let deployment = ledger.deployment();
    assert!(matches!(ledger.claim(&new_claim(1), LEASE_MS).await.unwrap(), Claimed::Won(_)));
    let second = SqliteLedger::open(&path, sealer()).await;
    assert!(matches!(second, Err(LedgerError::InUse { .. })), "{second:?}");
    ledger.close().await;
    drop(ledger);
    let again = SqliteLedger::open(&path, sealer()).await.unwrap();
    assert_eq!(again.deployment(), deployment);
    assert!(matches!(again.claim(&new_claim(1), LEASE_MS).await.unwrap(), Claimed::Exists(_)));
}

#[tokio::test]
async fn a_reader_reads_beside_the_writer_and_writes_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("ledger.db");
    let missing = SqliteLedger::open_to_read(&path, sealer()).await.unwrap_err();
    assert!(matches!(missing, LedgerError::Unavailable { .. }), "{missing}");
    assert!(!path.exists(), "a reader makes no ledger");
    let ledger = SqliteLedger::open(&path, sealer()).await.unwrap();
    ledger.claim(&new_claim(1), LEASE_MS).await.unwrap();
    let reader = SqliteLedger::open_to_read(&path, sealer()).await.unwrap();
    assert_eq!(reader.deployment(), ledger.deployment());
    ledger.claim(&new_claim(2), LEASE_MS).await.unwrap();
    let key = new_claim(2).key;
    assert!(reader.find_claim(&key).await.unwrap().is_some(), "what was written meanwhile");
    let refused = reader.claim(&new_claim(3), LEASE_MS).await.unwrap_err();
    assert!(matches!(refused, LedgerError::Unavailable { .. }), "{refused}");
    assert!(reader.retry_quarantined(&key).await.is_err());
    ledger.close().await;
    drop(ledger);
    assert!(reader.find_claim(&key).await.unwrap().is_some());
}

#[tokio::test]
async fn a_history_from_before_rows_were_found_by_settle_id_is_read_with_what_came_after() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("ledger.db");
    let ledger = SqliteLedger::open(&path, sealer()).await.unwrap();
    let (new, other) = (new_claim(1), new_claim(2));
    ledger.claim(&other, LEASE_MS).await.unwrap();
    let raw = rusqlite::Connection::open(&path).unwrap();
    let old = "insert into journal (at_ms, actor, subject, payment_key, from_state, to_state, \
               evidence) values (1, 'gate', 'claim', ?, '', 'OLD', '{}')";
    raw.execute(old, [new.key.0.as_slice()]).unwrap();
    let Claimed::Won(hold) = ledger.claim(&new, LEASE_MS).await.unwrap() else { panic!() };
    ledger.reserve(&new_settlement(1), 1000).await.unwrap();
    let step = ClaimMove {
        from: ClaimState::Verified,
        to: ClaimState::Released,
        transaction: None,
        evidence: serde_json::json!({}),
    };
    assert!(ledger.move_claim(&hold, step).await.unwrap());
    let found = ledger.journal(&new.key).await.unwrap();
    let found: Vec<_> = found.iter().map(|row| (&*row.subject, &*row.to_state)).collect();
    let expected = [
        ("claim", "OLD"),
        ("claim", "VERIFIED"),
        ("settlement", "RESERVED"),
        ("claim", "RELEASED"),
    ];
    assert_eq!(found, expected);
}

#[tokio::test]
async fn a_file_that_is_no_database_is_a_clear_error() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("ledger.db");
    std::fs::write(&path, "this is not a database, but a text that is long enough to be read")
        .unwrap();
    let error = SqliteLedger::open(&path, sealer()).await.unwrap_err();
    assert!(error.to_string().contains("unavailable"), "{error}");
}

#[tokio::test]
async fn a_missing_folder_is_a_clear_error() {
    let error =
        SqliteLedger::open("/no/such/folder/ledger.db".as_ref(), sealer()).await.unwrap_err();
    assert!(error.to_string().contains("/no/such/folder"), "{error}");
}

#[tokio::test]
async fn the_files_are_their_owners_only() {
    use std::os::unix::fs::PermissionsExt as _;
    let dir = tempfile::tempdir().unwrap();
    let ledger = SqliteLedger::open(&dir.path().join("ledger.db"), sealer()).await.unwrap();
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
    let ledger = SqliteLedger::open(&dir.path().join("ledger.db"), sealer()).await.unwrap();
    ledger.ping().await.unwrap();
    assert_eq!(ledger.durability().await.unwrap(), ("wal".to_owned(), 2));
}

#[tokio::test]
async fn o21_no_signed_payment_is_readable_in_the_files() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("ledger.db");
    let ledger = SqliteLedger::open(&path, sealer()).await.unwrap();
    let new = new_settlement(1);
    ledger.reserve(&new, LEASE_MS).await.unwrap();
    let signature = new.request.payment_payload.payload["signature"].as_str().unwrap().to_owned();
    for entry in std::fs::read_dir(dir.path()).unwrap() {
        let bytes = std::fs::read(entry.unwrap().path()).unwrap();
        let found = bytes.windows(signature.len()).any(|window| window == signature.as_bytes());
        assert!(!found, "the signature stands in a file");
    }
    ledger.close().await;
    drop(ledger);
    let stranger = Sealer::new(&"22".repeat(32), &[]).unwrap();
    let ledger = SqliteLedger::open(&path, stranger).await.unwrap();
    let read = ledger.find_settlement(&new.key).await;
    assert!(matches!(read, Err(LedgerError::Unsealable)), "{read:?}");
    assert!(ledger.due(&new.network, 0, 10).await.unwrap().is_empty(), "skipped, not fatal");
}
