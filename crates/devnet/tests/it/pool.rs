//! Waiting transactions: what is refused and in which words, order, gaps, replacement.

use alloy_consensus::{SignableTransaction as _, TxEip7702, TxEnvelope, TxLegacy};
use alloy_eips::{Encodable2718 as _, eip7702::Authorization};
use alloy_primitives::{Address, B256, Bytes, TxKind, U256, b256, hex};
use faregate_devnet::accounts::{ACCOUNTS, BUYER, FACILITATOR, PAYEE};
use serde_json::{Value, json};

use crate::world::{FEE, Refused, STRANGER, World, quantity, sign, sign_digest, transfer};

const TIP: u128 = 1_000_000;

async fn refusal(world: &World, raw: &Bytes) -> String {
    let Refused { code, message, .. } = world.try_send(raw).await.unwrap_err();
    assert_eq!(code, -32_000);
    message
}

#[tokio::test]
async fn refusals_use_geths_words() {
    let world = World::start().await;
    world.send_raw(&sign(BUYER, &transfer(0, FEE, TIP))).await;
    let again = sign(BUYER, &transfer(0, FEE, TIP));
    assert_eq!(refusal(&world, &again).await, "already known");
    let low = sign(BUYER, &transfer(0, FEE + 1, TIP));
    assert_eq!(refusal(&world, &low).await, "nonce too low: next nonce 1, tx nonce 0");

    let mut poor = transfer(1, FEE, TIP);
    poor.value = U256::from(10).pow(U256::from(30));
    let text = refusal(&world, &sign(BUYER, &poor)).await;
    assert!(text.starts_with("insufficient funds for gas * price + value: address 0x70997970C518"));
    let mut tight = transfer(1, FEE, TIP);
    tight.gas_limit = 20_999;
    let text = refusal(&world, &sign(BUYER, &tight)).await;
    assert_eq!(text, "intrinsic gas too low: gas 20999, minimum needed 21000");
    let mut floor = transfer(1, FEE, TIP);
    floor.input = vec![1; 1_000].into();
    floor.gas_limit = 40_000;
    let text = refusal(&world, &sign(BUYER, &floor)).await;
    assert!(text.starts_with("insufficient gas for floor data gas cost"), "{text}");
    let mut huge = transfer(1, FEE, TIP);
    huge.gas_limit = 120_000_001;
    assert_eq!(refusal(&world, &sign(BUYER, &huge)).await, "exceeds block gas limit");
    let tip = refusal(&world, &sign(BUYER, &transfer(1, 5, 6))).await;
    assert_eq!(tip, "max priority fee per gas higher than max fee per gas");
    let mut foreign = transfer(1, FEE, TIP);
    foreign.chain_id = 1;
    let text = refusal(&world, &sign(BUYER, &foreign)).await;
    assert_eq!(text, "invalid chain id for signer: have 1 want 84532");
    for garbage in [Bytes::new(), Bytes::from_static(&[0x02]), vec![0xff; 300].into()] {
        assert!(world.try_send(&garbage).await.is_err());
    }
    assert_eq!(world.chain.block_number(), 1);
    assert_eq!(world.chain.pending(), Vec::<B256>::new());
}

fn legacy(chain_id: Option<u64>) -> Bytes {
    let transaction = TxLegacy {
        chain_id,
        nonce: 0,
        gas_price: FEE,
        gas_limit: 21_000,
        to: TxKind::Call(STRANGER),
        value: U256::from(1),
        input: Bytes::new(),
    };
    let signature = sign_digest(BUYER, transaction.signature_hash());
    TxEnvelope::from(transaction.into_signed(signature)).encoded_2718().into()
}

#[tokio::test]
async fn legacy_transactions_need_a_chain_id() {
    let world = World::start().await;
    let text = refusal(&world, &legacy(None)).await;
    assert_eq!(text, "only replay-protected (EIP-155) transactions allowed over RPC");
    let hash = world.send_raw(&legacy(Some(84_532))).await;
    let receipt = world.receipt(hash).await;
    assert_eq!((&receipt["type"], &receipt["status"]), (&json!("0x0"), &json!("0x1")));
    assert_eq!(u128::from(quantity(&receipt["effectiveGasPrice"])), FEE);
    let sent = world.rpc("eth_getTransactionByHash", json!([hash])).await;
    let v = quantity(&sent["v"]);
    assert!(v == 84_532 * 2 + 35 || v == 84_532 * 2 + 36);
}

#[tokio::test]
async fn an_account_can_delegate_to_code() {
    let world = World::start().await;
    let delegate = Address::repeat_byte(0x42);
    let entry = Authorization { chain_id: U256::from(84_532), address: delegate, nonce: 0 };
    let signature = sign_digest(PAYEE, entry.signature_hash());
    let transaction = TxEip7702 {
        chain_id: 84_532,
        nonce: 0,
        gas_limit: 100_000,
        max_fee_per_gas: FEE,
        max_priority_fee_per_gas: TIP,
        to: STRANGER,
        value: U256::ZERO,
        access_list: Default::default(),
        authorization_list: vec![entry.into_signed(signature)],
        input: Bytes::new(),
    };
    let signature = sign_digest(BUYER, transaction.signature_hash());
    let raw = TxEnvelope::from(transaction.into_signed(signature)).encoded_2718();
    let hash = world.send_raw(&raw.into()).await;
    assert_eq!(world.receipt(hash).await["type"], "0x4");
    let code = world.rpc("eth_getCode", json!([PAYEE.address])).await;
    assert_eq!(code, hex::encode_prefixed([&hex!("ef0100")[..], delegate.as_slice()].concat()));
    // A delegated account still sends transactions.
    let own = sign(PAYEE, &transfer(1, FEE, TIP));
    assert_eq!(world.receipt(world.send_raw(&own).await).await["status"], "0x1");
}

