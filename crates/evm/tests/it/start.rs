//! What is checked at the start, and what is checked later because nothing answered then.

use std::sync::Arc;

use alloy_primitives::{Address, Bytes};
use faregate_chain::{Chain, ChainError, Inspection, Intent};
use faregate_devnet::{Devnet, DevnetConfig, accounts};
use faregate_evm::EvmChain;
use faregate_protocol::{Network, Reason};
use serde_json::json;

use crate::endpoint::{Endpoint, Reaction};
use crate::world::{GHOST, World, config_for, now, payment, profile};

#[tokio::test]
async fn a_chain_that_is_up_is_ready_and_supports_exact() {
    let world = World::start().await;
    assert_eq!(world.chain.ready().await, Ok(()));
    let kinds = world.chain.supported();
    assert_eq!(
        serde_json::to_value(&kinds).unwrap(),
        json!([{"x402Version": 2, "scheme": "exact", "network": "eip155:84532"}])
    );
    assert_eq!(world.chain.signers(), [accounts::FACILITATOR.address.to_checksum(None)]);
    assert_eq!(world.chain.network(), &Network::eip155(84_532));
}

#[tokio::test]
async fn b16_another_chain_ends_the_start() {
    let devnet = Devnet::start(DevnetConfig { chain_id: 1, ..DevnetConfig::default() });
    let devnet = devnet.await.unwrap();
    let wrong = EvmChain::connect(config_for(vec![devnet.url()])).await;
    assert_eq!(wrong.unwrap_err(), ChainError::WrongChain { configured: 84_532, found: 1 });
    // Also as the second endpoint of two.
    let right = Devnet::start(DevnetConfig::default()).await.unwrap();
    let mixed = EvmChain::connect(config_for(vec![right.url(), devnet.url()])).await;
    assert!(matches!(mixed, Err(ChainError::WrongChain { .. })));
}

#[tokio::test]
async fn an_endpoint_that_is_down_disables_the_asset_until_it_is_up() {
    let devnet = Devnet::start(DevnetConfig::default()).await.unwrap();
    let endpoint = Endpoint::start(Some(devnet.url())).await;
    endpoint.react(|_| Reaction::Close);
    let chain = EvmChain::connect(config_for(vec![endpoint.url.clone()])).await.unwrap();
    assert!(chain.supported().is_empty());
    assert!(matches!(chain.ready().await, Err(ChainError::Unreachable { .. })));
    assert!(chain.inspect(&payment(), now()).await.is_err());
    let slot = faregate_chain::Slot { signer: chain.signers().remove(0), nonce: 0 };
    assert!(chain.prepare(Intent::NoOp, &slot, None).await.is_err());

    // It is checked on use, without anybody asking for readiness.
    endpoint.react(|_| Reaction::Pass);
    let verdict = chain.inspect(&payment(), now()).await.unwrap();
    assert!(matches!(verdict, Inspection::Valid { .. }));
    assert_eq!(chain.supported().len(), 1);
    assert_eq!(chain.ready().await, Ok(()));
}

#[tokio::test]
async fn a_wrong_chain_behind_an_endpoint_that_came_back_is_noticed() {
    let world = World::start().await;
    assert_eq!(world.chain.ready().await, Ok(()));
    world.endpoint.react(|_| Reaction::Close);
    assert!(world.chain.ready().await.is_err());
    world.endpoint.react(|request| {
        let request = request.clone();
        Reaction::Change(Arc::new(move |answer| {
            *crate::endpoint::result_of(answer, &request, "eth_chainId") = json!("0x1");
        }))
    });
    let wrong = ChainError::WrongChain { configured: 84_532, found: 1 };
    assert_eq!(world.chain.ready().await, Err(wrong.clone()));
    assert_eq!(world.chain.inspect(&payment(), now()).await, Err(wrong));
}

#[tokio::test]
async fn e11_a_token_of_another_domain_is_not_served() {
    for break_profile in [
        |p: &mut faregate_evm::AssetProfile| p.name = "USD Coin".into(),
        |p: &mut faregate_evm::AssetProfile| p.version = "1".into(),
        |p: &mut faregate_evm::AssetProfile| p.decimals = 18,
    ] {
        let mut odd = profile(accounts::TOKEN);
        break_profile(&mut odd);
        let (name, version) = (odd.name.clone(), odd.version.clone());
        let world = World::with(DevnetConfig::default(), vec![odd]).await;
        assert!(world.chain.supported().is_empty());
        let error = world.chain.ready().await.unwrap_err();
        assert!(matches!(error, ChainError::Asset { .. }), "{error}");
        let mut draft = crate::world::Draft::new();
        draft.required.extra = json!({"name": name, "version": version}).as_object().cloned();
        draft.accepted = draft.required.clone();
        let verdict = world.chain.inspect(&draft.request(), now()).await;
        assert!(matches!(verdict, Err(ChainError::Asset { .. })), "{verdict:?}");
    }
}

#[tokio::test]
async fn one_good_asset_is_enough_and_the_other_is_not_served() {
    let assets = vec![profile(GHOST), profile(accounts::TOKEN)];
    let world = World::with(DevnetConfig::default(), assets).await;
    assert_eq!(world.chain.ready().await, Ok(()));
    assert_eq!(world.reason(&payment()).await, None);
    let only = World::with(DevnetConfig::default(), vec![profile(GHOST)]).await;
    assert!(only.chain.supported().is_empty());
    assert!(matches!(only.chain.ready().await, Err(ChainError::Asset { .. })));
}

#[tokio::test]
async fn e17_a_signer_with_code_is_refused() {
    let devnet = Devnet::start(DevnetConfig::default()).await.unwrap();
    let delegation =
        Bytes::from([&[0xef, 0x01, 0x00][..], Address::repeat_byte(5).as_slice()].concat());
    let place = |code: Bytes| devnet.set_code(accounts::FACILITATOR.address, code);
    if place(delegation).is_err() {
        place(Bytes::from_static(&[0x00])).unwrap();
    }
    let refused = EvmChain::connect(config_for(vec![devnet.url()])).await;
    assert!(matches!(refused, Err(ChainError::Signer { .. })), "{refused:?}");
}

#[tokio::test]
async fn e17_a_signer_that_got_code_later_is_not_ready() {
    let world = World::start().await;
    assert_eq!(world.chain.ready().await, Ok(()));
    let code = Bytes::from_static(&[0x00]);
    world.devnet.set_code(accounts::FACILITATOR.address, code).unwrap();
    assert!(matches!(world.chain.ready().await, Err(ChainError::Signer { .. })));
    let prepared = world.chain.prepare(Intent::NoOp, &world.slot(), None).await;
    assert!(matches!(prepared, Err(ChainError::Signer { .. })));
}

#[tokio::test]
async fn bad_configuration_is_refused() {
    let mut config = config_for(vec!["not a url".into()]);
    assert!(matches!(EvmChain::connect(config.clone()).await, Err(ChainError::Unsupported { .. })));
    config.rpc_urls = vec!["http://127.0.0.1:1".into()];
    config.network = Network::eip155(31_337);
    assert!(EvmChain::connect(config.clone()).await.is_err());
    config.assets = vec![profile(accounts::TOKEN)];
    let chain = EvmChain::connect(config).await.unwrap();
    let request = payment();
    let verdict = chain.inspect(&request, now()).await.unwrap();
    let reason = Reason::InvalidNetwork;
    assert_eq!(verdict, Inspection::Invalid { reason, payer: None });
}
