//! Which of several faults is reported: the order of the official facilitator, each fault alone
//! and in every pair.

use alloy_primitives::{Address, Bytes, U256, hex};
use faregate_chain::Chain;
use faregate_devnet::{DevnetConfig, accounts};
use faregate_protocol::{Network, Reason};

use crate::world::{Draft, GHOST, World, now, profile};

type Break = fn(&mut Draft);

/// Faults that can be seen without the chain, and a missing contract, in the order of blame.
const FAULTS: &[(Reason, Break)] = &[
    (Reason::EvmScheme, |d| d.accepted.scheme = "upto".into()),
    (Reason::EvmMissingDomain, |d| {
        d.required.extra.as_mut().unwrap().remove("version");
    }),
    (Reason::EvmNetworkMismatch, |d| d.accepted.network = Network::eip155(1)),
    (Reason::EvmSignature, |d| d.signer = accounts::ACCOUNTS[5].private_key),
    (Reason::EvmRecipientMismatch, |d| d.signed.to = Address::repeat_byte(7)),
    (Reason::EvmValidBefore, |d| d.signed.valid_before = U256::from(now() + 5)),
    (Reason::EvmValidAfter, |d| d.signed.valid_after = U256::from(now() + 30)),
    (Reason::EvmValueMismatch, |d| d.signed.value.0 += U256::ONE),
    (Reason::EvmAssetNotDeployed, |d| {
        d.required.asset = GHOST.to_checksum(None);
        d.accepted.asset = GHOST.to_checksum(None);
    }),
    (Reason::EvmTokenNameMismatch, |d| {
        d.required.extra.as_mut().unwrap().insert("name".into(), "USD Coin".into());
    }),
    (Reason::EvmTokenVersionMismatch, |d| {
        d.required.extra.as_mut().unwrap().insert("version".into(), "1".into());
    }),
];

async fn world() -> World {
    let assets = vec![profile(accounts::TOKEN), profile(GHOST)];
    World::with(DevnetConfig::default(), assets).await
}

#[tokio::test]
async fn each_fault_alone_has_its_reason() {
    let world = world().await;
    for (reason, break_it) in FAULTS {
        let mut draft = Draft::new();
        break_it(&mut draft);
        assert_eq!(world.reason(&draft.request()).await, Some(*reason));
    }
    assert_eq!(world.reason(&Draft::new().request()).await, None);
}

#[tokio::test]
async fn of_two_faults_the_first_in_the_order_is_reported() {
    let world = world().await;
    for (first, (reason, break_first)) in FAULTS.iter().enumerate() {
        for (other, break_second) in &FAULTS[first + 1..] {
            let mut draft = Draft::new();
            break_second(&mut draft);
            break_first(&mut draft);
            let found = world.reason(&draft.request()).await;
            assert_eq!(found, Some(*reason), "{reason:?} and {other:?}");
        }
    }
}

#[tokio::test]
async fn e1_one_field_off_by_one_is_refused() {
    let world = world().await;
    let max = U256::MAX;
    for value in [U256::ZERO, U256::from(9_999), U256::from(10_001), max] {
        let mut draft = Draft::new();
        draft.signed.value.0 = value;
        assert_eq!(world.reason(&draft.request()).await, Some(Reason::EvmValueMismatch));
    }
    let mut other_chain = Draft::new();
    other_chain.required.network = Network::eip155(1);
    other_chain.accepted.network = Network::eip155(1);
    assert_eq!(world.reason(&other_chain.request()).await, Some(Reason::InvalidNetwork));
    let mut unlisted = Draft::new();
    unlisted.required.asset = Address::repeat_byte(9).to_checksum(None);
    assert_eq!(world.reason(&unlisted.request()).await, Some(Reason::AssetNotAllowed));
    for break_it in [
        |d: &mut Draft| d.signed.value.0 -= U256::ONE,
        |d: &mut Draft| d.signed.valid_before += U256::ONE,
        |d: &mut Draft| d.signed.valid_after += U256::ONE,
        |d: &mut Draft| d.signed.nonce.0[31] ^= 1,
        |d: &mut Draft| d.signed.from.0[19] ^= 1,
    ] {
        let mut draft = Draft::new();
        let key = crate::world::wallet(accounts::BUYER);
        draft.signature = Some(key.sign_digest(draft.digest()).to_vec());
        break_it(&mut draft);
        assert_eq!(world.reason(&draft.request()).await, Some(Reason::EvmSignature));
    }
}

