//! Payers with code: their contract decides, never a key.

use std::sync::Arc;

use alloy_primitives::{Address, Bytes, U256, address};
use alloy_sol_types::SolValue;
use faregate_chain::Outcome;
use faregate_devnet::contracts::{Contract, balance_slot, wallet_storage};
use faregate_devnet::{DevnetConfig, Predeploy, accounts};
use faregate_protocol::Reason;

use crate::endpoint::Reaction;
use crate::world::{Draft, World, profile, wallet};

const WALLET: Address = address!("0x00000000000000000000000000000000000a11e7");

/// A contract wallet with money, owned by the dev buyer.
async fn world() -> World {
    let config = DevnetConfig {
        predeploys: vec![Predeploy {
            address: WALLET,
            code: Contract::ContractWallet.runtime_code(),
            storage: wallet_storage(accounts::BUYER.address),
        }],
        ..DevnetConfig::default()
    };
    let world = World::with(config, vec![profile(accounts::TOKEN)]).await;
    fund(&world, WALLET);
    world
}

fn fund(world: &World, holder: Address) {
    world.devnet.set_storage(accounts::TOKEN, balance_slot(holder), U256::from(1_000_000));
}

fn from_wallet() -> Draft {
    let mut draft = Draft::new();
    draft.signed.from = WALLET;
    draft
}

fn wrapped(inner: &[u8]) -> Vec<u8> {
    let body =
        (Address::repeat_byte(1), Bytes::from_static(&[2; 4]), Bytes::copy_from_slice(inner));
    [body.abi_encode_params(), hex_magic()].concat()
}

fn hex_magic() -> Vec<u8> {
    [0x64, 0x92].repeat(16)
}

#[tokio::test]
async fn a_contract_wallet_pays_with_its_owners_signature_in_one_trip() {
    let world = world().await;
    let request = from_wallet().request();
    assert_eq!(world.reason(&request).await, None);
    assert_eq!(world.endpoint.take_requests(), 1);
    let sent = [world.settle(&request).await];
    assert!(matches!(world.observe(&request, &sent, 0).await.outcome, Outcome::Paid(_)));
}

#[tokio::test]
async fn the_wallets_no_is_final() {
    let world = world().await;
    let mut stranger = from_wallet();
    stranger.signer = accounts::ACCOUNTS[5].private_key;
    let mut empty = from_wallet();
    empty.signature = Some(vec![]);
    let mut long = from_wallet();
    long.signature = Some(vec![1; 4_000]);
    for draft in [stranger, empty, long] {
        assert_eq!(world.reason(&draft.request()).await, Some(Reason::EvmSignature));
        assert_eq!(world.endpoint.take_requests(), 1);
    }
}

#[tokio::test]
async fn e17_a_key_with_code_is_not_believed_by_its_key_alone() {
    let world = world().await;
    // The buyer's own account gets code (EIP-7702) that never agrees.
    let silent = Bytes::from_static(&[0x60, 0x00, 0x60, 0x00, 0xf3]);
    world.devnet.set_code(accounts::BUYER.address, silent).unwrap();
    let request = Draft::new().request();
    assert_eq!(world.reason(&request).await, Some(Reason::EvmSignature));
    assert_eq!(world.endpoint.take_requests(), 2);

    // With code that agrees the bytes overload is used.
    let agreeing = Contract::ContractWallet.runtime_code();
    world.devnet.set_code(accounts::BUYER.address, agreeing).unwrap();
    let owner = U256::from_be_slice(accounts::BUYER.address.as_slice());
    world.devnet.set_storage(accounts::BUYER.address, U256::ZERO, owner);
    let request = Draft::new().request();
    assert_eq!(world.reason(&request).await, None);
    let sent = [world.settle(&request).await];
    assert!(matches!(world.observe(&request, &sent, 0).await.outcome, Outcome::Paid(_)));
}

#[tokio::test]
async fn e15_e16_wrapped_signatures() {
    let world = world().await;
    let sign = |draft: &Draft| wallet(accounts::BUYER).sign_digest(draft.digest()).to_vec();
    // Deployed: the wrapper is ignored.
    let mut deployed = from_wallet();
    deployed.signature = Some(wrapped(&sign(&deployed)));
    let request = deployed.request();
    assert_eq!(world.reason(&request).await, None);
    let sent = [world.settle(&request).await];
    assert!(matches!(world.observe(&request, &sent, 0).await.outcome, Outcome::Paid(_)));
    // Not deployed: no factory is called for anybody.
    let mut undeployed = Draft::new();
    undeployed.signed.from = Address::repeat_byte(0x33);
    undeployed.signature = Some(wrapped(&sign(&undeployed)));
    assert_eq!(world.reason(&undeployed.request()).await, Some(Reason::EvmFactoryNotAllowed));
    // Not even for a key whose signature would do unwrapped.
    let mut needless = Draft::new();
    needless.signature = Some(wrapped(&sign(&needless)));
    assert_eq!(world.reason(&needless.request()).await, Some(Reason::EvmFactoryNotAllowed));
    // Nested or broken wrappers cost nothing.
    world.endpoint.take_requests();
    let mut nested = from_wallet();
    nested.signature = Some(wrapped(&wrapped(&sign(&nested))));
    let mut broken = from_wallet();
    broken.signature = Some(hex_magic());
    for draft in [nested, broken] {
        assert_eq!(world.reason(&draft.request()).await, Some(Reason::EvmSignature));
    }
    assert_eq!(world.endpoint.take_requests(), 0);
}

#[tokio::test]
async fn e12_other_spellings_of_a_keys_signature_are_refused() {
    let world = world().await;
    let draft = Draft::new();
    let good = wallet(accounts::BUYER).sign_digest(draft.digest()).to_vec();
    let mut small_v = good.clone();
    small_v[64] -= 27;
    let trailing = [good.clone(), vec![0]].concat();
    for bad in [good[..64].to_vec(), small_v, trailing, vec![]] {
        let mut draft = draft.clone();
        draft.signature = Some(bad);
        assert_eq!(world.reason(&draft.request()).await, Some(Reason::EvmSignature));
        assert_eq!(world.endpoint.take_requests(), 1);
    }
}

#[tokio::test]
async fn e14_a_wallet_is_asked_with_bounded_gas_and_its_flood_is_no_yes() {
    let world = world().await;
    // return(0, 65536): far more than a yes, all zeros.
    let flood = Bytes::from_static(&[0x62, 0x01, 0x00, 0x00, 0x60, 0x00, 0xf3]);
    world.devnet.set_code(WALLET, flood).unwrap();
    assert_eq!(world.reason(&from_wallet().request()).await, Some(Reason::EvmSignature));
    // jumpdest; jump to it for ever.
    let spin = Bytes::from_static(&[0x5b, 0x60, 0x00, 0x56]);
    world.devnet.set_code(WALLET, spin).unwrap();
    let asked = Arc::new(std::sync::Mutex::new(Vec::new()));
    let seen = Arc::clone(&asked);
    world.endpoint.react(move |request| {
        let calls = request.as_array().cloned().unwrap_or_default();
        let gas = calls.iter().filter_map(|call| call["params"][0]["gas"].as_str());
        seen.lock().unwrap().extend(gas.map(str::to_owned));
        Reaction::Pass
    });
    assert_eq!(world.reason(&from_wallet().request()).await, Some(Reason::EvmSignature));
    // The wallet, the token's record, and the transfer: 400 000, 200 000, the asset's cap.
    assert_eq!(*asked.lock().unwrap(), ["0x61a80", "0x30d40", "0x249f0"]);
}
