//! The signatures of the official client 2.27.0 and of the published specification, byte for byte.

use alloy_primitives::{address, b256, hex};
use faregate_protocol::{Amount, PaymentPayload, PaymentRequired, header};
use serde_json::Value;

use super::*;
use crate::signature;

const USDC: Address = address!("0x036CbD53842c5426634e7929541eC2318f3dCF7e");
const NOW: u64 = 1_770_000_000;

fn vector(name: &str) -> Value {
    let file: Value =
        serde_json::from_str(include_str!("../../../../protocol/tests/golden/evm-2.27.0.json"))
            .unwrap();
    file["vectors"][name].clone()
}

fn wallet() -> Wallet {
    Wallet::from_hex("0xac0974bec39a17e36ba4a6b4d238ff944bacb478cbed5efcae784d7bf4f2ff80").unwrap()
}

fn challenge() -> PaymentRequired {
    serde_json::from_value(vector("exact_eip3009")["paymentRequired"].clone()).unwrap()
}

fn usdc() -> Eip712Domain {
    domain("USDC", "2", 84532, USDC)
}

#[test]
fn the_golden_payment_is_reproduced_byte_for_byte() {
    let golden = vector("exact_eip3009");
    let challenge = challenge();
    let required = &challenge.accepts[0];
    let signed =
        sign_authorization(&wallet(), required, 0, NOW + 60, B256::repeat_byte(0x11)).unwrap();
    assert_eq!(usdc().separator().to_string(), golden["typedData"][0]["domainSeparator"]);
    assert_eq!(
        digest(&signed.authorization, &usdc()).to_string(),
        golden["typedData"][0]["digest"]
    );
    assert_eq!(
        hex::encode_prefixed(&signed.signature),
        golden["paymentPayload"]["payload"]["signature"].as_str().unwrap()
    );
    let payment = PaymentPayload {
        x402_version: 2,
        payload: signed.to_members(),
        extensions: None,
        resource: Some(serde_json::to_value(&challenge.resource).unwrap()),
        accepted: serde_json::to_value(required).unwrap().as_object().unwrap().clone(),
    };
    assert_eq!(
        header::encode(&payment).unwrap(),
        golden["paymentSignatureHeader"].as_str().unwrap()
    );
}

#[test]
fn the_golden_v1_signature_is_reproduced() {
    let golden = vector("v1_exact_eip3009");
    let required = &challenge().accepts[0];
    let signed =
        sign_authorization(&wallet(), required, NOW - 600, NOW + 60, B256::repeat_byte(0x11))
            .unwrap();
    assert_eq!(
        digest(&signed.authorization, &usdc()).to_string(),
        golden["typedData"][0]["digest"]
    );
    assert_eq!(
        hex::encode_prefixed(&signed.signature),
        golden["paymentPayload"]["payload"]["signature"].as_str().unwrap()
    );
}

#[test]
fn domain_separators_are_those_of_the_chains() {
    for (name, chain_id, token, want) in [
        (
            "USD Coin",
            8453,
            address!("0x833589fCD6eDb6E08f4c7C32D4f71b54bdA02913"),
            b256!("0x02fa7265e7c5d81118673727957699e4d68f74cd74b7db77da710fe8a2c7834f"),
        ),
        (
            "USD Coin",
            1,
            address!("0xA0b86991c6218b36c1d19D4a2e9Eb0cE3606eB48"),
            b256!("0x06c37168a7db5138defc7866392bb87a741f9b3d104deb5094588ce041cae335"),
        ),
        (
            "USD Coin",
            137,
            address!("0x3c499c542cEF5E3811e1192ce70d8cC03d5c3359"),
            b256!("0xcaa2ce1a5703ccbe253a34eb3166df60a705c561b44b192061e28f2a985be2ca"),
        ),
        (
            "USD Coin",
            42161,
            address!("0xaf88d065e77c8cC2239327C5EDb3A432268e5831"),
            b256!("0x08d11903f8419e68b1b8721bcbe2e9fc68569122a77ef18c216f10b3b5112c78"),
        ),
        (
            "USD Coin",
            43114,
            address!("0xB97EF9Ef8734C71904D8002F8b6Bc66Dd9c48a6E"),
            b256!("0xbbea200329a938bc3438984a49cb0732e66d66d7bd59c127abacc1710e77f7b3"),
        ),
        (
            "USDC",
            84532,
            USDC,
            b256!("0x71f17a3b2ff373b803d70a5a07c046c1a2bc8e89c09ef722fcb047abe94c9818"),
        ),
    ] {
        assert_eq!(domain(name, "2", chain_id, token).separator(), want, "{chain_id}");
    }
}

