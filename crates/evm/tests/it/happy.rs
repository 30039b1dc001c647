//! A payment from inspection to proof, and what it costs in requests.

use alloy_consensus::transaction::SignerRecoverable;
use alloy_consensus::{Transaction, TxEnvelope};
use alloy_eips::eip2718::Decodable2718;
use alloy_primitives::{Address, U256};
use faregate_chain::{Broadcast, Chain, ChainError, Inspection, Intent, Outcome};
use faregate_devnet::accounts;
use faregate_evm::EvmChain;

use crate::world::{Draft, World, config_for, now, payment};

#[tokio::test]
async fn a_payment_is_inspected_prepared_broadcast_and_proven() {
    let world = World::start().await;
    let request = payment();
    let Inspection::Valid { payer, head } = world.chain.inspect(&request, now()).await.unwrap()
    else {
        panic!("refused");
    };
    assert_eq!(payer, accounts::BUYER.address.to_checksum(None));
    assert_eq!(payer, world.chain.read(&request).unwrap().payer);
    assert_eq!(head, world.devnet.block_number());

    let prepared = world.prepare(&request).await;
    let before = world.observe(&request, std::slice::from_ref(&prepared.transaction), head).await;
    assert_eq!(before.outcome, Outcome::Unknown { in_pool: vec![], reverted: vec![] });

    assert_eq!(world.chain.broadcast(&prepared.raw).await, Broadcast::Accepted);
    let known = std::slice::from_ref(&prepared.transaction);
    let after = world.observe(&request, known, head).await;
    let Outcome::Paid(evidence) = after.outcome else { panic!("{after:?}") };
    assert_eq!(evidence.transaction, prepared.transaction);
    assert_eq!(evidence.block_number, head + 1);
    assert_eq!(evidence.block_hash, world.devnet.block_hash(head + 1).unwrap().to_string());
    assert!(evidence.gas_used > 21_000 && evidence.gas_used < prepared.gas_limit);
    let again = world.chain.broadcast(&prepared.raw).await;
    assert!(matches!(again, Broadcast::AlreadyKnown | Broadcast::NonceTooLow), "{again:?}");
}

#[tokio::test]
async fn a_valid_payment_costs_one_request_and_garbage_costs_none() {
    let world = World::start().await;
    assert_eq!(world.reason(&payment()).await, None);
    assert_eq!(
        world.endpoint.take_calls(),
        ["eth_blockNumber", "eth_getCode", "eth_call", "eth_call"],
        "one batch; the asset's code is remembered from the start"
    );
    world.reason(&payment()).await;
    assert_eq!(world.endpoint.take_requests(), 1);

    let garbage: [fn(&mut Draft); 8] = [
        |d| d.accepted.scheme = "upto".into(),
        |d| d.required.extra = None,
        |d| d.required.asset = Address::repeat_byte(7).to_checksum(None),
        |d| {
            d.signature = Some(vec![1; 65]).filter(|_| {
                d.signed.valid_before = U256::ZERO;
                true
            })
        },
        |d| d.signed.to = Address::repeat_byte(7),
        |d| d.signed.valid_before = U256::from(now()),
        |d| d.signed.valid_before = U256::MAX,
        |d| d.signed.value.0 += U256::ONE,
    ];
    for (n, break_it) in garbage.into_iter().enumerate() {
        let mut draft = Draft::new();
        break_it(&mut draft);
        assert!(world.reason(&draft.request()).await.is_some(), "{n}");
        assert_eq!(world.endpoint.take_requests(), 0, "{n}");
    }
    let mut no_payload = payment();
    no_payload.payment_payload.payload.clear();
    assert!(world.reason(&no_payload).await.is_some());
    assert_eq!(world.endpoint.take_requests(), 0);
}

#[tokio::test]
async fn observing_costs_one_request_while_nothing_is_proven_and_when_the_head_proves_it() {
    let world = World::start().await;
    world.devnet.set_automine(false);
    let request = payment();
    let sent = [world.settle(&request).await];
    world.endpoint.take_requests();
    let waiting = world.observe(&request, &sent, 0).await;
    assert_eq!(waiting.outcome, Outcome::Unknown { in_pool: sent.to_vec(), reverted: vec![] });
    assert_eq!(world.endpoint.take_requests(), 1);
    world.devnet.mine(1);
    assert!(matches!(world.observe(&request, &sent, 0).await.outcome, Outcome::Paid(_)));
    assert_eq!(world.endpoint.take_requests(), 1);
    world.devnet.mine(1);
    let deeper = world.observe(&request, &sent, 0).await;
    assert!(matches!(deeper.outcome, Outcome::Paid(_)));
    assert_eq!(world.endpoint.take_requests(), 2, "the block of the receipt is asked for");
    assert_eq!(deeper.head, 2);
}

