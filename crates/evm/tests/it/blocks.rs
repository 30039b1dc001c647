//! Blocks: what one of them proves of many payments, and what is asked for to know it.

use faregate_chain::{Broadcast, Chain, Outcome};
use faregate_protocol::PaymentRequest;
use serde_json::{Value, json};

use crate::endpoint::{Reaction, methods};
use crate::world::{World, payment};

/// Each in a transaction of its own.
async fn all_sent(world: &World, payments: &[PaymentRequest]) -> Vec<[String; 1]> {
    let mut slot = world.slot();
    let mut sent = Vec::new();
    for request in payments {
        let intent = faregate_chain::Intent::Transfer(request);
        let prepared = world.chain.prepare(intent, &slot, None).await.unwrap();
        assert_eq!(world.chain.broadcast(&prepared.raw).await, Broadcast::Accepted);
        sent.push([prepared.transaction]);
        slot.nonce += 1;
    }
    sent
}

#[tokio::test]
async fn a_block_proves_all_its_payments_in_a_handful_of_calls() {
    let world = World::start().await;
    world.devnet.set_automine(false);
    let before = world.devnet.block_number();
    let payments: Vec<_> = (0..24).map(|_| payment()).collect();
    let sent = all_sent(&world, &payments).await;
    let unmined = payment();
    world.endpoint.take_requests();
    assert_eq!(world.chain.blocks(Some(before)).await.unwrap(), []);
    assert_eq!(world.endpoint.take_calls(), ["eth_blockNumber"], "no news costs one call");
    world.devnet.mine(1);
    let blocks = world.chain.blocks(Some(before)).await.unwrap();
    let [block] = &*blocks else { panic!("{blocks:?}") };
    assert_eq!(block.transactions.len(), payments.len());
    let none = [];
    let watch = |request, transactions| faregate_chain::Watch {
        request,
        transactions,
        head_at_claim: before,
    };
    let mut watches: Vec<_> =
        payments.iter().zip(&sent).map(|(request, sent)| watch(request, &sent[..])).collect();
    watches.push(watch(&unmined, &none[..]));
    let seen = world.chain.observe_in(block.whole(), &watches).await.unwrap();
    let calls = world.endpoint.take_calls();
    println!("{} calls for {} payments: {calls:?}", calls.len(), payments.len());
    assert!(calls.len() <= 6, "{calls:?}");
    assert_eq!(seen.last(), Some(&None), "what is not in the block is not proven by it");
    for (place, (request, sent)) in payments.iter().zip(&sent).enumerate() {
        let alone = world.observe(request, sent, before).await;
        assert!(matches!(alone.outcome, Outcome::Paid(_)));
        assert_eq!(seen[place].as_ref().unwrap().outcome, alone.outcome, "the same proof");
    }
    // A part of the block, when nobody knows how large it is, is read one by one.
    let part: Vec<String> = sent.iter().flatten().take(9).cloned().collect();
    world.endpoint.take_calls();
    let place = faregate_chain::InBlock {
        number: block.number,
        hash: &block.hash,
        transactions: &part,
        size: None,
    };
    assert_eq!(world.chain.observe_in(place, &watches[..9]).await.unwrap(), seen[..9]);
    assert_eq!(world.endpoint.take_calls().len(), 9 + 3);
    // A block that was replaced proves nothing.
    let first: alloy_primitives::B256 = sent[0][0].parse().unwrap();
    let reorg = faregate_devnet::Reorg { depth: 1, without: vec![first], ..Default::default() };
    world.devnet.reorg(&reorg).unwrap();
    let after = world.chain.observe_in(block.whole(), &watches).await.unwrap();
    assert_eq!(after[0], None);
}

/// What an endpoint may say when all receipts of a block are asked for.
fn no_such_call(request: &Value) -> Reaction {
    let error = json!({"code": -32601, "message": "the method does not exist"});
    let answer = json!({"jsonrpc": "2.0", "id": request["id"], "error": error});
    Reaction::Answer(200, answer.to_string())
}

