//! Payments that are verified at the same time share a call, and nobody's verdict shows it.

use std::collections::HashSet;
use std::hash::{BuildHasher as _, RandomState};

use alloy_primitives::{Address, Bytes, U256, hex};
use faregate_chain::{Chain, ChainError, Inspection};
use faregate_devnet::contracts::{Contract, balance_slot, token_storage, wallet_storage};
use faregate_devnet::{DevnetConfig, Predeploy, accounts};
use faregate_evm::{AssetProfile, EvmChain, Wallet};
use faregate_protocol::{PaymentRequest, Reason};
use futures::future::join_all;
use serde_json::Value;

use crate::endpoint::{Reaction, methods};
use crate::world::{Draft, World, config_for, now, profile};

const WALLET: Address = Address::repeat_byte(0xa1);
const RICH: u64 = 1_000_000_000;
/// Payers with a key, money and no code.
const PAYERS: u8 = 6;

/// Code that stands where an honest token stood.
const HOSTILE: [(&str, &[u8]); 9] = [
    ("burns all gas", &hex!("5b600056")),
    ("halts", &hex!("fe")),
    ("returns a flood", &hex!("620100006000f3")),
    ("reverts with a flood", &hex!("620100006000fd")),
    ("says yes to everything", &hex!("600160005260206000f3")),
    ("says no to everything", &hex!("60206000f3")),
    ("reverts with the facts of a good payment", &hex!("601d60005260206000fd")),
    ("calls its caller", &hex!("600060006000600060006000335af160005260206000f3")),
    ("destroys itself", &hex!("33ff")),
];

fn token(number: usize) -> Address {
    Address::repeat_byte(0x40 + u8::try_from(number).unwrap())
}

fn payer(number: u8) -> Wallet {
    Wallet::from_hex(&hex::encode([0x70 + number; 32])).unwrap()
}

fn assets() -> Vec<AssetProfile> {
    let hostile = (0..HOSTILE.len()).map(|number| profile(token(number)));
    std::iter::once(profile(accounts::TOKEN)).chain(hostile).collect()
}

/// A chain whose verifications share reads, and the same chain with one call for each.
struct Both {
    world: World,
    one_by_one: EvmChain,
}

impl Both {
    async fn start() -> Self {
        let holders: Vec<(Address, U256)> =
            (0..PAYERS).map(|number| (payer(number).address(), U256::from(RICH))).collect();
        let dollars = |address| Predeploy {
            address,
            code: Contract::DevUsd.runtime_code(),
            storage: token_storage(accounts::TOKEN_OWNER.address, &holders),
        };
        let mut predeploys: Vec<Predeploy> =
            (0..HOSTILE.len()).map(|number| dollars(token(number))).collect();
        predeploys.push(Predeploy {
            address: WALLET,
            code: Contract::ContractWallet.runtime_code(),
            storage: wallet_storage(accounts::BUYER.address),
        });
        let config = DevnetConfig { predeploys, ..DevnetConfig::default() };
        let world = World::with(config, assets()).await;
        for (holder, amount) in holders.into_iter().chain([(WALLET, U256::from(RICH))]) {
            world.devnet.set_storage(accounts::TOKEN, balance_slot(holder), amount);
        }
        let mut config = config_for(vec![world.endpoint.url.clone()]);
        config.assets = assets();
        config.shared_reads = false;
        let one_by_one = EvmChain::connect(config).await.unwrap();
        for (number, (_, code)) in HOSTILE.iter().enumerate() {
            world.devnet.set_code(token(number), Bytes::from_static(code)).unwrap();
        }
        world.endpoint.take_requests();
        Self { world, one_by_one }
    }

    async fn together(&self, requests: &[PaymentRequest]) -> Vec<Verdict> {
        join_all(requests.iter().map(|request| self.world.chain.inspect(request, now()))).await
    }

    /// What each gets when nobody else asks, at the same time of day.
    async fn alone(&self, requests: &[PaymentRequest]) -> Vec<Verdict> {
        let mut verdicts = Vec::new();
        for request in requests {
            verdicts.push(self.one_by_one.inspect(request, now()).await);
        }
        verdicts
    }
}

type Verdict = Result<Inspection, ChainError>;

fn is_shared(call: &Value) -> bool {
    call["params"].as_array().is_some_and(|params| params.len() == 3)
}

fn calls_of(request: &Value) -> Vec<Value> {
    request.as_array().cloned().unwrap_or_else(|| vec![request.clone()])
}

/// A good payment of one of the payers.
fn good(number: u8) -> Draft {
    let mut draft = Draft::new();
    draft.signed.from = payer(number).address();
    draft.signer = alloy_primitives::B256::repeat_byte(0x70 + number);
    draft
}

fn in_token(mut draft: Draft, token: Address) -> Draft {
    draft.required.asset = token.to_checksum(None);
    draft.accepted = draft.required.clone();
    draft
}

type Choice = Box<dyn Fn(u64, &PaymentRequest) -> PaymentRequest>;