#[tokio::test]
async fn a_key_is_called_by_parts_within_the_gas_cap_and_fees_are_asked_once() {
    let world = World::start().await;
    let prepared = world.prepare(&payment()).await;
    let read = TxEnvelope::decode_2718(&mut prepared.raw.as_slice()).unwrap();
    assert_eq!(read.recover_signer().unwrap(), accounts::FACILITATOR.address);
    assert_eq!(read.to(), Some(accounts::TOKEN));
    assert_eq!(read.input()[..4], [0xe3, 0xee, 0x16, 0x0e]);
    assert_eq!((read.gas_limit(), read.value()), (150_000, U256::ZERO));
    assert_eq!(read.max_fee_per_gas(), prepared.max_fee_wei);
    assert_eq!(read.chain_id(), Some(84_532));
    assert_eq!(world.endpoint.take_calls(), ["eth_feeHistory"]);
    world.prepare(&payment()).await;
    assert!(world.endpoint.take_calls().is_empty(), "the fee is used again for a second");
}

#[tokio::test]
async fn a_no_op_uses_the_nonce_up_and_moves_nothing() {
    let world = World::start().await;
    let slot = world.slot();
    let prepared = world.chain.prepare(Intent::NoOp, &slot, None).await.unwrap();
    assert_eq!(prepared.gas_limit, 21_000);
    assert_eq!(world.chain.broadcast(&prepared.raw).await, Broadcast::Accepted);
    assert_eq!(world.devnet.nonce(accounts::FACILITATOR.address), slot.nonce + 1);
    let lane = world.chain.lane_state(&slot.signer.to_lowercase()).await.unwrap();
    assert_eq!((lane.mined_nonce, lane.pending_nonce), (1, 1));
    assert!(lane.balance_wei > 0);
    let foreign = accounts::BUYER.address.to_string();
    assert!(matches!(world.chain.lane_state(&foreign).await, Err(ChainError::Unsupported { .. })));
}

#[tokio::test]
async fn e25_what_the_pool_says_is_understood() {
    let world = World::start().await;
    world.devnet.set_automine(false);
    let first = world.prepare(&payment()).await;
    assert_eq!(world.chain.broadcast(&first.raw).await, Broadcast::Accepted);
    assert_eq!(world.chain.broadcast(&first.raw).await, Broadcast::AlreadyKnown);
    let mut slot = world.slot();
    slot.nonce = 0;
    let rival = world.chain.prepare(Intent::NoOp, &slot, None).await.unwrap();
    assert_eq!(world.chain.broadcast(&rival.raw).await, Broadcast::Underpriced);
    world.devnet.mine(1);
    assert_eq!(world.chain.broadcast(&rival.raw).await, Broadcast::NonceTooLow);
    world.devnet.set_balance(accounts::FACILITATOR.address, U256::ZERO);
    slot.nonce = 1;
    let poor = world.chain.prepare(Intent::NoOp, &slot, None).await.unwrap();
    assert_eq!(world.chain.broadcast(&poor.raw).await, Broadcast::InsufficientFunds);
    assert_eq!(world.chain.broadcast(&[2, 3, 4]).await, Broadcast::Rejected);
}

#[tokio::test]
async fn e32_a_fee_above_the_ceiling_is_not_offered() {
    let world = World::start().await;
    let mut config = config_for(vec![world.endpoint.url.clone()]);
    config.max_fee_per_gas_wei = 1_000_000_000;
    let chain = EvmChain::connect(config).await.unwrap();
    let prepared = chain.prepare(Intent::NoOp, &world.slot(), None).await;
    assert!(matches!(prepared, Err(ChainError::FeeCeiling { .. })), "{prepared:?}");
}

#[tokio::test]
async fn what_does_not_pay_is_never_signed() {
    let world = World::start().await;
    let slot = world.slot();
    for break_it in [
        |d: &mut Draft| d.signed.value.0 -= U256::ONE,
        |d: &mut Draft| d.signed.to = Address::repeat_byte(7),
        |d: &mut Draft| d.required.asset = Address::repeat_byte(7).to_checksum(None),
        |d: &mut Draft| d.required.network = faregate_protocol::Network::eip155(1),
    ] {
        let mut draft = Draft::new();
        break_it(&mut draft);
        let request = draft.request();
        let prepared = world.chain.prepare(Intent::Transfer(&request), &slot, None).await;
        assert!(matches!(prepared, Err(ChainError::Unsupported { .. })), "{prepared:?}");
    }
}

#[tokio::test]
async fn many_payments_at_once_are_each_proven_by_their_own_log() {
    let world = World::start().await;
    world.devnet.set_automine(false);
    let requests: Vec<_> = (0..10).map(|_| payment()).collect();
    let mut sent = Vec::new();
    let mut slot = world.slot();
    for request in &requests {
        let prepared = world.chain.prepare(Intent::Transfer(request), &slot, None).await.unwrap();
        assert_eq!(world.chain.broadcast(&prepared.raw).await, Broadcast::Accepted);
        slot.nonce += 1;
        sent.push(prepared.transaction);
    }
    world.devnet.mine(1);
    let mut logs = std::collections::HashSet::new();
    for request in &requests {
        let seen = world.observe(request, &sent, 0).await;
        let Outcome::Paid(evidence) = seen.outcome else { panic!("{seen:?}") };
        assert!(logs.insert(evidence.log_index));
    }
}
