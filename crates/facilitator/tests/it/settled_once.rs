//! The door over the real engine, a ledger and a simulated chain: one payment is one settlement,
//! in whichever version it is presented.

use std::sync::Arc;

use alloy_primitives::Address;
use faregate_chain::Chain;
use faregate_chain::simulated::SimulatedChain;
use faregate_engine::clock::Clock;
use faregate_engine::{Engine, Running};
use faregate_facilitator::{Limits, ServeLimits};
use faregate_ledger::{SettlementStore, SqliteLedger};
use faregate_telemetry::Metrics;
use serde_json::{Value, json};

use crate::harness::{Door, open};

const NOW: u64 = 1_770_000_000;
const PAYER: Address = Address::repeat_byte(0xaa);
const PAYEE: Address = Address::repeat_byte(0xbb);

struct StoppedClock;

impl Clock for StoppedClock {
    fn now_unix_ms(&self) -> u64 {
        NOW * 1000
    }
}

async fn world() -> (Door, Arc<SimulatedChain>, Running) {
    let chain = Arc::new(SimulatedChain::new(84532, &["0xsigner"], NOW, true));
    chain.mint(PAYER, 1_000_000);
    chain.mine();
    let store: Arc<dyn SettlementStore> = Arc::new(SqliteLedger::open_in_memory().await.unwrap());
    let clock: Arc<dyn Clock> = Arc::new(StoppedClock);
    let chains: Vec<Arc<dyn Chain>> = vec![chain.clone()];
    let (engine, running) = Engine::start(
        chains,
        &store,
        &clock,
        &Metrics::new([]),
        faregate_engine::Limits::default(),
    );
    let door = open(Arc::new(engine), Limits::default(), ServeLimits::default()).await;
    (door, chain, running)
}

fn signed(nonce: u8) -> Value {
    json!({
        "authorization": {
            "from": PAYER.to_checksum(None), "to": PAYEE.to_checksum(None), "value": "10000",
            "validAfter": "0", "validBefore": (NOW + 300).to_string(),
            "nonce": format!("0x{}", format!("{nonce:02x}").repeat(32)),
        },
        "signature": format!("0x{}", "ab".repeat(65)),
    })
}

fn v1(nonce: u8) -> String {
    json!({
        "x402Version": 1,
        "paymentPayload": {
            "x402Version": 1, "scheme": "exact", "network": "base-sepolia",
            "payload": signed(nonce),
        },
        "paymentRequirements": {
            "scheme": "exact", "network": "base-sepolia", "maxAmountRequired": "10000",
            "resource": "https://api.example.com/x", "description": "x", "mimeType": "",
            "payTo": PAYEE.to_checksum(None), "maxTimeoutSeconds": 300,
            "asset": "0x036CbD53842c5426634e7929541eC2318f3dCF7e",
            "extra": {"name": "USDC", "version": "2"},
        },
    })
    .to_string()
}

fn v2(nonce: u8) -> String {
    let requirements = json!({
        "scheme": "exact", "network": "eip155:84532", "amount": "10000",
        "asset": "0x036CbD53842c5426634e7929541eC2318f3dCF7e",
        "payTo": PAYEE.to_checksum(None), "maxTimeoutSeconds": 300,
        "extra": {"name": "USDC", "version": "2"},
    });
    json!({
        "x402Version": 2,
        "paymentPayload": {
            "x402Version": 2, "payload": signed(nonce), "accepted": requirements,
        },
        "paymentRequirements": requirements,
    })
    .to_string()
}

#[tokio::test]
async fn settled_in_one_version_it_is_known_in_the_other() {
    let (door, chain, _running) = world().await;
    type Body = fn(u8) -> String;
    let orders: [(Body, Body, [&str; 2]); 2] =
        [(v1, v2, ["base-sepolia", "eip155:84532"]), (v2, v1, ["eip155:84532", "base-sepolia"])];
    for (nonce, (first, second, networks)) in (1..).zip(orders) {
        let paid = door.post("/settle", first(nonce)).await;
        assert_eq!((paid.status, &paid.body["success"]), (200, &json!(true)), "{:?}", paid.body);
        let again = door.post("/settle", second(nonce)).await;
        // The terms of the two versions are the same, so it is the same settlement, reported once.
        assert_eq!(again.body["errorReason"], "duplicate_settlement");
        assert_eq!(again.body["transaction"], paid.body["transaction"]);
        assert_eq!([&paid.body["network"], &again.body["network"]], networks);
        assert_eq!(chain.transfers(), usize::from(nonce));
    }
}

#[tokio::test]
async fn the_same_settle_id_gets_the_same_answer_in_both_versions() {
    let (door, chain, _running) = world().await;
    let id = [("Idempotency-Key", "018f3a2b-0000-7000-8000-000000000001")];
    let mut first = door.post_body("/settle", v1(1), &id).await.body;
    let second = door.post_body("/settle", v2(1), &id).await.body;
    assert_eq!((&first["success"], &first["network"]), (&json!(true), &json!("base-sepolia")));
    first["network"] = json!("eip155:84532");
    assert_eq!(first, second);
    assert_eq!(chain.transfers(), 1);
}

#[tokio::test]
async fn kinds_are_listed_for_both_versions() {
    let (door, _chain, _running) = world().await;
    let kinds = door.send("GET", "/supported").await.body["kinds"].clone();
    let listed: Vec<_> = kinds.as_array().unwrap().iter().map(|k| &k["network"]).collect();
    assert_eq!(listed, ["eip155:84532", "base-sepolia"]);
}