#[tokio::test]
async fn e21_the_window_is_held_to_the_second() {
    let world = world().await;
    let check = async |after: u64, before: u64, at: u64| {
        let mut draft = Draft::new();
        draft.signed.valid_after = U256::from(after);
        draft.signed.valid_before = U256::from(before);
        match world.chain.inspect(&draft.request(), at).await.unwrap() {
            faregate_chain::Inspection::Invalid { reason, .. } => Some(reason),
            faregate_chain::Inspection::Valid { .. } => None,
        }
    };
    let at = now();
    assert_eq!(check(0, at + 6, at).await, None);
    assert_eq!(check(0, at + 5, at).await, Some(Reason::EvmValidBefore));
    assert_eq!(check(at + 1, at + 60, at).await, Some(Reason::EvmValidAfter));
    assert_eq!(check(at - 1, at + 86_400, at).await, None);
    assert_eq!(check(0, at + 86_401, at).await, Some(Reason::ValidityTooLong));
    assert_eq!(check(0, u64::MAX, at).await, Some(Reason::ValidityTooLong));
    assert_eq!(check(0, at, u64::MAX).await, Some(Reason::EvmValidBefore));
}

#[tokio::test]
async fn e38_nobody_pays_himself_or_the_facilitator() {
    let world = world().await;
    let facilitator = accounts::FACILITATOR;
    let mut washed = Draft::new();
    washed.signed.to = accounts::BUYER.address;
    washed.required.pay_to = accounts::BUYER.address.to_checksum(None);
    washed.accepted = washed.required.clone();
    let mut from_signer = Draft::new();
    from_signer.signed.from = facilitator.address;
    from_signer.signer = facilitator.private_key;
    let mut to_signer = Draft::new();
    to_signer.signed.to = facilitator.address;
    to_signer.required.pay_to = facilitator.address.to_checksum(None);
    to_signer.accepted = to_signer.required.clone();
    for draft in [washed, from_signer, to_signer] {
        assert_eq!(world.reason(&draft.request()).await, Some(Reason::SelfPayment));
    }
}

#[tokio::test]
async fn letter_case_of_addresses_does_not_matter() {
    let world = world().await;
    let mut draft = Draft::new();
    draft.required.asset = draft.required.asset.to_lowercase();
    draft.accepted.pay_to = draft.accepted.pay_to.to_lowercase();
    draft.accepted.asset = format!("0x{}", draft.accepted.asset[2..].to_uppercase());
    assert_eq!(world.reason(&draft.request()).await, None);
}

#[tokio::test]
async fn a_failed_simulation_is_explained_in_order() {
    let world = world().await;
    let pauser = U256::from_be_slice(accounts::TOKEN_OWNER.address.as_slice());
    let pause = |on: bool| {
        let flag = if on { U256::ONE << 160 } else { U256::ZERO };
        world.devnet.set_storage(accounts::TOKEN, U256::ZERO, pauser | flag);
    };
    let poor = faregate_evm::Wallet::from_hex(&"77".repeat(32)).unwrap();
    let mut draft = Draft::new();
    draft.signed.from = poor.address();
    draft.signer = alloy_primitives::B256::repeat_byte(0x77);

    pause(true);
    assert_eq!(world.reason(&Draft::new().request()).await, Some(Reason::EvmSimulationFailed));
    assert_eq!(world.reason(&draft.request()).await, Some(Reason::EvmInsufficientBalance));
    pause(false);
    assert_eq!(world.reason(&draft.request()).await, Some(Reason::EvmInsufficientBalance));

    let used = Draft::new().request();
    world.settle(&used).await;
    world.endpoint.take_requests();
    assert_eq!(world.reason(&used).await, Some(Reason::EvmNonceAlreadyUsed));
    assert_eq!(world.endpoint.take_requests(), 2);
    pause(true);
    assert_eq!(world.reason(&used).await, Some(Reason::EvmNonceAlreadyUsed));

    // A contract that knows no function of a token.
    world.devnet.set_code(accounts::TOKEN, Bytes::from(hex!("60006000fd").to_vec())).unwrap();
    assert_eq!(world.reason(&draft.request()).await, Some(Reason::EvmEip3009NotSupported));
    assert_eq!(world.reason(&used).await, Some(Reason::EvmEip3009NotSupported));
}

#[tokio::test]
async fn e35_without_multicall_the_questions_are_asked_one_by_one() {
    let world = world().await;
    let used = Draft::new().request();
    world.settle(&used).await;
    world.devnet.set_code(accounts::MULTICALL, Bytes::new()).unwrap();
    world.endpoint.take_requests();
    assert_eq!(world.reason(&used).await, Some(Reason::EvmNonceAlreadyUsed));
    assert_eq!(world.endpoint.take_requests(), 3);
}

#[tokio::test]
async fn what_inspect_accepts_read_accepts_and_names() {
    let world = world().await;
    let mut draft = Draft::new();
    assert!(world.chain.read(&draft.request()).is_ok());
    draft.required.asset = Address::repeat_byte(9).to_checksum(None);
    assert_eq!(world.chain.read(&draft.request()), Err(Reason::AssetNotAllowed));
    let mut request = Draft::new().request();
    request.payment_payload.x402_version = 1;
    assert_eq!(world.chain.read(&request), Err(Reason::InvalidX402Version));
}
