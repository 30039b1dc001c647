//! Who are you, and what stands at this address.

use alloy_primitives::{B256, U256, keccak256};
use serde_json::{Value, json};

use super::{
    Answer,
    hex::{data, quantity},
    params::Params,
};
use crate::{chain::lookup::BlockId, node::Node};

const CLIENT: &str = concat!("faregate-devnet/v", env!("CARGO_PKG_VERSION"));

/// Answers the methods of this file.
pub(super) fn call(node: &Node, method: &str, params: &Params) -> Option<Answer> {
    Some(match method {
        "web3_clientVersion" => Ok(json!(CLIENT)),
        "web3_sha3" => params.bytes(0).map(|bytes| data(keccak256(bytes))),
        "net_version" => Ok(json!(node.read().chain_id.to_string())),
        "net_listening" => Ok(json!(true)),
        "eth_chainId" => Ok(quantity(node.read().chain_id)),
        "eth_syncing" => Ok(json!(false)),
        "eth_accounts" => Ok(node.read().accounts.iter().map(data).collect()),
        "eth_blockNumber" => Ok(quantity(node.read().height())),
        "eth_getBalance" => balance(node, params),
        "eth_getCode" => code(node, params),
        "eth_getStorageAt" => storage(node, params),
        "eth_getTransactionCount" => nonce(node, params),
        _ => return None,
    })
}

fn balance(node: &Node, params: &Params) -> Answer {
    params.at_most(2)?;
    let (address, at) = (params.address(0)?, params.block(1)?);
    let chain = node.read();
    let account = chain.view(at)?.account(address);
    Ok(quantity(account.map_or(U256::ZERO, |info| info.balance)))
}

fn code(node: &Node, params: &Params) -> Answer {
    params.at_most(2)?;
    let (address, at) = (params.address(0)?, params.block(1)?);
    let chain = node.read();
    let account = chain.view(at)?.account(address);
    let code = account.and_then(|info| info.code);
    Ok(code.map_or_else(|| data([]), |code| data(code.original_byte_slice())))
}

fn storage(node: &Node, params: &Params) -> Answer {
    params.at_most(3)?;
    let (address, slot, at) = (params.address(0)?, params.word(1)?, params.block(2)?);
    let value = node.read().view(at)?.slot(address, slot);
    Ok(data(B256::from(value)))
}

fn nonce(node: &Node, params: &Params) -> Answer {
    params.at_most(2)?;
    let (address, at) = (params.address(0)?, params.block(1)?);
    let chain = node.read();
    let mined = chain.view(at)?.account(address).map_or(0, |info| info.nonce);
    let nonce =
        if at == BlockId::Pending { chain.pool.pending_nonce(address, mined) } else { mined };
    Ok::<Value, _>(quantity(nonce))
}
