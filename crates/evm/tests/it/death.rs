//! When it is proven that nobody was and nobody will be charged, and when it is not.

use alloy_primitives::{Address, Bytes, U256};
use alloy_sol_types::{SolCall, sol};
use faregate_chain::{Broadcast, Chain, DeathCause, Evidence, Intent, Outcome, Slot, Watch};
use faregate_devnet::{Devnet, DevnetConfig, Orphans, Reorg, accounts};
use faregate_evm::{EvmChain, Wallet};
use faregate_protocol::PaymentRequest;

use crate::endpoint::{Endpoint, Reaction, result_of};
use crate::world::{Draft, World, config_for, now, payment, wallet};

sol! {
    function cancelAuthorization(address authorizer, bytes32 nonce, bytes signature) external;
    struct CancelAuthorization { address authorizer; bytes32 nonce; }
}

/// Sends a call to the token from the dev token's owner, as a stranger would.
async fn stranger_calls(world: &World, data: Vec<u8>) {
    use alloy_consensus::{SignableTransaction, TxEip1559};
    use alloy_eips::eip2718::Encodable2718;
    let stranger = accounts::ACCOUNTS[7];
    let transaction = TxEip1559 {
        chain_id: 84_532,
        nonce: world.devnet.nonce(stranger.address),
        gas_limit: 300_000,
        max_fee_per_gas: 10_000_000_000,
        max_priority_fee_per_gas: 1,
        to: accounts::TOKEN.into(),
        input: Bytes::from(data),
        ..TxEip1559::default()
    };
    let signature = wallet(stranger).sign_digest(transaction.signature_hash());
    let signature = alloy_primitives::Signature::from_raw_array(&signature).unwrap();
    let raw = transaction.into_signed(signature).encoded_2718();
    assert_eq!(world.chain.broadcast(&raw).await, Broadcast::Accepted);
}

/// The calldata that our own transaction would carry.
async fn calldata(world: &World, request: &PaymentRequest) -> Vec<u8> {
    use alloy_consensus::{Transaction, TxEnvelope};
    use alloy_eips::eip2718::Decodable2718;
    let raw = world.prepare(request).await.raw;
    TxEnvelope::decode_2718(&mut raw.as_slice()).unwrap().input().to_vec()
}

fn evidence(outcome: Outcome) -> Evidence {
    match outcome {
        Outcome::Paid(evidence) => evidence,
        other => panic!("{other:?}"),
    }
}

fn cause(outcome: &Outcome) -> Option<DeathCause> {
    match outcome {
        Outcome::Dead(proof) => Some(proof.cause),
        _ => None,
    }
}

#[tokio::test]
async fn a_third_partys_transaction_is_proof_too() {
    let world = World::start().await;
    let request = payment();
    let data = calldata(&world, &request).await;
    world.devnet.mine(3);
    let head = world.devnet.block_number();
    stranger_calls(&world, data).await;
    let sent = [world.settle(&request).await];
    let evidence = evidence(world.observe(&request, &sent, head).await.outcome);
    assert_eq!(evidence.block_number, head + 1);
    assert_ne!(evidence.transaction, sent[0], "ours reverted, theirs paid");
    // Without own transactions as well.
    let seen = world.observe(&request, &[], head).await;
    assert!(matches!(seen.outcome, Outcome::Paid(_)));
}

#[tokio::test]
async fn p11_evidence_of_before_the_claim_is_refused_and_kills_nothing() {
    let world = World::start().await;
    let request = payment();
    let sent = [world.settle(&request).await];
    let head = world.devnet.block_number();
    world.devnet.mine(10);
    let seen = world.observe(&request, &[], head).await;
    assert_eq!(seen.outcome, Outcome::Unknown { in_pool: vec![], reverted: vec![] });
    assert!(matches!(world.observe(&request, &[], head - 1).await.outcome, Outcome::Paid(_)));
    // Our own transaction was signed after the claim, whatever number its block has.
    assert!(matches!(world.observe(&request, &sent, head).await.outcome, Outcome::Paid(_)));
}

#[tokio::test]
async fn an_unused_authorization_dies_at_a_final_block_after_its_end() {
    let world = World::start().await;
    let mut draft = Draft::new();
    draft.signed.valid_before = U256::from(now() + 100);
    let request = draft.request();
    let before = draft.signed.valid_before.to::<u64>();
    let alive = async || cause(&world.observe(&request, &[], 0).await.outcome).is_none();

    world.devnet.set_next_timestamp(before - 1).unwrap();
    world.devnet.mine(1);
    world.devnet.set_next_timestamp(before).unwrap();
    world.devnet.mine(1);
    assert!(alive().await, "expired in the newest block only");
    world.devnet.mine(1);
    assert!(alive().await, "the final block is a second early");
    world.devnet.mine(1);
    let seen = world.observe(&request, &[], 0).await;
    let Outcome::Dead(proof) = seen.outcome else { panic!("{seen:?}") };
    assert_eq!((proof.cause, proof.at_block), (DeathCause::Expired, seen.finalized));
    assert_eq!(seen.finalized, 2);
}

#[tokio::test]
async fn a_paid_authorization_never_expires() {
    let world = World::start().await;
    let request = payment();
    let sent = [world.settle(&request).await];
    world.devnet.increase_time(10_000);
    world.devnet.mine(5);
    assert!(matches!(world.observe(&request, &sent, 0).await.outcome, Outcome::Paid(_)));
    assert!(matches!(world.observe(&request, &[], 0).await.outcome, Outcome::Paid(_)));
}

