//! Several payments in one transaction, on a real EVM.

use alloy_primitives::{Address, Bytes, U256, address, hex};
use faregate_chain::{Broadcast, Chain, ChainError, Intent, Observation, Outcome};
use faregate_devnet::contracts::balance_slot;
use faregate_devnet::{Devnet, DevnetConfig, accounts};
use faregate_evm::{BatchMode, EvmChain};
use faregate_protocol::PaymentRequest;

use crate::world::{Draft, World, config_for, payment};

const MULTICALL3: Address = address!("0xcA11bde05977b3631167028862bE2a173976CA11");
/// `invalid` as a contract: it burns all the gas it is given, whatever it is asked.
const BURNER: [u8; 1] = hex!("fe");

async fn send(world: &World, requests: &[&PaymentRequest]) -> String {
    let slot = world.slot();
    let prepared = world.chain.prepare(Intent::Batch(requests), &slot, None).await.unwrap();
    assert_eq!(world.chain.broadcast(&prepared.raw).await, Broadcast::Accepted);
    prepared.transaction
}

async fn observe_all(
    world: &World,
    requests: &[&PaymentRequest],
    transaction: &str,
) -> Vec<Observation> {
    let sent = [transaction.to_owned()];
    let mut seen = Vec::with_capacity(requests.len());
    for request in requests {
        seen.push(world.observe(request, &sent, 0).await);
    }
    seen
}

fn is_without_effect(seen: &Observation) -> bool {
    matches!(&seen.outcome, Outcome::Unknown { in_pool, reverted }
        if in_pool.is_empty() && reverted.len() == 1)
}

#[tokio::test]
async fn twenty_in_one_are_each_proven_by_a_log_of_their_own_for_less_gas() {
    let world = World::start().await;
    // Payee and payer have slots in the token's storage by now, as in everyday trade.
    world.settle(&payment()).await;
    let request = payment();
    let alone = [world.settle(&request).await];
    let Outcome::Paid(evidence) = world.observe(&request, &alone, 0).await.outcome else {
        panic!("not paid")
    };
    assert_eq!(evidence.payments, 1);
    let requests: Vec<_> = (0..20).map(|_| payment()).collect();
    let requests: Vec<_> = requests.iter().collect();
    let transaction = send(&world, &requests).await;
    let (mut logs, mut gas) = (std::collections::HashSet::new(), 0);
    for seen in observe_all(&world, &requests, &transaction).await {
        let Outcome::Paid(evidence) = seen.outcome else { panic!("{seen:?}") };
        assert!(logs.insert(evidence.log_index));
        assert_eq!((evidence.transaction, evidence.payments), (transaction.clone(), 20));
        gas = evidence.gas_used;
    }
    println!("gas: alone {}, one of twenty {}", evidence.gas_used, gas / 20);
    assert!(gas / 20 * 100 <= evidence.gas_used * 70, "{gas} for 20, {} alone", evidence.gas_used);
}

#[tokio::test]
async fn one_bad_member_harms_no_other() {
    let world = World::start().await;
    let used = payment();
    world.settle(&used).await;
    let mut broke = Draft::new();
    broke.signed.from = accounts::ACCOUNTS[7].address;
    broke.signer = accounts::ACCOUNTS[7].private_key;
    let mut late = Draft::new();
    late.signed.valid_before = U256::ONE;
    let mut forged = Draft::new();
    forged.signer = accounts::ACCOUNTS[7].private_key;
    world.devnet.set_storage(accounts::TOKEN, balance_slot(broke.signed.from), U256::ZERO);
    let bad = [used, broke.request(), late.request(), forged.request()];
    let good: Vec<_> = (0..4).map(|_| payment()).collect();
    let mixed: Vec<_> = good.iter().zip(&bad).flat_map(|(good, bad)| [bad, good]).collect();
    let transaction = send(&world, &mixed).await;
    for (n, seen) in observe_all(&world, &mixed, &transaction).await.into_iter().enumerate() {
        if n % 2 == 1 {
            let Outcome::Paid(evidence) = seen.outcome else { panic!("{n}: {seen:?}") };
            assert_eq!(evidence.payments, 4);
        } else if n == 0 {
            // Used by a transaction that was not asked about: found in the logs.
            let Outcome::Paid(evidence) = seen.outcome else { panic!("{n}: {seen:?}") };
            assert_ne!(evidence.transaction, transaction);
        } else if n == 4 {
            assert!(matches!(seen.outcome, Outcome::Dead(_)), "past its end: {seen:?}");
        } else {
            assert!(is_without_effect(&seen), "{n}: {seen:?}");
        }
    }
}