/// More than is read of an answer: a busy block's receipts are.
fn too_large(request: &Value) -> Reaction {
    let receipts = vec![json!({ "filler": "x".repeat(1024) }); 3 * 1024];
    let answer = json!({"jsonrpc": "2.0", "id": request["id"], "result": receipts});
    Reaction::Answer(200, answer.to_string())
}

#[tokio::test]
async fn where_all_receipts_cannot_be_had_each_transaction_is_asked_for_and_it_is_remembered() {
    for refusal in [no_such_call, too_large] {
        let world = World::start().await;
        world.devnet.set_automine(false);
        let before = world.devnet.block_number();
        let payments: Vec<_> = (0..12).map(|_| payment()).collect();
        let sent = all_sent(&world, &payments).await;
        world.devnet.mine(1);
        let blocks = world.chain.blocks(Some(before)).await.unwrap();
        let watches: Vec<_> = payments
            .iter()
            .zip(&sent)
            .map(|(request, transactions)| faregate_chain::Watch {
                request,
                transactions: &transactions[..],
                head_at_claim: before,
            })
            .collect();
        world.endpoint.react(move |request| match methods(request) == ["eth_getBlockReceipts"] {
            true => refusal(request),
            false => Reaction::Pass,
        });
        for asked in [1, 0] {
            world.endpoint.take_calls();
            let seen = world.chain.observe_in(blocks[0].whole(), &watches).await.unwrap();
            let paid = |seen: &Option<faregate_chain::Observation>| matches!(seen, Some(seen) if matches!(seen.outcome, Outcome::Paid(_)));
            assert!(seen.iter().all(paid), "{seen:?}");
            let calls = world.endpoint.take_calls();
            let whole = calls.iter().filter(|call| *call == "eth_getBlockReceipts").count();
            assert_eq!(whole, asked, "{calls:?}");
        }
    }
}

#[tokio::test]
async fn blocks_at_several_heights_are_asked_for_in_one_request() {
    let world = World::start().await;
    let before = world.devnet.block_number();
    world.devnet.mine(1);
    let numbers = [before, before + 1, before + 8];
    world.chain.heights(&[]).await.unwrap();
    world.endpoint.take_calls();
    let heights = world.chain.heights(&numbers).await.unwrap().unwrap();
    assert_eq!(world.endpoint.take_calls().len(), 2 + numbers.len());
    assert_eq!(heights.head, before + 1);
    assert!(heights.finalized <= heights.head);
    let shown: Vec<_> = heights.blocks.iter().map(Option::is_some).collect();
    assert_eq!(shown, [true, true, false]);
    assert_eq!(heights.blocks[1].as_ref().unwrap().size, Some(0));
    let reorg = faregate_devnet::Reorg { depth: 1, ..Default::default() };
    world.devnet.reorg(&reorg).unwrap();
    let now = world.chain.heights(&numbers).await.unwrap().unwrap();
    assert_eq!(now.blocks[0], heights.blocks[0]);
    assert_ne!(now.blocks[1], heights.blocks[1]);
}

#[tokio::test]
async fn a_height_that_an_endpoint_has_an_error_for_shows_no_block() {
    let world = World::start().await;
    world.chain.heights(&[]).await.unwrap();
    world.endpoint.react(|request| {
        let Some(all) = request.as_array() else { return Reaction::Pass };
        let answer = |call: &Value| {
            let block = json!({
                "number": "0x7", "hash": format!("0x{}", "ab".repeat(32)),
                "parentHash": format!("0x{}", "cd".repeat(32)), "timestamp": "0x1",
                "transactions": [],
            });
            match call["params"][0].as_str() {
                Some("latest" | "finalized" | "0x7") => {
                    json!({"jsonrpc": "2.0", "id": call["id"], "result": block})
                }
                _ => {
                    let error = json!({"code": -32000, "message": "header not found"});
                    json!({"jsonrpc": "2.0", "id": call["id"], "error": error})
                }
            }
        };
        let answers: Vec<_> = all.iter().map(answer).collect();
        Reaction::Answer(200, json!(answers).to_string())
    });
    let partly = world.chain.heights(&[5, 7, 9]).await.unwrap().unwrap();
    let shown: Vec<_> = partly.blocks.iter().map(Option::is_some).collect();
    assert_eq!((partly.head, shown), (7, vec![false, true, false]));
}