#[tokio::test]
async fn a_cancelled_authorization_dies_when_that_is_final() {
    use alloy_sol_types::SolStruct;
    let world = World::start().await;
    let draft = Draft::new();
    let cancel = CancelAuthorization { authorizer: draft.signed.from, nonce: draft.signed.nonce };
    let domain = faregate_evm::mechanisms::eip3009::domain("USDC", "2", 84_532, accounts::TOKEN);
    let signature = wallet(accounts::BUYER).sign_digest(cancel.eip712_signing_hash(&domain));
    let call = cancelAuthorizationCall {
        authorizer: draft.signed.from,
        nonce: draft.signed.nonce,
        signature: signature.to_vec().into(),
    };
    stranger_calls(&world, call.abi_encode()).await;
    let request = draft.request();
    assert_eq!(cause(&world.observe(&request, &[], 0).await.outcome), None, "not final yet");
    world.devnet.mine(2);
    let seen = world.observe(&request, &[], 0).await;
    assert_eq!(cause(&seen.outcome), Some(DeathCause::Cancelled));
}

#[tokio::test]
async fn a_nonce_used_for_another_payee_dies_when_that_is_final() {
    let world = World::start().await;
    let draft = Draft::new();
    let mut elsewhere = draft.clone();
    elsewhere.signed.to = Address::repeat_byte(0x44);
    elsewhere.required.pay_to = elsewhere.signed.to.to_checksum(None);
    let data = calldata(&world, &elsewhere.request()).await;
    stranger_calls(&world, data).await;
    let request = draft.request();
    let sent = [world.settle(&request).await];
    let seen = world.observe(&request, &sent, 0).await;
    let Outcome::Unknown { reverted, .. } = seen.outcome else { panic!("not final yet") };
    assert_eq!(reverted[0].transaction, sent[0]);
    world.devnet.mine(2);
    let seen = world.observe(&request, &sent, 0).await;
    assert_eq!(cause(&seen.outcome), Some(DeathCause::Superseded));
}

#[tokio::test]
async fn e28_a_reorganisation_takes_the_proof_back() {
    let world = World::start().await;
    let request = payment();
    world.devnet.mine(2);
    let sent = [world.settle(&request).await];
    let first = evidence(world.observe(&request, &sent, 0).await.outcome);
    let hash = sent[0].parse().unwrap();
    let reorg = Reorg { depth: 1, without: vec![hash], orphans: Orphans::Forgotten };
    world.devnet.reorg(&reorg).unwrap();
    let gone = world.observe(&request, &sent, 0).await;
    assert_eq!(gone.outcome, Outcome::Unknown { in_pool: vec![], reverted: vec![] });
    // The same bytes again, in another block.
    let again = world.settle(&request).await;
    let second = evidence(world.observe(&request, &[again], 0).await.outcome);
    assert_ne!(first.block_hash, second.block_hash);
}

#[tokio::test]
async fn e28_a_receipt_of_a_block_that_is_not_canonical_proves_nothing() {
    let world = World::start().await;
    let request = payment();
    let sent = [world.settle(&request).await];
    world.devnet.mine(1);
    world.endpoint.react(|request| {
        let request = request.clone();
        Reaction::Change(std::sync::Arc::new(move |answer| {
            let is_lookup = request["params"][0] == "0x1";
            if is_lookup {
                let block = result_of(answer, &request, "eth_getBlockByNumber");
                block["hash"] = alloy_primitives::B256::ZERO.to_string().into();
            }
        }))
    });
    let seen = world.observe(&request, &sent, 0).await;
    assert!(!matches!(seen.outcome, Outcome::Paid(_)), "{seen:?}");
}

#[tokio::test]
async fn ruling_3_death_needs_every_endpoint() {
    let devnet = Devnet::start(DevnetConfig::default()).await.unwrap();
    let lagging = Endpoint::start(Some(devnet.url())).await;
    let chain =
        EvmChain::connect(config_for(vec![devnet.url(), lagging.url.clone()])).await.unwrap();
    let request = payment();
    devnet.increase_time(1_000);
    devnet.mine(5);
    let watch = || Watch { request: &request, transactions: &[], head_at_claim: 0 };
    lagging.react(|request| {
        let request = request.clone();
        Reaction::Change(std::sync::Arc::new(move |answer| {
            let members = answer.as_array_mut().into_iter().flatten();
            for (member, call) in members.zip(request.as_array().into_iter().flatten()) {
                if call["params"][0] == "finalized" {
                    member["result"]["timestamp"] = "0x1".into();
                }
            }
        }))
    });
    let seen = chain.observe(watch()).await.unwrap();
    assert_eq!(cause(&seen.outcome), None, "the second endpoint does not agree");
    lagging.react(|_| Reaction::Close);
    assert!(chain.observe(watch()).await.is_err(), "the second endpoint is down");
    lagging.react(|_| Reaction::Pass);
    let seen = chain.observe(watch()).await.unwrap();
    assert_eq!(cause(&seen.outcome), Some(DeathCause::Expired));
}

#[tokio::test]
async fn a_slot_of_a_dead_payment_is_filled_by_a_no_op() {
    let world = World::start().await;
    let key = Wallet::from_hex(&accounts::FACILITATOR.private_key.to_string()).unwrap();
    let slot = Slot { signer: key.address().to_string(), nonce: 0 };
    let no_op = world.chain.prepare(Intent::NoOp, &slot, None).await.unwrap();
    assert_eq!(world.chain.broadcast(&no_op.raw).await, Broadcast::Accepted);
    let seen = world.observe(&payment(), &[no_op.transaction], 0).await;
    let Outcome::Unknown { in_pool, reverted } = seen.outcome else { panic!("{seen:?}") };
    assert_eq!((in_pool.len(), reverted.len()), (0, 1), "it was mined and moved nothing");
}
