//! Tokens that do not do what they say, put on the list by force: inspection may be fooled, proof
//! never is.

use alloy_primitives::{Address, U256};
use faregate_chain::{Chain, Outcome};
use faregate_devnet::contracts::{Contract, token_storage};
use faregate_devnet::{DevnetConfig, Predeploy, accounts};
use faregate_protocol::Reason;

use crate::world::{Draft, World, profile};

const HOSTILE: Address = Address::repeat_byte(0x0e);

async fn world(contract: Contract) -> World {
    let config = DevnetConfig {
        predeploys: vec![Predeploy {
            address: HOSTILE,
            code: contract.runtime_code(),
            storage: token_storage(
                accounts::TOKEN_OWNER.address,
                &[(accounts::BUYER.address, U256::from(1_000_000))],
            ),
        }],
        ..DevnetConfig::default()
    };
    World::with(config, vec![profile(HOSTILE)]).await
}

fn draft() -> Draft {
    let mut draft = Draft::new();
    draft.required.asset = HOSTILE.to_checksum(None);
    draft.accepted = draft.required.clone();
    draft
}

#[tokio::test]
async fn e3_e6_e7_nothing_that_did_not_arrive_is_proven() {
    for contract in [Contract::FalseToken, Contract::ForgingToken, Contract::FeeToken] {
        let world = world(contract).await;
        let request = draft().request();
        world.reason(&request).await;
        let sent = [world.settle(&request).await];
        let seen = world.observe(&request, &sent, 0).await;
        assert!(!matches!(seen.outcome, Outcome::Paid(_)), "{contract:?}: {seen:?}");
        // Nor that it can never arrive: the fee token took the payer's money.
        world.devnet.mine(5);
        let seen = world.observe(&request, &sent, 0).await;
        assert!(matches!(seen.outcome, Outcome::Unknown { .. }), "{contract:?}: {seen:?}");
    }
}

#[tokio::test]
async fn e4_a_forged_signature_over_a_used_nonce_is_refused_by_us() {
    let world = world(Contract::QuietToken).await;
    let first = draft();
    world.settle(&first.request()).await;
    let mut forged = first;
    forged.signer = accounts::ACCOUNTS[5].private_key;
    assert_eq!(world.reason(&forged.request()).await, Some(Reason::EvmSignature));
}

#[tokio::test]
async fn p11_a_used_authorization_is_refused_though_its_token_would_return_quietly() {
    let world = world(Contract::QuietToken).await;
    let request = draft().request();
    assert_eq!(world.reason(&request).await, None);
    world.settle(&request).await;
    assert_eq!(world.reason(&request).await, Some(Reason::EvmNonceAlreadyUsed));
}

#[tokio::test]
async fn e4_a_quiet_replay_is_never_proven_again() {
    let world = world(Contract::QuietToken).await;
    let request = draft().request();
    world.settle(&request).await;
    let head = world.devnet.block_number();
    let again = [world.settle(&request).await];
    let seen = world.observe(&request, &again, head).await;
    assert!(!matches!(seen.outcome, Outcome::Paid(_)), "{seen:?}");
}

#[tokio::test]
async fn e2_a_token_that_reverts_only_outside_a_simulation_is_not_proven() {
    let world = world(Contract::GasBurnerToken).await;
    let request = draft().request();
    assert_eq!(world.reason(&request).await, None);
    let sent = [world.settle(&request).await];
    let seen = world.observe(&request, &sent, 0).await;
    let Outcome::Unknown { reverted, in_pool } = seen.outcome else { panic!("{seen:?}") };
    assert!(in_pool.is_empty());
    assert_eq!(reverted[0].transaction, sent[0]);
    assert_eq!(reverted[0].gas_used, 150_000, "the cap bounds the loss");
}

#[tokio::test]
async fn e5_what_is_not_listed_costs_nothing() {
    let world = World::start().await;
    assert_eq!(world.reason(&draft().request()).await, Some(Reason::AssetNotAllowed));
    assert_eq!(world.endpoint.take_requests(), 0);
    assert_eq!(world.chain.read(&draft().request()), Err(Reason::AssetNotAllowed));
}
