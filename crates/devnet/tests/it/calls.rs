//! Calls, overrides, estimates, simulations.

use alloy_primitives::{Address, B256, U256, hex};
use alloy_sol_types::SolCall as _;
use faregate_devnet::{
    accounts::{BUYER, FACILITATOR, MULTICALL, PAYEE, TOKEN, TOKEN_OWNER},
    contracts::balance_slot,
};
use serde_json::{Value, json};

use crate::world::{
    STRANGER, World, authorization, pay_split, quantity, sign, sign_for, token_abi as abi,
};

fn balance_of(holder: Address) -> Value {
    let data = abi::balanceOfCall { account: holder }.abi_encode();
    json!({ "to": TOKEN, "input": hex::encode_prefixed(data) })
}

fn word(number: u64) -> Value {
    json!(B256::from(U256::from(number)))
}

#[tokio::test]
async fn overrides_pretend_without_a_trace() {
    let world = World::start().await;
    let slot = B256::from(balance_slot(PAYEE.address));
    let mut diff = json!({});
    diff[TOKEN.to_string()] = json!({ "stateDiff": { slot.to_string(): word(42) } });
    let call = balance_of(PAYEE.address);
    assert_eq!(world.rpc("eth_call", json!([call, "latest", diff])).await, word(42));
    assert_eq!(world.rpc("eth_call", json!([call, "latest"])).await, word(0));

    // Whole storage: every other slot reads as zero.
    let mut whole = json!({});
    whole[TOKEN.to_string()] = json!({ "state": { slot.to_string(): word(43) } });
    assert_eq!(world.rpc("eth_call", json!([call, "latest", whole])).await, word(43));
    let buyer = balance_of(BUYER.address);
    assert_eq!(world.rpc("eth_call", json!([buyer, "latest", whole])).await, word(0));
    let mut both = json!({});
    both[TOKEN.to_string()] = json!({ "state": {}, "stateDiff": {} });
    let refused = world.try_rpc("eth_call", json!([call, "latest", both])).await.unwrap_err();
    assert_eq!(refused.code, -32_602);

    // Code that returns its own balance: SELFBALANCE PUSH0 MSTORE PUSH1 32 PUSH0 RETURN.
    let code = json!({ STRANGER.to_string(): {
        "code": "0x475f5260205ff3", "balance": "0x7", "nonce": "0x5",
    }});
    let call = json!({ "to": STRANGER });
    assert_eq!(world.rpc("eth_call", json!([call, "latest", code])).await, word(7));
    assert_eq!(world.rpc("eth_call", json!([call, "latest"])).await, "0x");
    assert_eq!(world.rpc("eth_getCode", json!([STRANGER, "latest"])).await, "0x");
    // NUMBER under a pretended block.
    let code = json!({ STRANGER.to_string(): { "code": "0x435f5260205ff3" } });
    let number = world.rpc("eth_call", json!([call, "latest", code, { "number": "0x63" }])).await;
    assert_eq!(number, word(99));
}

#[tokio::test]
async fn reverts_carry_code_3_and_data() {
    let world = World::start().await;
    let data = abi::transferCall { to: PAYEE.address, value: U256::from(1) }.abi_encode();
    let call = json!({ "from": STRANGER, "to": TOKEN, "data": hex::encode_prefixed(&data) });
    for method in ["eth_call", "eth_estimateGas"] {
        let refused = world.try_rpc(method, json!([call, "latest"])).await.unwrap_err();
        assert_eq!(refused.code, 3);
        assert_eq!(refused.message, "execution reverted: ERC20: transfer amount exceeds balance");
        assert!(refused.data.as_str().unwrap().starts_with("0x08c379a0"));
    }
    let unknown = json!({ "to": TOKEN, "data": "0xdeadbeef" });
    let refused = world.try_rpc("eth_call", json!([unknown])).await.unwrap_err();
    assert_eq!((refused.code, refused.message.as_str()), (3, "execution reverted"));
    assert_eq!(refused.data, "0x");
    // An overflow in the contract is a panic, which has a number instead of words.
    let much = abi::mintCall { to: PAYEE.address, amount: U256::MAX }.abi_encode();
    let call = json!({
        "from": TOKEN_OWNER.address, "to": TOKEN, "data": hex::encode_prefixed(&much),
    });
    let refused = world.try_rpc("eth_call", json!([call])).await.unwrap_err();
    assert_eq!(refused.message, "execution reverted: arithmetic underflow or overflow");
    // INVALID burns everything; that is no revert.
    let code = json!({ STRANGER.to_string(): { "code": "0xfe" } });
    let refused =
        world.try_rpc("eth_call", json!([{ "to": STRANGER }, "latest", code])).await.unwrap_err();
    assert_eq!((refused.code, refused.message.as_str()), (-32_000, "invalid opcode: INVALID"));
}