fn broke() -> Draft {
    let mut draft = Draft::new();
    draft.signed.from = Wallet::from_hex(&"66".repeat(32)).unwrap().address();
    draft.signer = alloy_primitives::B256::repeat_byte(0x66);
    draft
}

fn choices() -> Vec<Choice> {
    let payer = |dice: u64| u8::try_from(dice % u64::from(PAYERS)).unwrap();
    vec![
        Box::new(move |dice, _| good(payer(dice)).request()),
        Box::new(move |dice, _| good(payer(dice)).request()),
        Box::new(|_, used| used.clone()),
        Box::new(|_, _| broke().request()),
        Box::new(move |dice, _| {
            let mut expired = good(payer(dice));
            expired.signed.valid_before = U256::from(now() - 1);
            expired.request()
        }),
        Box::new(move |dice, _| {
            let mut forged = good(payer(dice));
            forged.signer = accounts::ACCOUNTS[5].private_key;
            forged.request()
        }),
        Box::new(|_, _| {
            let mut contract = Draft::new();
            contract.signed.from = WALLET;
            contract.request()
        }),
        Box::new(move |dice, _| {
            let number = usize::try_from(dice / 8).unwrap() % HOSTILE.len();
            in_token(good(payer(dice)), token(number)).request()
        }),
    ]
}

#[tokio::test]
async fn verdicts_are_those_of_one_call_for_each() {
    let both = Both::start().await;
    let used = good(0).request();
    both.world.settle(&used).await;
    // One payer's account has code that burns what it gets (EIP-7702).
    let burner = Bytes::from_static(HOSTILE[0].1);
    both.world.devnet.set_code(payer(1).address(), burner).unwrap();
    let given = std::env::var("FAREGATE_TEST_SEED").ok();
    let seed = given.map_or_else(|| RandomState::new().hash_one(0), |text| text.parse().unwrap());
    println!("FAREGATE_TEST_SEED={seed}");
    let mut state = seed;
    let mut dice = || {
        state = state.wrapping_mul(0x5851_f42d_4c95_7f2d).wrapping_add(0x1405_7b7e_f767_814f);
        state >> 33
    };
    let choices = choices();
    let mut reasons = HashSet::new();
    for round in 0..12 {
        let mut requests = Vec::new();
        for _ in 0..2 + dice() % 50 {
            let chosen = usize::try_from(dice()).unwrap() % choices.len();
            requests.push(choices[chosen](dice(), &used));
        }
        let (together, alone) = (both.together(&requests).await, both.alone(&requests).await);
        for (at, (one, other)) in together.iter().zip(&alone).enumerate() {
            assert_eq!(one, other, "round {round}, payment {at} of {}", requests.len());
        }
        reasons.extend(together.into_iter().map(|verdict| match verdict.unwrap() {
            Inspection::Valid { .. } => None,
            Inspection::Invalid { reason, .. } => Some(reason),
        }));
    }
    for reason in [None, Some(Reason::EvmInsufficientBalance), Some(Reason::EvmNonceAlreadyUsed)] {
        assert!(reasons.contains(&reason), "{reasons:?}");
    }
}

#[tokio::test]
async fn hostile_tokens_change_nobody_elses_verdict() {
    let both = Both::start().await;
    let hostile = |number: usize| in_token(good(0), token(number)).request();
    let mut requests = Vec::new();
    for number in 0..HOSTILE.len() {
        requests.extend([good(1).request(), hostile(number), good(2).request(), broke().request()]);
    }
    let verdicts = both.together(&requests).await;
    for (at, verdict) in verdicts.iter().enumerate() {
        let name = HOSTILE[at / 4].0;
        match (at % 4, verdict) {
            (0 | 2, Ok(Inspection::Valid { .. })) => {}
            (3, Ok(Inspection::Invalid { reason: Reason::EvmInsufficientBalance, .. })) => {}
            (1, Ok(_)) => assert_eq!(verdict, &both.alone(&requests[at..=at]).await[0], "{name}"),
            _ => panic!("{name}, {at}: {verdict:?}"),
        }
    }
}

#[tokio::test]
async fn a_lone_payment_is_one_call_and_128_at_once_cost_less_than_a_tenth_each() {
    let both = Both::start().await;
    let requests: Vec<PaymentRequest> =
        (0..128).map(|number| good(number % PAYERS).request()).collect();
    let verdicts = both.together(&requests).await;
    assert!(verdicts.iter().all(|verdict| matches!(verdict, Ok(Inspection::Valid { .. }))));
    let calls = both.world.endpoint.take_calls();
    assert!(calls.len() * 10 <= requests.len(), "{calls:?}");

    assert!(matches!(both.together(&requests[..1]).await[0], Ok(Inspection::Valid { .. })));
    let alone = ["eth_blockNumber", "eth_getCode", "eth_call", "eth_call"];
    assert_eq!(both.world.endpoint.take_calls(), alone);
}

