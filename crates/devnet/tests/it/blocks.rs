//! Blocks, receipts, logs and fees as tools read them.

use alloy_consensus::Header;
use alloy_primitives::{Address, B64, B256, Bloom, Bytes, U256, keccak256};
use alloy_sol_types::SolCall as _;
use faregate_devnet::{
    DevnetConfig,
    accounts::{ACCOUNTS, BUYER, FACILITATOR, PAYEE, TOKEN},
};
use serde_json::{Value, json};

use crate::world::{
    FEE, World, authorization, pay_split, quantity, sign, sign_for, token_abi as abi, transfer,
};

fn field<T: std::str::FromStr>(block: &Value, name: &str) -> T {
    block[name].as_str().and_then(|text| text.parse().ok()).unwrap_or_else(|| panic!("{name}"))
}

/// The header that the JSON describes.
fn header(block: &Value) -> Header {
    Header {
        parent_hash: field(block, "parentHash"),
        ommers_hash: field(block, "sha3Uncles"),
        beneficiary: field(block, "miner"),
        state_root: field(block, "stateRoot"),
        transactions_root: field(block, "transactionsRoot"),
        receipts_root: field(block, "receiptsRoot"),
        logs_bloom: field(block, "logsBloom"),
        difficulty: U256::ZERO,
        number: quantity(&block["number"]),
        gas_limit: quantity(&block["gasLimit"]),
        gas_used: quantity(&block["gasUsed"]),
        timestamp: quantity(&block["timestamp"]),
        extra_data: field(block, "extraData"),
        mix_hash: field(block, "mixHash"),
        nonce: field::<B64>(block, "nonce"),
        base_fee_per_gas: Some(quantity(&block["baseFeePerGas"])),
        withdrawals_root: Some(field(block, "withdrawalsRoot")),
        blob_gas_used: Some(quantity(&block["blobGasUsed"])),
        excess_blob_gas: Some(quantity(&block["excessBlobGas"])),
        parent_beacon_block_root: Some(field(block, "parentBeaconBlockRoot")),
        requests_hash: Some(field(block, "requestsHash")),
        ..Header::default()
    }
}

async fn pay(world: &World, nonce: u8) -> Value {
    let payment = authorization(nonce);
    let data = pay_split(&payment, &sign_for(BUYER, TOKEN, &payment));
    world.send(FACILITATOR, TOKEN, data).await
}

#[tokio::test]
async fn hashes_verify_and_link() {
    let world = World::start().await;
    pay(&world, 1).await;
    pay(&world, 2).await;
    let mut parent = B256::ZERO;
    for number in 0..=2 {
        let tag = format!("{number:#x}");
        let block = world.rpc("eth_getBlockByNumber", json!([tag, false])).await;
        let hash: B256 = field(&block, "hash");
        assert_eq!(header(&block).hash_slow(), hash);
        assert_eq!(field::<B256>(&block, "parentHash"), parent);
        let same = world.rpc("eth_getBlockByHash", json!([hash, false])).await;
        assert_eq!(same, block);
        parent = hash;
    }
    assert_eq!(world.rpc("eth_getBlockByNumber", json!(["0x3", false])).await, Value::Null);
    assert_eq!(world.rpc("eth_getBlockByHash", json!([B256::ZERO, false])).await, Value::Null);
}

#[tokio::test]
async fn finality_stays_two_blocks_behind() {
    let world = World::start().await;
    let number = async |tag: &str| {
        quantity(&world.rpc("eth_getBlockByNumber", json!([tag, false])).await["number"])
    };
    for (mined, finalized) in [(0, 0), (1, 0), (1, 0), (1, 1), (5, 6)] {
        world.chain.mine(mined);
        assert_eq!(number("finalized").await, finalized);
        assert_eq!(number("safe").await, finalized);
        assert_eq!(number("latest").await, world.chain.block_number());
        assert_eq!(number("earliest").await, 0);
    }
}

