//! Sending transactions and looking at those that wait.

use std::collections::BTreeMap;

use alloy_consensus::Transaction as _;
use serde_json::{Map, Value, json};

use super::{
    Answer,
    hex::{data, quantity},
    params::Params,
    render,
};
use crate::{node::Node, transaction::SignedTransaction};

/// Answers the methods of this file.
pub(super) fn call(node: &Node, method: &str, params: &Params) -> Option<Answer> {
    Some(match method {
        "eth_sendRawTransaction" => send(node, params),
        "txpool_status" => Ok(status(node)),
        "txpool_content" => Ok(content(node)),
        _ => return None,
    })
}

fn send(node: &Node, params: &Params) -> Answer {
    params.at_most(1)?;
    let raw = params.bytes(0)?;
    Ok(data(node.write().submit(&raw)?))
}

fn status(node: &Node) -> Value {
    let chain = node.read();
    let (pending, queued) = chain.pool.split(chain.state());
    json!({ "pending": quantity(pending.len()), "queued": quantity(queued.len()) })
}

fn content(node: &Node) -> Value {
    let chain = node.read();
    let (pending, queued) = chain.pool.split(chain.state());
    json!({ "pending": by_sender(&pending), "queued": by_sender(&queued) })
}

fn by_sender(transactions: &[&SignedTransaction]) -> BTreeMap<String, Map<String, Value>> {
    let mut senders: BTreeMap<String, Map<String, Value>> = BTreeMap::new();
    for transaction in transactions {
        let nonce = transaction.envelope.nonce().to_string();
        let sender = senders.entry(transaction.sender.to_string()).or_default();
        sender.insert(nonce, render::pending_transaction(transaction));
    }
    senders
}