#[tokio::test]
async fn a_member_that_turns_into_a_gas_burner_costs_what_the_batch_may_cost_and_no_money() {
    let world = World::start().await;
    world.devnet.set_automine(false);
    let payer = accounts::ACCOUNTS[7];
    world.devnet.set_storage(accounts::TOKEN, balance_slot(payer.address), U256::from(1_000_000));
    let mut burning = Draft::new();
    (burning.signed.from, burning.signer) = (payer.address, payer.private_key);
    let burning = burning.request();
    assert!(world.chain.share(&burning).is_some(), "it is a key's payment when it is taken up");
    let good: Vec<_> = (0..6).map(|_| payment()).collect();
    let requests: Vec<_> = good[..3].iter().chain([&burning]).chain(&good[3..]).collect();
    let prepared =
        world.chain.prepare(Intent::Batch(&requests), &world.slot(), None).await.unwrap();
    assert_eq!(world.chain.broadcast(&prepared.raw).await, Broadcast::Accepted);
    world.devnet.set_code(payer.address, Bytes::from_static(&BURNER)).unwrap();
    world.devnet.mine(1);
    let sent = [prepared.transaction];
    for (n, request) in requests.iter().enumerate() {
        let seen = world.observe(request, &sent, 0).await;
        match (n, &seen.outcome) {
            (3, _) => assert!(is_without_effect(&seen), "{seen:?}"),
            (_, Outcome::Paid(evidence)) => assert!(evidence.gas_used <= prepared.gas_limit),
            // Nothing is left for those behind it; they are sent again.
            _ => assert!(is_without_effect(&seen), "{n}: {seen:?}"),
        }
    }
}

#[tokio::test]
async fn who_could_burn_the_others_gas_goes_alone() {
    let world = World::start().await;
    assert!(world.chain.share(&payment()).is_some());
    let mut by_contract = Draft::new();
    by_contract.signed.from = Address::repeat_byte(0x77);
    assert_eq!(world.chain.share(&by_contract.request()), None, "no key of the payer signed");
    let mut long = Draft::new();
    long.signature = Some(vec![7; 130]);
    assert_eq!(world.chain.share(&long.request()), None);
    let mut delegated = Draft::new();
    delegated.signed.from = accounts::ACCOUNTS[7].address;
    delegated.signer = accounts::ACCOUNTS[7].private_key;
    world.devnet.set_code(delegated.signed.from, Bytes::from_static(&BURNER)).unwrap();
    let delegated = delegated.request();
    assert!(world.reason(&delegated).await.is_some());
    assert_eq!(world.chain.share(&delegated), None, "its account was seen with code");
}

#[tokio::test]
async fn the_gas_limit_is_a_sum_and_stays_within_a_tenth_of_a_block() {
    let world = World::start().await;
    let room = world.chain.batch_room().unwrap();
    assert_eq!(room.members, 100);
    let share = world.chain.share(&payment()).unwrap();
    let most = usize::try_from(room.gas / share).unwrap();
    let requests: Vec<_> = (0..most.min(room.members)).map(|_| payment()).collect();
    let requests: Vec<_> = requests.iter().collect();
    let prepared =
        world.chain.prepare(Intent::Batch(&requests), &world.slot(), None).await.unwrap();
    let limit = DevnetConfig::default().block_gas_limit / 10;
    assert!(prepared.gas_limit <= limit, "{} of {limit}", prepared.gas_limit);
    assert!(most >= 20, "a batch of {most}");
}

#[tokio::test]
async fn without_multicall3_everything_goes_alone_or_the_start_ends() {
    let devnet = Devnet::start(DevnetConfig::default()).await.unwrap();
    devnet.set_code(MULTICALL3, Bytes::new()).unwrap();
    for (mode, starts) in [(BatchMode::Off, true), (BatchMode::Auto, true), (BatchMode::On, false)]
    {
        let mut config = config_for(vec![devnet.url()]);
        config.batch = mode;
        match EvmChain::connect(config).await {
            Ok(chain) => assert!(starts && chain.batch_room().is_none(), "{mode:?}"),
            Err(ChainError::Unsupported { .. }) => assert!(!starts, "{mode:?}"),
            Err(error) => panic!("{mode:?}: {error}"),
        }
    }
}