#[test]
fn the_published_signature_recovers_to_its_payer() {
    let authorization = Authorization {
        from: address!("0x857b06519E91e3A54538791bDbb0E22373e36b66"),
        to: address!("0x209693Bc6afc0C5328bA36FaF03C514EF312287C"),
        value: Amount::from(10_000),
        valid_after: U256::from(1_740_672_089),
        valid_before: U256::from(1_740_672_154),
        nonce: b256!("0xf3746613c2d920b5fdabc0856f2aeb2d4f88ee6037b8cc5d04a71a4462f13480"),
    };
    let digest = digest(&authorization, &usdc());
    assert_eq!(digest, b256!("0xf256992871671abcb27ff92885a7afa46218724e5fc0bac35d050115aa1d22e6"));
    let published = hex!(
        "2d6a7588d6acca505cbf0d9a4a227e0c52c6c34008c8e8986a1283259764173608a2ce6496642e377d6da8db"
        "bf5836e9bd15092f9ecab05ded3d6293af148b571c"
    );
    assert_eq!(signature::recover(digest, &published), Some(authorization.from));
}

#[test]
fn requirements_that_say_too_little_are_not_signed() {
    let sign = |required: &PaymentRequirements| {
        sign_authorization(&wallet(), required, 0, NOW, B256::ZERO).unwrap_err()
    };
    let good = challenge().accepts[0].clone();
    for key in ["name", "version"] {
        for value in [None, Some(Value::Null), Some("".into()), Some(2.into())] {
            let mut bad = good.clone();
            let extra = bad.extra.as_mut().unwrap();
            match value {
                Some(value) => extra.insert(key.into(), value),
                None => extra.remove(key),
            };
            assert_eq!(sign(&bad), SignError::MissingDomain, "{key}");
        }
    }
    let mut bad = good.clone();
    bad.extra = None;
    assert_eq!(sign(&bad), SignError::MissingDomain);
    let mut bad = good.clone();
    bad.asset = "0x742d35Cc6634C0532925a3b844Bc9e7595f0bEb".into();
    assert_eq!(sign(&bad), SignError::Asset);
    let mut bad = good.clone();
    bad.pay_to = String::new();
    assert_eq!(sign(&bad), SignError::PayTo);
    let mut bad = good;
    bad.network = "solana:5eykt4UsFv8P8NJdTREpY1vzqKqZKvdp".parse().unwrap();
    assert_eq!(sign(&bad), SignError::Network);
}

#[test]
fn both_calls_carry_the_authorization() {
    let required = &challenge().accepts[0];
    let signed = sign_authorization(&wallet(), required, 5, NOW, B256::repeat_byte(0x11)).unwrap();
    let parts = Parts::read(&signed.signature).unwrap();
    let call = calldata(&signed.authorization, &Overload::Parts(parts));
    let read = Token::transferWithAuthorization_0Call::abi_decode(&call).unwrap();
    assert_eq!((read.from, read.to), (signed.authorization.from, signed.authorization.to));
    assert_eq!((read.value, read.validAfter), (U256::from(10_000), U256::from(5)));
    assert_eq!((read.validBefore, read.nonce), (U256::from(NOW), B256::repeat_byte(0x11)));
    assert_eq!([read.r.as_slice(), read.s.as_slice(), &[read.v]].concat(), signed.signature);

    let call = calldata(&signed.authorization, &Overload::Bytes(vec![7; 70]));
    let read = Token::transferWithAuthorization_1Call::abi_decode(&call).unwrap();
    assert_eq!((read.from, read.signature.to_vec()), (signed.authorization.from, vec![7; 70]));
}

#[test]
fn random_nonces_differ() {
    assert_ne!(random_nonce().unwrap(), random_nonce().unwrap());
}
