//! Honest and hostile quotes.

use super::*;
use alloy_primitives::address;
use faregate_evm::wallet::Wallet;
use serde_json::json;
use std::sync::Arc;

const KEY: &str = "ac0974bec39a17e36ba4a6b4d238ff944bacb478cbed5efcae784d7bf4f2ff80";

fn config(max_price: &str) -> BuyerConfig {
    let wallet = Arc::new(Wallet::from_hex(KEY).unwrap());
    BuyerConfig::new(wallet, "unused".into(), max_price.parse().unwrap())
}

fn option() -> Value {
    json!({
        "scheme": "exact", "network": "eip155:84532", "amount": "10000",
        "asset": "0x036CbD53842c5426634e7929541eC2318f3dCF7e",
        "payTo": "0x209693Bc6afc0C5328bA36FaF03C514EF312287C",
        "maxTimeoutSeconds": 60, "extra": {"name": "USDC", "version": "2"},
    })
}

fn changed(pointer: &str, value: Value) -> Value {
    let mut option = option();
    match pointer.strip_prefix("extra.") {
        Some(member) => option["extra"][member] = value,
        None => option[pointer] = value,
    }
    option
}

fn choose_from(options: &[Value], config: &BuyerConfig) -> Result<Choice, ChooseError> {
    let options: Vec<_> = options.iter().map(|o| o.as_object().unwrap().clone()).collect();
    choose(&options, config)
}

#[test]
fn an_honest_option_is_chosen_and_sent_back_as_it_came() {
    let mut honest = changed("extra.note", json!([1]));
    honest["asset"] = json!("0x036cbd53842c5426634e7929541ec2318f3dcf7e");
    let choice = choose_from(std::slice::from_ref(&honest), &config("$0.10")).unwrap();
    assert_eq!(Value::Object(choice.accepted.clone()), honest);
    assert_eq!(choice.price(), "0.01 USDC");
    assert_eq!(choice.requirements.asset, "0x036CbD53842c5426634e7929541eC2318f3dCF7e");
}

#[test]
fn hostile_quotes_are_not_paid() {
    let payer = "0xf39Fd6e51aad88F6F4ce6aB8827279cffFb92266";
    let huge = "9".repeat(79);
    for (member, value, want) in [
        ("scheme", json!("upto"), Unusable::Scheme),
        ("scheme", json!(null), Unusable::Scheme),
        ("network", json!("eip155:8453"), Unusable::NetworkNotAllowed),
        ("network", json!("eip155:1"), Unusable::NetworkNotAllowed),
        ("network", json!("eip155:421614"), Unusable::Asset),
        ("network", json!("eip155:084532"), Unusable::Network),
        ("network", json!("solana:5eykt4UsFv8P8NJdTREpY1vzqKqZKvdp"), Unusable::Network),
        ("network", json!("base-sepolia"), Unusable::Network),
        ("network", json!(84532), Unusable::Network),
        ("asset", json!("0x209693Bc6afc0C5328bA36FaF03C514EF312287C"), Unusable::Asset),
        ("asset", json!(""), Unusable::Asset),
        ("asset", json!(null), Unusable::Asset),
        ("extra.name", json!("USD Coin"), Unusable::Domain),
        ("extra.name", json!(null), Unusable::Domain),
        ("extra.version", json!("1"), Unusable::Domain),
        ("extra.version", json!(2), Unusable::Domain),
        ("extra", json!(null), Unusable::Domain),
        ("extra.assetTransferMethod", json!("permit2"), Unusable::Method),
        ("extra.paymentFlow", json!("escrow"), Unusable::Flow),
        ("extra.paymentFlow", json!(1), Unusable::Flow),
        ("payTo", json!("0x0000000000000000000000000000000000000000"), Unusable::PayTo),
        ("payTo", json!("0x742d35Cc6634C0532925a3b844Bc9e7595f0bEb"), Unusable::PayTo),
        ("payTo", json!("0x209693bc6afc0C5328bA36FaF03C514EF312287C"), Unusable::PayTo),
        ("payTo", json!("0x036CbD53842c5426634e7929541eC2318f3dCF7e"), Unusable::PayTo),
        ("payTo", json!(payer), Unusable::PayTo),
        ("amount", json!("-1"), Unusable::Amount),
        ("amount", json!("0"), Unusable::Amount),
        ("amount", json!("1e3"), Unusable::Amount),
        ("amount", json!("0.01"), Unusable::Amount),
        ("amount", json!(10000), Unusable::Amount),
        ("amount", json!(huge), Unusable::Amount),
        ("maxTimeoutSeconds", json!(0), Unusable::Timeout),
        ("maxTimeoutSeconds", json!(-5), Unusable::Timeout),
        ("maxTimeoutSeconds", json!("60"), Unusable::Timeout),
        ("maxTimeoutSeconds", json!(null), Unusable::Timeout),
    ] {
        let result = choose_from(&[changed(member, value.clone())], &config("$1000000"));
        assert_eq!(result, Err(ChooseError::NoneUsable(vec![want])), "{member} {value}");
    }
}