#[tokio::test]
async fn receipts_add_up() {
    let world = World::start().await;
    world.chain.set_automine(false);
    for (index, account) in ACCOUNTS.iter().skip(3).take(3).enumerate() {
        let data = abi::transferCall { to: PAYEE.address, value: U256::from(index) };
        let transaction = world.transaction(*account, TOKEN, data.abi_encode()).await;
        world.send_raw(&sign(*account, &transaction)).await;
    }
    world.chain.mine(1);
    let block = world.rpc("eth_getBlockByNumber", json!(["latest", true])).await;
    let receipts = world.rpc("eth_getBlockReceipts", json!(["latest"])).await;
    let receipts = receipts.as_array().unwrap();
    assert_eq!(receipts.len(), 3);
    let mut cumulative = 0;
    let mut bloom = Bloom::ZERO;
    for (index, receipt) in receipts.iter().enumerate() {
        cumulative += quantity(&receipt["gasUsed"]);
        assert_eq!(quantity(&receipt["cumulativeGasUsed"]), cumulative);
        assert_eq!(quantity(&receipt["transactionIndex"]), index as u64);
        assert_eq!(receipt["blockHash"], block["hash"]);
        let hash = receipt["transactionHash"].clone();
        assert_eq!(world.rpc("eth_getTransactionReceipt", json!([hash])).await, *receipt);
        let by_hash = world.rpc("eth_getTransactionByHash", json!([hash])).await;
        assert_eq!(by_hash, block["transactions"][index]);
        let place = json!(["latest", format!("{index:#x}")]);
        assert_eq!(world.rpc("eth_getTransactionByBlockNumberAndIndex", place).await, by_hash);
        assert_eq!(receipt["effectiveGasPrice"], by_hash["gasPrice"]);
        assert_eq!(quantity(&receipt["logs"][0]["logIndex"]), index as u64);
        bloom |= field::<Bloom>(receipt, "logsBloom");
    }
    assert_eq!(quantity(&block["gasUsed"]), cumulative);
    assert_eq!(field::<Bloom>(&block, "logsBloom"), bloom);
    let count = world.rpc("eth_getBlockTransactionCountByNumber", json!(["latest"])).await;
    assert_eq!(count, "0x3");
    let nowhere = world.rpc("eth_getTransactionByBlockNumberAndIndex", json!(["latest", "0x3"]));
    assert_eq!(nowhere.await, Value::Null);
}

#[tokio::test]
async fn a_created_contract_stands_where_the_receipt_says() {
    let world = World::start().await;
    // Init code that returns the one byte STOP.
    let mut transaction = world.transaction(BUYER, Address::ZERO, Bytes::new()).await;
    transaction.to = alloy_primitives::TxKind::Create;
    transaction.input = Bytes::from_static(&alloy_primitives::hex!("5f5f5360015ff3"));
    let receipt = world.receipt(world.send_raw(&sign(BUYER, &transaction)).await).await;
    assert_eq!((&receipt["status"], &receipt["to"]), (&json!("0x1"), &Value::Null));
    let created: Address = field(&receipt, "contractAddress");
    assert_eq!(created, BUYER.address.create(0));
    assert_eq!(world.rpc("eth_getCode", json!([created])).await, "0x00");
}

