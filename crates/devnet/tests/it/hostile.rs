//! The hostile tokens misbehave as their names say, so that tests elsewhere can rely on them.

use alloy_primitives::{Address, U256, keccak256};
use faregate_devnet::{
    DevnetConfig, Predeploy,
    accounts::{BUYER, FACILITATOR, PAYEE, TOKEN_OWNER},
    contracts::{Contract, token_storage},
};
use serde_json::{Value, json};

use crate::world::{
    GAS, World, authorization, pay_split, quantity, sign_for, simulate, token_abi as abi,
};

const HOSTILE: Address = Address::repeat_byte(0x66);

/// A world with one hostile token, of which the buyer has some.
async fn world(contract: Contract) -> World {
    let predeploy = Predeploy {
        address: HOSTILE,
        code: contract.runtime_code(),
        storage: token_storage(TOKEN_OWNER.address, &[(BUYER.address, U256::from(1_000_000))]),
    };
    World::with(DevnetConfig { predeploys: vec![predeploy], ..DevnetConfig::default() }).await
}

async fn balance(world: &World, account: Address) -> U256 {
    world.ask(HOSTILE, abi::balanceOfCall { account }).await
}

fn payment() -> Vec<u8> {
    let payment = authorization(1);
    pay_split(&payment, &sign_for(BUYER, HOSTILE, &payment))
}

fn emitters(receipt: &Value) -> Vec<(Value, Value)> {
    let logs = receipt["logs"].as_array().unwrap();
    logs.iter().map(|log| (log["address"].clone(), log["topics"][0].clone())).collect()
}

#[tokio::test]
async fn quiet_says_nothing_about_a_used_authorization() {
    let world = world(Contract::QuietToken).await;
    let paid = world.send(FACILITATOR, HOSTILE, payment()).await;
    assert_eq!(emitters(&paid).len(), 2);
    assert_eq!(simulate(&world, HOSTILE, &payment()).await, Ok(()));
    let again = world.send(FACILITATOR, HOSTILE, payment()).await;
    assert_eq!((&again["status"], &again["logs"]), (&json!("0x1"), &json!([])));
    assert_eq!(balance(&world, PAYEE.address).await, U256::from(10_000));
}

#[tokio::test]
async fn false_moves_nothing_and_reverts_never() {
    let world = world(Contract::FalseToken).await;
    let paid = world.send(FACILITATOR, HOSTILE, payment()).await;
    assert_eq!((&paid["status"], &paid["logs"]), (&json!("0x1"), &json!([])));
    assert_eq!(balance(&world, PAYEE.address).await, U256::ZERO);
    let transfer = abi::transferCall { to: PAYEE.address, value: U256::from(1) };
    assert!(!world.ask(HOSTILE, transfer).await);
}

#[tokio::test]
async fn forging_logs_from_another_address() {
    let world = world(Contract::ForgingToken).await;
    for nonce in 1..=2 {
        let payment = authorization(nonce);
        let data = pay_split(&payment, &sign_for(BUYER, HOSTILE, &payment));
        let mut transaction = world.transaction(FACILITATOR, HOSTILE, data).await;
        transaction.gas_limit = 1_000_000;
        let raw = crate::world::sign(FACILITATOR, &transaction);
        let paid = world.receipt(world.send_raw(&raw).await).await;
        assert_eq!(paid["status"], "0x1");
        let forger = paid["logs"][0]["address"].clone();
        assert_ne!(forger, json!(HOSTILE));
        let used = json!(keccak256("AuthorizationUsed(address,bytes32)"));
        let moved = json!(keccak256("Transfer(address,address,uint256)"));
        assert_eq!(emitters(&paid), [(forger.clone(), used), (forger, moved)]);
    }
    assert_eq!(balance(&world, PAYEE.address).await, U256::ZERO);
}

#[tokio::test]
async fn gas_burner_simulates_well_and_burns_all() {
    let world = world(Contract::GasBurnerToken).await;
    assert_eq!(simulate(&world, HOSTILE, &payment()).await, Ok(()));
    let burned = world.send(FACILITATOR, HOSTILE, payment()).await;
    assert_eq!(burned["status"], "0x0");
    assert_eq!(quantity(&burned["gasUsed"]), GAS);
    assert_eq!(balance(&world, PAYEE.address).await, U256::ZERO);
}

#[tokio::test]
async fn fee_gives_the_payee_less() {
    let world = world(Contract::FeeToken).await;
    let paid = world.send(FACILITATOR, HOSTILE, payment()).await;
    assert_eq!(paid["status"], "0x1");
    assert_eq!(balance(&world, PAYEE.address).await, U256::from(9_900));
    assert_eq!(balance(&world, TOKEN_OWNER.address).await, U256::from(100));
    assert_eq!(balance(&world, BUYER.address).await, U256::from(990_000));
}
