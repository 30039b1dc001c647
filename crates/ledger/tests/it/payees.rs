//! One payee, one ledger of claims (P4).

use std::collections::BTreeSet;

use uuid::Uuid;

use crate::stores::{Store, on_every_store};

on_every_store! {
    p4_a_payee_is_its_first_owners_until_it_is_released,
    p4_of_16_that_enrol_at_once_one_owns_the_payee,
}

const NETWORK: &str = "eip155:84532";

async fn p4_a_payee_is_its_first_owners_until_it_is_released(ledger: impl Store) {
    let (one, two) = (Uuid::from_u128(1), Uuid::from_u128(2));
    assert_eq!(ledger.payees().await.unwrap(), []);
    assert_eq!(ledger.enrol(NETWORK, "0xA", one).await.unwrap(), one);
    assert_eq!(ledger.enrol(NETWORK, "0xA", two).await.unwrap(), one);
    assert_eq!(ledger.enrol(NETWORK, "0xA", one).await.unwrap(), one, "as often as it likes");
    assert_eq!(ledger.enrol("eip155:8453", "0xA", two).await.unwrap(), two, "another chain");
    assert_eq!(ledger.enrol(NETWORK, "0xB", two).await.unwrap(), two, "another payee");
    let payees = ledger.payees().await.unwrap();
    let listed: Vec<_> = payees
        .iter()
        .map(|payee| (payee.network.as_str(), payee.pay_to.as_str(), payee.deployment))
        .collect();
    let want = [("eip155:8453", "0xA", two), (NETWORK, "0xA", one), (NETWORK, "0xB", two)];
    assert_eq!(listed, want);
    assert!(payees.iter().all(|payee| payee.since_unix_ms > 0));
    assert!(ledger.release_payee(NETWORK, "0xA").await.unwrap());
    assert!(!ledger.release_payee(NETWORK, "0xA").await.unwrap());
    assert_eq!(ledger.enrol(NETWORK, "0xA", two).await.unwrap(), two);
}

async fn p4_of_16_that_enrol_at_once_one_owns_the_payee(ledger: impl Store) {
    let racers: Vec<_> = (0..16)
        .map(|n| {
            let ledger = ledger.clone();
            tokio::spawn(async move { ledger.enrol(NETWORK, "0xA", Uuid::from_u128(n)).await })
        })
        .collect();
    let mut owners = BTreeSet::new();
    for racer in racers {
        owners.insert(racer.await.unwrap().unwrap());
    }
    assert_eq!(owners.len(), 1, "{owners:?}");
}