#[tokio::test]
async fn calls_are_checked_as_geth_checks_them() {
    let world = World::start().await;
    let rich = json!({ "from": STRANGER, "to": PAYEE.address, "value": "0x1" });
    let refused = world.try_rpc("eth_call", json!([rich])).await.unwrap_err();
    assert!(refused.message.starts_with("insufficient funds for gas * price + value"));
    let tight = json!({ "to": PAYEE.address, "gas": "0x5207" });
    let refused = world.try_rpc("eth_call", json!([tight])).await.unwrap_err();
    assert!(refused.message.starts_with("intrinsic gas too low"), "{}", refused.message);
    let mixed = json!({ "to": PAYEE.address, "gasPrice": "0x1", "maxFeePerGas": "0x1" });
    assert_eq!(world.try_rpc("eth_call", json!([mixed])).await.unwrap_err().code, -32_602);
    let two = json!({ "to": PAYEE.address, "data": "0x01", "input": "0x02" });
    assert_eq!(world.try_rpc("eth_call", json!([two])).await.unwrap_err().code, -32_602);
    let future = world.try_rpc("eth_call", json!([{}, "0x99"])).await.unwrap_err();
    assert_eq!(future.message, "header not found");
}

#[tokio::test]
async fn an_estimate_is_enough_and_no_more_than_needed() {
    let world = World::start().await;
    let plain = json!({ "from": BUYER.address, "to": PAYEE.address, "value": "0x1" });
    assert_eq!(world.number("eth_estimateGas", json!([plain])).await, 21_000);

    let payment = authorization(1);
    let data = pay_split(&payment, &sign_for(BUYER, TOKEN, &payment));
    let call = json!({
        "from": FACILITATOR.address, "to": TOKEN, "data": hex::encode_prefixed(&data),
    });
    let enough = world.number("eth_estimateGas", json!([call])).await;
    let attempt = async |gas: u64| {
        let mut call = call.clone();
        call["gas"] = json!(format!("{gas:#x}"));
        world.try_rpc("eth_call", json!([call])).await.is_ok()
    };
    assert!(attempt(enough).await);
    assert!(!attempt(enough - 1).await);
    let mut transaction = world.transaction(FACILITATOR, TOKEN, data).await;
    transaction.gas_limit = enough;
    let receipt = world.receipt(world.send_raw(&sign(FACILITATOR, &transaction)).await).await;
    assert_eq!(receipt["status"], "0x1");
    assert!(quantity(&receipt["gasUsed"]) <= enough);

    // A sender who cannot pay for the gas is told so.
    let poor = json!({
        "from": STRANGER, "to": PAYEE.address, "gasPrice": "0x1", "data": "0x",
    });
    let refused = world.try_rpc("eth_estimateGas", json!([poor])).await.unwrap_err();
    assert_eq!(refused.message, "gas required exceeds allowance (0)");
    let mut funded = json!({});
    funded[STRANGER.to_string()] = json!({ "balance": "0xffffff" });
    let estimate = world.number("eth_estimateGas", json!([poor, "latest", funded])).await;
    assert_eq!(estimate, 21_000);
}

#[tokio::test]
async fn a_multicall_answers_many_at_once() {
    alloy_sol_types::sol! {
        struct Call3 { address target; bool allowFailure; bytes callData; }
        struct Call { address target; bytes callData; }
        struct Result3 { bool success; bytes returnData; }
        function aggregate3(Call3[] calls) returns (Result3[] results);
        function tryAggregate(bool requireSuccess, Call[] calls) returns (Result3[] results);
    }
    let world = World::start().await;
    let balance = abi::balanceOfCall { account: BUYER.address }.abi_encode();
    let calls = vec![
        Call3 { target: TOKEN, allowFailure: false, callData: balance.clone().into() },
        Call3 { target: TOKEN, allowFailure: true, callData: vec![1, 2, 3, 4].into() },
    ];
    let results = world.ask(MULTICALL, aggregate3Call { calls: calls.clone() }).await;
    assert!(results[0].success && !results[1].success);
    assert_eq!(U256::from_be_slice(&results[0].returnData), U256::from(1_000_000_000_000_u64));
    let calls = vec![
        Call { target: TOKEN, callData: balance.into() },
        Call { target: TOKEN, callData: vec![1].into() },
    ];
    let results = world.ask(MULTICALL, tryAggregateCall { requireSuccess: false, calls }).await;
    assert!(results[0].success && !results[1].success);

    let mut strict = aggregate3Call { calls: vec![] };
    strict.calls = vec![Call3 { target: TOKEN, allowFailure: false, callData: vec![1].into() }];
    let call = json!({ "to": MULTICALL, "data": hex::encode_prefixed(strict.abi_encode()) });
    let refused = world.try_rpc("eth_call", json!([call])).await.unwrap_err();
    assert_eq!(refused.message, "execution reverted: Multicall3: call failed");
}