#[tokio::test]
async fn logs_are_found_by_every_filter() {
    let world = World::start().await;
    for nonce in 1..=3 {
        pay(&world, nonce).await;
    }
    let find = async |filter: Value| {
        let found = world.rpc("eth_getLogs", json!([filter])).await;
        found.as_array().unwrap().len()
    };
    let used = keccak256("AuthorizationUsed(address,bytes32)");
    let moved = keccak256("Transfer(address,address,uint256)");
    let payee = PAYEE.address.into_word();
    assert_eq!(find(json!({ "fromBlock": "earliest" })).await, 6);
    assert_eq!(find(json!({})).await, 2);
    assert_eq!(find(json!({ "fromBlock": "0x2", "toBlock": "0x63" })).await, 4);
    assert_eq!(find(json!({ "fromBlock": "0x0", "address": TOKEN })).await, 6);
    assert_eq!(find(json!({ "fromBlock": "0x0", "address": [PAYEE.address] })).await, 0);
    assert_eq!(find(json!({ "fromBlock": "0x0", "address": [] })).await, 6);
    assert_eq!(find(json!({ "fromBlock": "0x0", "topics": [used] })).await, 3);
    assert_eq!(find(json!({ "fromBlock": "0x0", "topics": [[used, moved]] })).await, 6);
    assert_eq!(find(json!({ "fromBlock": "0x0", "topics": [null, null, payee] })).await, 3);
    let nonce = B256::repeat_byte(2);
    assert_eq!(find(json!({ "fromBlock": "0x0", "topics": [used, null, nonce] })).await, 1);
    assert_eq!(find(json!({ "fromBlock": "0x0", "topics": [null, null, null, null] })).await, 0);
    let hash = world.chain.block_hash(2).unwrap();
    let found = world.rpc("eth_getLogs", json!([{ "blockHash": hash }])).await;
    assert_eq!(found[0]["blockHash"], json!(hash));
    assert_eq!((&found[0]["blockNumber"], &found[1]["logIndex"]), (&json!("0x2"), &json!("0x1")));

    for filter in [
        json!({ "fromBlock": "0x2", "toBlock": "0x1" }),
        json!({ "blockHash": hash, "fromBlock": "0x1" }),
        json!({ "blockHash": B256::ZERO }),
        json!({ "topics": [null, null, null, null, null] }),
        json!({ "topics": "0x" }),
        json!({ "address": "0x12" }),
    ] {
        let refused = world.try_rpc("eth_getLogs", json!([filter])).await.unwrap_err();
        assert_eq!(refused.code, -32_602);
    }
}

#[tokio::test]
async fn base_fee_follows_eip_1559() {
    let config =
        DevnetConfig { block_gas_limit: 1_000_000, base_fee: 1_000_000_000, ..Default::default() };
    let world = World::with(config).await;
    world.chain.set_automine(false);
    world.chain.mine(1);
    let base_fee = async || {
        quantity(
            &world.rpc("eth_getBlockByNumber", json!(["latest", false])).await["baseFeePerGas"],
        )
    };
    assert_eq!(base_fee().await, 1_000_000_000);
    // Empty: down by an eighth.
    world.chain.mine(1);
    assert_eq!(base_fee().await, 875_000_000);
    // Full (47 transfers of 21000 in a limit of 1000000): up by almost an eighth.
    for nonce in 0..47 {
        world.send_raw(&sign(BUYER, &transfer(nonce, FEE, 1_000))).await;
    }
    world.chain.mine(2);
    let used = 47 * 21_000;
    let full = 765_625_000;
    assert_eq!(base_fee().await, full + full * (used - 500_000) / 500_000 / 8);
}

#[tokio::test]
async fn fee_history_tells_what_was_paid() {
    let world = World::start().await;
    world.chain.set_automine(false);
    for (index, tip) in [100, 300, 200].into_iter().enumerate() {
        world.send_raw(&sign(ACCOUNTS[index], &transfer(0, FEE, tip))).await;
    }
    world.chain.mine(2);
    let params = json!(["0x5", "latest", [0, 50, 99.5]]);
    let history = world.rpc("eth_feeHistory", params).await;
    assert_eq!(history["oldestBlock"], "0x0");
    assert_eq!(history["baseFeePerGas"].as_array().unwrap().len(), 4);
    let ratios = history["gasUsedRatio"].as_array().unwrap();
    assert_eq!(ratios.len(), 3);
    assert_eq!(ratios[1], json!(0.000525));
    let zero = json!(["0x0", "0x0", "0x0"]);
    assert_eq!(history["reward"], json!([zero, ["0x64", "0xc8", "0x12c"], zero]));
    let next = history["baseFeePerGas"][3].clone();
    let head = quantity(&history["baseFeePerGas"][2]);
    assert_eq!(quantity(&next), head - head / 8);
    let price = world.number("eth_gasPrice", json!([])).await;
    let tip = world.number("eth_maxPriorityFeePerGas", json!([])).await;
    assert_eq!(price, quantity(&next) + tip);
    let bare = world.rpc("eth_feeHistory", json!([1, "latest"])).await;
    assert_eq!(bare.get("reward"), None);
    for percentiles in [json!([50, 10]), json!([101]), json!([-1]), json!(["x"])] {
        let params = json!(["0x1", "latest", percentiles]);
        assert_eq!(world.try_rpc("eth_feeHistory", params).await.unwrap_err().code, -32_602);
    }
}
