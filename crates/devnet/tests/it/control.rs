//! What a test can do to the chain: time, block time, reorganisations, snapshots, state.

use std::time::Duration;

use alloy_primitives::{B256, Bytes, U256};
use faregate_devnet::{
    ChainError, DevnetConfig, Orphans, Predeploy, Reorg,
    accounts::{BUYER, FACILITATOR, PAYEE, TOKEN},
    limits::STATE_HISTORY_BLOCKS,
};
use serde_json::{Value, json};

use crate::world::{
    FEE, STRANGER, World, authorization, pay_split, quantity, sign, sign_for, transfer,
};

const TIP: u128 = 1_000_000;

async fn wait_for(what: impl AsyncFn() -> bool) {
    for _ in 0..300 {
        if what().await {
            return;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("waited in vain");
}

#[tokio::test]
async fn blocks_come_on_time() {
    let block_time = Some(Duration::from_millis(50));
    let world = World::with(DevnetConfig { block_time, ..DevnetConfig::default() }).await;
    let raw = sign(BUYER, &transfer(0, FEE, TIP));
    let hash = world.send_raw(&raw).await;
    wait_for(async || world.receipt(hash).await != Value::Null).await;
    wait_for(async || world.chain.block_number() >= 4).await;
    world.chain.set_automine(false);
    let stopped = world.chain.block_number();
    tokio::time::sleep(Duration::from_millis(150)).await;
    assert_eq!(world.chain.block_number(), stopped);
    world.chain.set_block_time(Some(Duration::from_millis(20)));
    wait_for(async || world.chain.block_number() > stopped + 2).await;
    world.chain.set_block_time(None);
    world.rpc("evm_setIntervalMining", json!([1])).await;
    assert_eq!(world.rpc("anvil_getAutomine", json!([])).await, false);
    let waiting = world.send_raw(&sign(BUYER, &transfer(1, FEE, TIP))).await;
    wait_for(async || world.receipt(waiting).await != Value::Null).await;
}

#[tokio::test]
async fn mining_on_demand() {
    let world = World::start().await;
    world.rpc("evm_setAutomine", json!([false])).await;
    let hash = world.send_raw(&sign(BUYER, &transfer(0, FEE, TIP))).await;
    assert_eq!(world.receipt(hash).await, Value::Null);
    world.rpc("evm_mine", json!([])).await;
    assert_eq!(world.receipt(hash).await["blockNumber"], "0x1");
    world.rpc("anvil_mine", json!(["0x3", "0xa"])).await;
    assert_eq!(world.chain.block_number(), 4);
    let second = world.send_raw(&sign(BUYER, &transfer(1, FEE, TIP))).await;
    // Turning automatic mining on takes what waits.
    world.rpc("evm_setAutomine", json!([true])).await;
    assert_eq!(world.receipt(second).await["blockNumber"], "0x5");
    let many = world.try_rpc("anvil_mine", json!(["0xffffff"])).await.unwrap_err();
    assert_eq!(many.code, -32_602);
}

#[tokio::test]
async fn time_moves_forward_only() {
    let world = World::start().await;
    let newest = async || {
        quantity(&world.rpc("eth_getBlockByNumber", json!(["latest", false])).await["timestamp"])
    };
    let start = newest().await;
    world.rpc("evm_increaseTime", json!([3_600])).await;
    world.chain.mine(1);
    assert!(newest().await >= start + 3_600);
    let wanted = start + 10_000;
    world.chain.set_next_timestamp(wanted).unwrap();
    world.chain.mine(1);
    assert_eq!(newest().await, wanted);
    world.chain.mine(1);
    assert!((wanted..wanted + 5).contains(&newest().await));
    let error = world.chain.set_next_timestamp(start).unwrap_err();
    assert!(matches!(error, ChainError::TimestampTooLow { .. }));
    let refused = world.try_rpc("evm_setNextBlockTimestamp", json!([1])).await.unwrap_err();
    assert!(refused.message.starts_with("timestamp 1 is lower"));
    world.rpc("evm_mine", json!([{ "timestamp": wanted + 500 }])).await;
    assert_eq!(newest().await, wanted + 500);
    // Time decides what an authorization is worth.
    let mut payment = authorization(1);
    payment.validBefore = U256::from(wanted + 1_000);
    let data = pay_split(&payment, &sign_for(BUYER, TOKEN, &payment));
    assert_eq!(crate::world::simulate(&world, TOKEN, &data).await, Ok(()));
    world.chain.increase_time(1_000);
    let text = crate::world::simulate(&world, TOKEN, &data).await.unwrap_err();
    assert_eq!(text, "FiatTokenV2: authorization is expired");
}

async fn pay(world: &World, nonce: u8) -> (B256, Bytes) {
    let payment = authorization(nonce);
    let data = pay_split(&payment, &sign_for(BUYER, TOKEN, &payment));
    let raw = sign(FACILITATOR, &world.transaction(FACILITATOR, TOKEN, data).await);
    (world.send_raw(&raw).await, raw)
}

#[tokio::test]
async fn a_reorg_can_lose_a_payment() {
    let world = World::start().await;
    let (first, _) = pay(&world, 1).await;
    let (lost, raw) = pay(&world, 2).await;
    let (behind, _) = pay(&world, 3).await;
    let old = [1, 2, 3].map(|number| world.chain.block_hash(number).unwrap());
    let reorg = Reorg { depth: 2, without: vec![lost], orphans: Orphans::Forgotten };
    world.chain.reorg(&reorg).unwrap();

    assert_eq!(world.chain.block_number(), 3);
    assert_eq!(world.chain.block_hash(1), Some(old[0]));
    assert_ne!(world.chain.block_hash(2), Some(old[1]));
    assert_ne!(world.chain.block_hash(3), Some(old[2]));
    let gone = world.rpc("eth_getBlockByHash", json!([old[1], false])).await;
    assert_eq!(gone, Value::Null);
    assert_eq!(world.receipt(first).await["status"], "0x1");
    assert_eq!(world.receipt(lost).await, Value::Null);
    assert_eq!(world.rpc("eth_getTransactionByHash", json!([lost])).await, Value::Null);
    // Its successor has lost its place in line and waits.
    assert_eq!(world.receipt(behind).await, Value::Null);
    assert_eq!(world.chain.pending(), [behind]);
    assert_eq!(world.dollars(PAYEE.address).await, U256::from(10_000));
    assert_eq!(world.chain.nonce(FACILITATOR.address), 1);

    // The same bytes, sent again, bring everything back.
    assert_eq!(world.send_raw(&raw).await, lost);
    assert_eq!(world.receipt(behind).await["status"], "0x1");
    assert_eq!(world.dollars(PAYEE.address).await, U256::from(30_000));
}

#[tokio::test]
async fn a_reorg_can_move_a_payment() {
    let world = World::start().await;
    let (hash, _) = pay(&world, 1).await;
    let before = world.receipt(hash).await;
    world.rpc("anvil_reorg", json!([1])).await;
    let after = world.receipt(hash).await;
    assert_eq!(before["blockNumber"], after["blockNumber"]);
    assert_ne!(before["blockHash"], after["blockHash"]);
    assert_eq!(world.dollars(PAYEE.address).await, U256::from(10_000));

    world.rpc("anvil_reorg", json!([1, [hash], true])).await;
    assert_eq!(world.receipt(hash).await, Value::Null);
    assert_eq!(world.chain.pending(), [hash]);
    assert_eq!(world.dollars(PAYEE.address).await, U256::ZERO);
    world.chain.mine(1);
    assert_eq!(world.receipt(hash).await["blockNumber"], "0x2");
}

#[tokio::test]
async fn a_reorg_has_a_limit() {
    let world = World::start().await;
    let deep = |depth| world.chain.reorg(&Reorg { depth, ..Reorg::default() });
    assert_eq!(deep(1), Err(ChainError::ReorgTooDeep { depth: 1, most: 0 }));
    let kept = STATE_HISTORY_BLOCKS as u64;
    world.chain.mine(kept + 10);
    assert_eq!(deep(kept), Ok(()));
    assert!(deep(kept + 1).is_err());
    assert_eq!(world.chain.block_number(), kept + 10);
}

#[tokio::test]
async fn a_snapshot_brings_everything_back() {
    let world = World::start().await;
    pay(&world, 1).await;
    let head = world.chain.block_hash(1);
    let snapshot = world.chain.snapshot();
    let (lost, _) = pay(&world, 2).await;
    world.chain.set_balance(STRANGER, U256::from(5));
    let undone = world.chain.block_hash(2);
    assert!(world.chain.revert(snapshot));
    assert_eq!((world.chain.block_number(), world.chain.block_hash(1)), (1, head));
    assert_eq!(world.dollars(PAYEE.address).await, U256::from(10_000));
    assert_eq!(world.chain.balance(STRANGER), U256::ZERO);
    assert_eq!(world.receipt(lost).await, Value::Null);
    assert!(!world.chain.revert(snapshot), "a snapshot is used once");
    pay(&world, 2).await;
    assert_ne!(world.chain.block_hash(2), undone);

    let id = world.rpc("evm_snapshot", json!([])).await;
    world.chain.mine(3);
    assert_eq!(world.rpc("evm_revert", json!([id])).await, true);
    assert_eq!(world.chain.block_number(), 2);
    assert_eq!(world.rpc("evm_revert", json!(["0x99"])).await, false);
}

#[tokio::test]
async fn state_can_be_written() {
    let world = World::start().await;
    world.rpc("anvil_setBalance", json!([STRANGER, "0x10"])).await;
    assert_eq!(world.rpc("eth_getBalance", json!([STRANGER])).await, "0x10");
    world.rpc("anvil_setNonce", json!([STRANGER, "0x9"])).await;
    assert_eq!(world.number("eth_getTransactionCount", json!([STRANGER])).await, 9);
    world.rpc("anvil_setCode", json!([STRANGER, "0x00"])).await;
    assert_eq!(world.rpc("eth_getCode", json!([STRANGER, "latest"])).await, "0x00");
    let word = B256::from(U256::from(6));
    world.rpc("anvil_setStorageAt", json!([STRANGER, "0x5", word])).await;
    assert_eq!(
        world.rpc("eth_getStorageAt", json!([STRANGER, "0x5", "latest"])).await,
        json!(word)
    );
    assert_eq!(world.chain.storage(STRANGER, U256::from(5)), U256::from(6));
    let bad = world.try_rpc("anvil_setCode", json!([STRANGER, "0xef0100"])).await.unwrap_err();
    assert!(bad.message.starts_with("invalid code 0xef0100"), "{}", bad.message);
    world.rpc("anvil_setNextBlockBaseFeePerGas", json!(["0x64"])).await;
    world.chain.mine(1);
    let block = world.rpc("eth_getBlockByNumber", json!(["latest", false])).await;
    assert_eq!(block["baseFeePerGas"], "0x64");
}

#[tokio::test]
async fn predeploys_stand_at_genesis() {
    let predeploy = Predeploy {
        address: STRANGER,
        // SLOAD of slot 1, returned.
        code: Bytes::from_static(&alloy_primitives::hex!("6001545f5260205ff3")),
        storage: vec![(U256::from(1), U256::from(77))],
    };
    let config = DevnetConfig { predeploys: vec![predeploy], ..DevnetConfig::default() };
    let world = World::with(config).await;
    let seen = world.rpc("eth_call", json!([{ "to": STRANGER }])).await;
    assert_eq!(seen, json!(B256::from(U256::from(77))));
    assert_eq!(world.rpc("eth_syncing", json!([])).await, false);
    let accounts = world.rpc("eth_accounts", json!([])).await;
    assert_eq!(accounts.as_array().unwrap().len(), 10);
    let client = world.rpc("web3_clientVersion", json!([])).await;
    assert!(client.as_str().unwrap().starts_with("faregate-devnet/"));
}