#[tokio::test]
async fn a_simulation_sees_its_own_past() {
    let world = World::start().await;
    let payment = authorization(1);
    let pay = json!({
        "from": FACILITATOR.address,
        "to": TOKEN,
        "data": hex::encode_prefixed(pay_split(&payment, &sign_for(BUYER, TOKEN, &payment))),
    });
    let payload = json!({ "blockStateCalls": [
        { "calls": [pay.clone(), balance_of(PAYEE.address), pay] },
        { "blockOverrides": { "time": "0xffffffff" }, "calls": [balance_of(PAYEE.address)] },
    ]});
    let blocks = world.rpc("eth_simulateV1", json!([payload, "latest"])).await;
    let calls = &blocks[0]["calls"];
    assert_eq!(calls[0]["status"], "0x1");
    assert_eq!(calls[0]["logs"].as_array().unwrap().len(), 2);
    assert_eq!(calls[1]["returnData"], word(10_000));
    assert_eq!(calls[2]["status"], "0x0");
    assert_eq!(calls[2]["error"]["code"], 3);
    assert_eq!(
        calls[2]["error"]["message"],
        "execution reverted: FiatTokenV2: authorization is used or canceled"
    );
    assert_eq!(blocks[1]["calls"][0]["returnData"], word(10_000));
    assert_eq!(blocks[1]["timestamp"], "0xffffffff");
    assert_eq!(blocks[1]["parentHash"], blocks[0]["hash"]);
    assert_eq!(world.dollars(PAYEE.address).await, U256::ZERO);
    let empty = world.try_rpc("eth_simulateV1", json!([{}])).await.unwrap_err();
    assert_eq!(empty.code, -32_602);
}

#[tokio::test]
async fn old_states_can_be_asked_for_a_while() {
    let world = World::start().await;
    let pay = async |nonce: u8| {
        let payment = authorization(nonce);
        let data = pay_split(&payment, &sign_for(BUYER, TOKEN, &payment));
        world.send(FACILITATOR, TOKEN, data).await
    };
    for nonce in 1..=4 {
        pay(nonce).await;
    }
    let at =
        async |block: Value| world.rpc("eth_call", json!([balance_of(PAYEE.address), block])).await;
    assert_eq!(at(json!("latest")).await, word(40_000));
    assert_eq!(at(json!("finalized")).await, word(20_000));
    assert_eq!(at(json!("safe")).await, word(20_000));
    assert_eq!(at(json!("0x1")).await, word(10_000));
    assert_eq!(at(json!("earliest")).await, word(0));
    let hash = world.chain.block_hash(3).unwrap();
    assert_eq!(at(json!({ "blockHash": hash })).await, word(30_000));
    assert_eq!(at(json!({ "blockNumber": "0x3" })).await, word(30_000));
    world.chain.mine(61);
    assert_eq!(at(json!("0x1")).await, word(10_000));
    let refused = world
        .try_rpc("eth_call", json!([balance_of(PAYEE.address), "earliest"]))
        .await
        .unwrap_err();
    assert_eq!(refused.message, "the state of block 0 is not kept (oldest kept: 1)");
}

#[tokio::test]
async fn a_call_sees_the_time_of_now() {
    let world = World::start().await;
    // TIMESTAMP PUSH0 MSTORE PUSH1 32 PUSH0 RETURN.
    let code = json!({ STRANGER.to_string(): { "code": "0x425f5260205ff3" } });
    let now = async || {
        let seen = world.rpc("eth_call", json!([{ "to": STRANGER }, "latest", code])).await;
        U256::from_str_radix(seen.as_str().unwrap().trim_start_matches("0x"), 16).unwrap()
    };
    let before = now().await;
    world.chain.increase_time(1_000);
    assert!(now().await >= before + U256::from(1_000));
}