#[test]
fn the_price_and_the_limit_are_told() {
    for (amount, limit, told) in [
        ("500000", "$0.10", "the price is 0.5 USDC on eip155:84532, the limit is $0.10"),
        (
            "10001",
            "10000",
            "the price is 0.010001 USDC on eip155:84532, the limit is 10000 atomic units",
        ),
        ("1", "$0", "the price is 0.000001 USDC on eip155:84532, the limit is $0"),
    ] {
        let error = choose_from(&[changed("amount", json!(amount))], &config(limit)).unwrap_err();
        assert_eq!(error.to_string(), told);
    }
    let max = alloy_primitives::U256::MAX.to_string();
    let error = choose_from(&[changed("amount", json!(max))], &config("$0.10")).unwrap_err();
    assert!(matches!(error, ChooseError::AboveLimit { .. }));
    assert!(choose_from(&[changed("amount", json!("100000"))], &config("$0.10")).is_ok());
    let other = choose_from(&[option()], &config("1 USDT")).unwrap_err();
    assert_eq!(other, ChooseError::NoneUsable(vec![Unusable::LimitOfAnotherAsset]));
}

#[test]
fn a_bad_option_does_not_hide_a_good_one_and_the_default_flow_comes_first() {
    let bad = changed("amount", json!("-1"));
    let dear = changed("amount", json!("900000000"));
    let upfront = changed("extra.paymentFlow", json!("upfront"));
    let choice =
        choose_from(&[bad.clone(), dear, upfront.clone(), option()], &config("$1")).unwrap();
    assert_eq!(Value::Object(choice.accepted), option());
    let choice = choose_from(&[bad, upfront.clone()], &config("$1")).unwrap();
    assert_eq!(Value::Object(choice.accepted), upfront);
}

#[test]
fn main_networks_and_other_assets_are_allowed_by_name() {
    let mut mainnet = changed("network", json!("eip155:8453"));
    mainnet["asset"] = json!("0x833589fCD6eDb6E08f4c7C32D4f71b54bdA02913");
    mainnet["extra"]["name"] = json!("USD Coin");
    let mut config = config("$1");
    assert!(choose_from(std::slice::from_ref(&mainnet), &config).is_err());
    config.networks.push(Network::eip155(8453));
    assert!(choose_from(&[mainnet], &config).is_ok());

    let mut own = changed("network", json!("eip155:31337"));
    own["asset"] = json!("0x5FbDB2315678afecb367f032d93F642f64180aa3");
    assert!(choose_from(std::slice::from_ref(&own), &config).is_err());
    config.assets.push(AllowedAsset {
        network: Network::eip155(31337),
        address: address!("0x5FbDB2315678afecb367f032d93F642f64180aa3"),
        symbol: "TUSD".into(),
        eip712_name: "USDC".into(),
        eip712_version: "2".into(),
        decimals: 18,
    });
    let choice = choose_from(&[own], &config).unwrap();
    assert_eq!(choice.price(), "0.00000000000001 TUSD");
}