#[tokio::test]
async fn one_payment_presented_many_times_is_asked_once() {
    let both = Both::start().await;
    both.world.endpoint.react(|request| {
        for call in calls_of(request).iter().filter(|call| is_shared(call)) {
            // Two payments of 11 words, after a selector and three words.
            let data = call["params"][0]["data"].as_str().unwrap();
            assert_eq!((data.len() - 2) / 2, 4 + (3 + 2 * 11) * 32);
        }
        Reaction::Pass
    });
    let [one, other, first] = [good(0).request(), good(1).request(), good(2).request()];
    let mut requests = vec![first];
    requests.extend((0..20).flat_map(|_| [one.clone(), other.clone()]));
    let verdicts = both.together(&requests).await;
    assert!(verdicts.iter().all(|verdict| matches!(verdict, Ok(Inspection::Valid { .. }))));
    assert_eq!(both.world.endpoint.take_calls().len(), 4 + 2);
}

#[tokio::test]
async fn the_gas_cap_means_the_same_alone_and_together() {
    let both = Both::start().await;
    let request = good(0).request();
    let others = [good(1).request(), good(2).request()];
    let verdict = async |gas_limit: u64, shared_reads: bool| {
        let mut config = config_for(vec![both.world.endpoint.url.clone()]);
        config.assets = vec![AssetProfile { gas_limit, ..profile(accounts::TOKEN) }];
        config.shared_reads = shared_reads;
        let chain = EvmChain::connect(config).await.unwrap();
        let asked = [&others[0], &request, &others[1]];
        let mut verdicts = join_all(asked.map(|request| chain.inspect(request, now()))).await;
        matches!(verdicts.swap_remove(1), Ok(Inspection::Valid { .. }))
    };
    let (mut too_little, mut enough) = (21_000, 150_000);
    while enough - too_little > 1 {
        let middle = (too_little + enough) / 2;
        if verdict(middle, false).await { enough = middle } else { too_little = middle }
    }
    assert!(enough > 40_000, "{enough}");
    assert!(verdict(enough, true).await, "{enough} alone, not together");
    assert!(!verdict(too_little, true).await, "{too_little} together, not alone");
}

/// What endpoints say that do not do this.
fn refusals() -> Vec<(&'static str, String)> {
    let error = |code: i64, text: &str| format!(r#""error":{{"code":{code},"message":"{text}"}}"#);
    vec![
        ("no overrides", error(-32602, "too many arguments, want at most 2")),
        ("overrides are ignored", r#""result":"0x""#.to_owned()),
        ("gas cap", error(-32000, "gas limit is too high")),
        ("out of gas", error(-32000, "out of gas")),
        ("reverted", error(3, "execution reverted")),
        ("cut short", format!(r#""result":"0x{}""#, "00".repeat(33))),
        ("for another number", format!(r#""result":"0x{:0>64x}{:0>64x}{:0>64x}""#, 32, 1, 0)),
    ]
}

#[tokio::test]
async fn an_endpoint_that_does_not_answer_is_asked_one_by_one() {
    let used = good(3).request();
    for (name, refusal) in refusals() {
        let both = Both::start().await;
        both.world.settle(&used).await;
        both.world.endpoint.react(move |request| {
            let calls = calls_of(request);
            if !calls.iter().any(is_shared) {
                return Reaction::Pass;
            }
            let [head, shared] = [&calls[0]["id"], &calls[1]["id"]];
            let answers = format!(
                r#"[{{"jsonrpc":"2.0","id":{head},"result":"0x1"}},{{"jsonrpc":"2.0","id":{shared},{refusal}}}]"#
            );
            Reaction::Answer(200, answers)
        });
        let requests: Vec<PaymentRequest> = (0..10)
            .map(|number| good(number % PAYERS).request())
            .chain([broke().request(), used.clone()])
            .collect();
        both.world.endpoint.take_calls();
        let (together, alone) = (both.together(&requests).await, both.alone(&requests).await);
        assert_eq!(together, alone, "{name}");
        // From now on nobody waits for others in vain.
        both.world.endpoint.take_calls();
        both.together(&requests[..10]).await;
        assert_eq!(both.world.endpoint.take_calls().len(), 10 * 4, "{name}");
    }
}

#[tokio::test]
async fn a_payment_that_was_not_examined_is_asked_alone() {
    let both = Both::start().await;
    both.world.endpoint.react(|request| {
        let asked = request.clone();
        if !calls_of(&asked).iter().any(is_shared) {
            return Reaction::Pass;
        }
        Reaction::Change(std::sync::Arc::new(move |answer: &mut Value| {
            assert_eq!(methods(&asked), ["eth_blockNumber", "eth_call"]);
            let facts = answer[1]["result"].as_str().unwrap();
            // Bytes: offset, length, then a byte for each.
            let (head, tail) = facts.split_at(2 + 2 * 64);
            answer[1]["result"] = format!("{head}00{}", &tail[2..]).into();
        }))
    });
    let requests: Vec<PaymentRequest> = (0..5).map(|number| good(number).request()).collect();
    let verdicts = both.together(&requests).await;
    assert!(verdicts.iter().all(|verdict| matches!(verdict, Ok(Inspection::Valid { .. }))));
    assert_eq!(both.world.endpoint.take_calls().len(), 4 + 2 + 4);
}
