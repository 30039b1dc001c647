//! Methods of development nodes, under the names that existing tools use.

use std::time::Duration;

use alloy_primitives::B256;
use serde_json::{Value, json};

use super::{
    Answer, RpcError,
    hex::quantity,
    params::{Params, array, hash, number},
};
use crate::{
    chain::{
        Mining,
        reorg::{Orphans, Reorg},
    },
    error::ChainError,
    limits::{MAX_MINED_AT_ONCE, MIN_BLOCK_TIME},
    node::Node,
};

/// Answers the methods of this file.
pub(super) fn call(node: &Node, method: &str, params: &Params) -> Option<Answer> {
    Some(match method {
        "evm_mine" => evm_mine(node, params),
        "anvil_mine" => anvil_mine(node, params),
        "evm_setAutomine" | "anvil_setAutomine" => set_automine(node, params),
        "anvil_getAutomine" => Ok(json!(node.read().mining == Mining::EachTransaction)),
        "evm_setIntervalMining" | "anvil_setIntervalMining" => set_interval(node, params),
        "evm_increaseTime" | "anvil_increaseTime" => {
            params.number(0).map(|seconds| json!(node.write().increase_time(seconds)))
        }
        "evm_setNextBlockTimestamp" | "anvil_setNextBlockTimestamp" => {
            params.number(0).and_then(|time| done(node.write().set_next_timestamp(time)))
        }
        "anvil_setNextBlockBaseFeePerGas" => {
            params.number(0).map(|fee| node.write().set_next_base_fee(fee)).map(nothing)
        }
        "evm_snapshot" | "anvil_snapshot" => Ok(quantity(node.write().snapshot())),
        "evm_revert" | "anvil_revert" => params.number(0).map(|id| json!(node.write().restore(id))),
        "anvil_dropTransaction" => drop_transaction(node, params),
        "anvil_reorg" => reorg(node, params),
        _ => return set_state(node, method, params),
    })
}

fn set_state(node: &Node, method: &str, params: &Params) -> Option<Answer> {
    Some(match method {
        "anvil_setBalance" | "hardhat_setBalance" => pair(params.address(0), params.word(1))
            .map(|(address, wei)| node.write().set_balance(address, wei))
            .map(nothing),
        "anvil_setCode" | "hardhat_setCode" => pair(params.address(0), params.bytes(1))
            .and_then(|(address, code)| done(node.write().set_code(address, code))),
        "anvil_setNonce" | "hardhat_setNonce" => pair(params.address(0), params.number(1))
            .map(|(address, nonce)| node.write().set_nonce(address, nonce))
            .map(nothing),
        "anvil_setStorageAt" | "hardhat_setStorageAt" => set_storage(node, params),
        _ => return None,
    })
}

fn pair<A, B>(one: Result<A, RpcError>, two: Result<B, RpcError>) -> Result<(A, B), RpcError> {
    Ok((one?, two?))
}

fn nothing((): ()) -> Value {
    Value::Null
}

fn done(result: Result<(), ChainError>) -> Answer {
    result.map(nothing).map_err(RpcError::from)
}

/// The one parameter is a timestamp, bare or in an object.
fn evm_mine(node: &Node, params: &Params) -> Answer {
    let timestamp = match params.optional(0) {
        Some(Value::Object(options)) => options.get("timestamp").map(number).transpose()?,
        Some(value) => Some(number(value)?),
        None => None,
    };
    let mut chain = node.write();
    if let Some(timestamp) = timestamp {
        chain.set_next_timestamp(timestamp)?;
    }
    chain.mine();
    Ok(json!("0x0"))
}

/// How many blocks, and how many seconds between them.
fn anvil_mine(node: &Node, params: &Params) -> Answer {
    let blocks = params.optional(0).map_or(Ok(1), number)?;
    if blocks > MAX_MINED_AT_ONCE {
        return Err(RpcError::params(format!("at most {MAX_MINED_AT_ONCE} blocks at once")));
    }
    let seconds = params.optional(1).map(number).transpose()?;
    let mut chain = node.write();
    for index in 0..blocks {
        if let Some(seconds) = seconds.filter(|_| index > 0) {
            let next = chain.head().header.timestamp.saturating_add(seconds);
            chain.set_next_timestamp(next)?;
        }
        chain.mine();
    }
    Ok(Value::Null)
}

fn set_automine(node: &Node, params: &Params) -> Answer {
    params.required(0)?;
    let automatic = params.flag(0)?;
    node.set_mining(if automatic { Mining::EachTransaction } else { Mining::OnDemand });
    Ok(Value::Null)
}

/// Seconds between blocks; zero turns the timer off.
fn set_interval(node: &Node, params: &Params) -> Answer {
    let interval = Duration::from_secs(params.number(0)?);
    let on = interval >= MIN_BLOCK_TIME;
    node.set_mining(if on { Mining::Every(interval) } else { Mining::OnDemand });
    Ok(Value::Null)
}

fn set_storage(node: &Node, params: &Params) -> Answer {
    let (address, slot, value) = (params.address(0)?, params.word(1)?, params.word(2)?);
    node.write().set_storage(address, slot, value);
    Ok(json!(true))
}

fn drop_transaction(node: &Node, params: &Params) -> Answer {
    let hash = params.hash(0)?;
    Ok(match node.write().drop_pending(hash) {
        Ok(()) => json!(hash.to_string()),
        Err(_) => Value::Null,
    })
}

/// Depth, then hashes of transactions that the new blocks leave out, then whether those go back to
/// the pool. (Other nodes take replacement transactions as the second parameter; this one keeps
/// the old ones unless told otherwise.)
fn reorg(node: &Node, params: &Params) -> Answer {
    params.at_most(3)?;
    let depth = params.number(0)?;
    let without: Vec<B256> = match params.optional(1) {
        Some(value) => {
            array("an array of hashes", value)?.iter().map(hash).collect::<Result<_, _>>()?
        }
        None => Vec::new(),
    };
    let back = params.flag(2)?;
    let orphans = if back { Orphans::BackToPool } else { Orphans::Forgotten };
    done(node.write().reorg(&Reorg { depth, without, orphans }))
}