#[tokio::test]
async fn a_gap_is_waited_for() {
    let world = World::start().await;
    let later = world.send_raw(&sign(BUYER, &transfer(2, FEE, TIP))).await;
    let middle = world.send_raw(&sign(BUYER, &transfer(1, FEE, TIP))).await;
    assert_eq!(
        world.rpc("txpool_status", json!([])).await,
        json!({"pending":"0x0","queued":"0x2"})
    );
    let waiting = world.rpc("eth_getTransactionByHash", json!([later])).await;
    assert_eq!((&waiting["blockHash"], &waiting["nonce"]), (&Value::Null, &json!("0x2")));
    assert_eq!(world.receipt(later).await, Value::Null);
    let count = async |tag: &str| {
        world.number("eth_getTransactionCount", json!([BUYER.address, tag])).await
    };
    assert_eq!((count("latest").await, count("pending").await), (0, 0));

    world.send_raw(&sign(BUYER, &transfer(0, FEE, TIP))).await;
    assert_eq!((count("latest").await, count("pending").await), (3, 3));
    assert_eq!(world.receipt(middle).await["blockNumber"], "0x2");
    assert_eq!(world.receipt(later).await["blockNumber"], "0x3");
    assert_eq!(
        world.rpc("txpool_status", json!([])).await,
        json!({"pending":"0x0","queued":"0x0"})
    );
}

#[tokio::test]
async fn a_replacement_pays_a_tenth_more_of_both() {
    let world = World::start().await;
    world.chain.set_automine(false);
    let old = world.send_raw(&sign(BUYER, &transfer(0, 1_000_000_000_000, 100_000))).await;
    for (max_fee, tip) in [
        (1_000_000_000_000, 200_000),
        (2_000_000_000_000, 100_000),
        (1_099_999_999_999, 200_000),
        (2_000_000_000_000, 109_999),
    ] {
        let raw = sign(BUYER, &transfer(0, max_fee, tip));
        assert_eq!(refusal(&world, &raw).await, "replacement transaction underpriced");
    }
    assert_eq!(world.chain.pending(), [old]);
    let new = world.send_raw(&sign(BUYER, &transfer(0, 1_100_000_000_000, 110_000))).await;
    assert_eq!(world.chain.pending(), [new]);
    assert_eq!(world.rpc("eth_getTransactionByHash", json!([old])).await, Value::Null);
    world.chain.mine(1);
    assert_eq!(world.receipt(new).await["status"], "0x1");
    assert_eq!(world.receipt(old).await, Value::Null);
}

#[tokio::test]
async fn the_best_tip_goes_first_and_low_fees_wait() {
    let world = World::start().await;
    world.chain.set_automine(false);
    let cheap = world.send_raw(&sign(ACCOUNTS[3], &transfer(0, FEE, 1))).await;
    let dear = world.send_raw(&sign(ACCOUNTS[4], &transfer(0, FEE, 1_000))).await;
    let same = world.send_raw(&sign(ACCOUNTS[5], &transfer(0, FEE, 1))).await;
    let under = world.send_raw(&sign(ACCOUNTS[6], &transfer(0, 5, 1))).await;
    let pending = world.rpc("eth_getBlockByNumber", json!(["pending", false])).await;
    assert_eq!((&pending["hash"], &pending["number"]), (&Value::Null, &json!("0x1")));
    world.chain.mine(1);
    let block = world.rpc("eth_getBlockByNumber", json!(["latest", false])).await;
    assert_eq!(block["transactions"], json!([dear, cheap, same]));
    assert_eq!(world.chain.pending(), [under]);
    world.rpc("anvil_setNextBlockBaseFeePerGas", json!(["0x4"])).await;
    world.chain.mine(1);
    assert_eq!(quantity(&world.receipt(under).await["effectiveGasPrice"]), 5);
}

#[tokio::test]
async fn a_dropped_transaction_leaves_no_trace() {
    let world = World::start().await;
    world.chain.set_automine(false);
    let (one, two) = (sign(BUYER, &transfer(0, FEE, TIP)), sign(PAYEE, &transfer(0, FEE, TIP)));
    let (first, second) = (world.send_raw(&one).await, world.send_raw(&two).await);
    world.chain.drop_pending(first).unwrap();
    assert!(world.chain.drop_pending(first).is_err());
    let dropped = world.rpc("anvil_dropTransaction", json!([second])).await;
    assert_eq!(dropped, json!(second));
    assert_eq!(world.rpc("anvil_dropTransaction", json!([second])).await, Value::Null);
    world.chain.mine(1);
    assert_eq!(world.rpc("eth_getTransactionByHash", json!([first])).await, Value::Null);
    // The same bytes are welcome again.
    assert_eq!(world.send_raw(&one).await, first);
}

#[tokio::test]
async fn unfunded_at_mining_time_is_dropped() {
    let world = World::start().await;
    world.chain.set_automine(false);
    let hash = world.send_raw(&sign(FACILITATOR, &transfer(0, FEE, TIP))).await;
    world.chain.set_balance(FACILITATOR.address, U256::from(1));
    world.chain.mine(1);
    assert_eq!(world.receipt(hash).await, Value::Null);
    assert!(world.chain.pending().is_empty());
    let known = b256!("0x1111111111111111111111111111111111111111111111111111111111111111");
    assert_eq!(world.rpc("eth_getTransactionByHash", json!([known])).await, Value::Null);
}
