//! The file, its mode, its lock, and what damage does.

use super::*;
use std::os::unix::fs::PermissionsExt as _;

const ID: &str = "abc0";

fn record() -> Record {
    Record {
        version: VERSION,
        state: State::Sent,
        url: "http://127.0.0.1/x".into(),
        protocol: Version::V1,
        header: "aGVhZGVy".into(),
        network: Network::eip155(84532),
        asset: "0x036CbD53842c5426634e7929541eC2318f3dCF7e".into(),
        symbol: "USDC".into(),
        decimals: 6,
        amount: 10_000.into(),
        pay_to: "0x209693Bc6afc0C5328bA36FaF03C514EF312287C".into(),
        payer: "0xf39Fd6e51aad88F6F4ce6aB8827279cffFb92266".into(),
        valid_before: 1_770_000_000,
    }
}

async fn entry(journal: &Journal) -> Entry {
    journal.lock(ID, Duration::from_secs(1)).await.unwrap()
}

#[tokio::test]
async fn a_record_is_private_and_survives_until_it_is_removed() {
    let home = tempfile::tempdir().unwrap();
    let dir = home.path().join("deep/state");
    let journal = Journal::open(&dir).unwrap();
    assert_eq!(fs::metadata(&dir).unwrap().permissions().mode() & 0o777, 0o700);
    {
        let entry = entry(&journal).await;
        assert!(entry.read().await.unwrap().is_none());
        entry.write(&record()).await.unwrap();
        let mode = fs::metadata(&entry.path).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
    }
    let entry = entry(&Journal::open(&dir).unwrap()).await;
    let read = entry.read().await.unwrap().unwrap();
    assert_eq!((read.header.as_str(), read.price().as_str()), ("aGVhZGVy", "0.01 USDC"));
    assert_eq!(read.protocol, Version::V1);
    entry.remove().unwrap();
    entry.remove().unwrap();
    assert!(entry.read().await.unwrap().is_none());
}

#[tokio::test]
async fn a_write_that_was_cut_leaves_the_old_record_and_the_next_write_works() {
    let home = tempfile::tempdir().unwrap();
    let entry = entry(&Journal::open(home.path()).unwrap()).await;
    entry.write(&record()).await.unwrap();
    fs::write(entry.path.with_extension("tmp"), b"{\"half").unwrap();
    assert_eq!(entry.read().await.unwrap().unwrap().state, State::Sent);
    entry.write(&record().refused()).await.unwrap();
    assert_eq!(entry.read().await.unwrap().unwrap().state, State::Refused);
}

#[tokio::test]
async fn damage_stops_the_run_and_the_error_names_the_file_only() {
    let home = tempfile::tempdir().unwrap();
    let entry = entry(&Journal::open(home.path()).unwrap()).await;
    let mut other = serde_json::to_value(record()).unwrap();
    other["version"] = 2.into();
    let mut unspoken = serde_json::to_value(record()).unwrap();
    unspoken["protocol"] = 3.into();
    let texts = [other.to_string(), unspoken.to_string()];
    for text in ["", "{", "{\"header\":\"canary\"}", &texts[0], &texts[1]] {
        fs::write(&entry.path, text).unwrap();
        let error = entry.read().await.err().unwrap().to_string();
        assert!(error.contains("abc0.json") && error.contains("damaged"), "{error}");
        assert!(!error.contains("canary"), "{error}");
    }
}

#[tokio::test]
async fn one_holder_at_a_time() {
    let home = tempfile::tempdir().unwrap();
    let journal = Journal::open(home.path()).unwrap();
    let held = entry(&journal).await;
    let second = journal.lock(ID, Duration::from_millis(30)).await;
    assert!(matches!(second, Err(BuyerError::Busy)));
    assert!(journal.lock("def0", Duration::from_millis(30)).await.is_ok());
    drop(held);
    assert!(journal.lock(ID, Duration::from_millis(30)).await.is_ok());
}

#[tokio::test]
async fn a_record_that_names_no_protocol_version_is_of_version_2() {
    let home = tempfile::tempdir().unwrap();
    let entry = entry(&Journal::open(home.path()).unwrap()).await;
    let mut value = serde_json::to_value(record()).unwrap();
    assert_eq!(value["protocol"], 1);
    value.as_object_mut().unwrap().remove("protocol");
    fs::write(&entry.path, value.to_string()).unwrap();
    assert_eq!(entry.read().await.unwrap().unwrap().protocol, Version::V2);
}
