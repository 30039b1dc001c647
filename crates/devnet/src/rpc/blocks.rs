//! Blocks, mined transactions, receipts and logs.

use serde_json::{Value, json};

use super::{
    Answer, RpcError,
    filter::{Blocks, LogFilter},
    hex::quantity,
    params::{Params, block_tag},
    render,
};
use crate::{
    chain::{Chain, lookup::BlockId},
    error::ChainError,
    limits::MAX_LOGS,
    node::Node,
};

/// Answers the methods of this file.
pub(super) fn call(node: &Node, method: &str, params: &Params) -> Option<Answer> {
    Some(match method {
        "eth_getBlockByNumber" => by_number(params).and_then(|id| block(node, params, id)),
        "eth_getBlockByHash" => by_hash(params).and_then(|id| block(node, params, id)),
        "eth_getBlockTransactionCountByNumber" => by_number(params).map(|id| count(node, id)),
        "eth_getBlockTransactionCountByHash" => by_hash(params).map(|id| count(node, id)),
        "eth_getUncleCountByBlockNumber" | "eth_getUncleCountByBlockHash" => Ok(json!("0x0")),
        "eth_getTransactionByBlockNumberAndIndex" => {
            by_number(params).and_then(|id| transaction_at(node, params, id))
        }
        "eth_getTransactionByBlockHashAndIndex" => {
            by_hash(params).and_then(|id| transaction_at(node, params, id))
        }
        "eth_getTransactionByHash" => transaction(node, params),
        "eth_getTransactionReceipt" => receipt(node, params),
        "eth_getBlockReceipts" => block_receipts(node, params),
        "eth_getLogs" => logs(node, params),
        _ => return None,
    })
}

fn by_number(params: &Params) -> Result<BlockId, RpcError> {
    block_tag(params.required(0)?)
}

fn by_hash(params: &Params) -> Result<BlockId, RpcError> {
    params.hash(0).map(BlockId::Hash)
}

fn block(node: &Node, params: &Params, id: BlockId) -> Answer {
    params.at_most(2)?;
    let full = params.flag(1)?;
    let chain = node.read();
    if id == BlockId::Pending {
        let (ready, _) = chain.pool.split(chain.state());
        return Ok(render::pending_block(chain.upcoming(), &ready, full));
    }
    Ok(chain.block(id).map_or(Value::Null, |block| render::block(block, full)))
}

fn count(node: &Node, id: BlockId) -> Value {
    let chain = node.read();
    if id == BlockId::Pending {
        return quantity(chain.pool.split(chain.state()).0.len());
    }
    chain.block(id).map_or(Value::Null, |block| quantity(block.transactions.len()))
}

fn transaction_at(node: &Node, params: &Params, id: BlockId) -> Answer {
    params.at_most(2)?;
    let index = usize::try_from(params.number(1)?).unwrap_or(usize::MAX);
    let chain = node.read();
    let mined = chain.block(id).and_then(|block| block.mined(index));
    Ok(mined.map_or(Value::Null, render::mined_transaction))
}

fn transaction(node: &Node, params: &Params) -> Answer {
    params.at_most(1)?;
    let hash = params.hash(0)?;
    let chain = node.read();
    let mined = chain.mined(&hash).map(render::mined_transaction);
    let waiting = || chain.pool.get(&hash).map(|pending| render::pending_transaction(pending));
    Ok(mined.or_else(waiting).unwrap_or(Value::Null))
}

fn receipt(node: &Node, params: &Params) -> Answer {
    params.at_most(1)?;
    let hash = params.hash(0)?;
    let chain = node.read();
    Ok(chain.mined(&hash).map_or(Value::Null, render::receipt))
}

fn block_receipts(node: &Node, params: &Params) -> Answer {
    params.at_most(1)?;
    params.required(0)?;
    let id = params.block(0)?;
    let chain = node.read();
    Ok(chain
        .block(id)
        .map_or(Value::Null, |block| block.all_mined().map(render::receipt).collect()))
}

fn logs(node: &Node, params: &Params) -> Answer {
    params.at_most(1)?;
    let filter = LogFilter::read(params.required(0)?)?;
    let chain = node.read();
    let (first, last) = log_range(&chain, &filter.blocks)?;
    let mut found = Vec::new();
    for block in chain.blocks_between(first, last) {
        if !filter.may_match(&block.header.logs_bloom) {
            continue;
        }
        for mined in block.all_mined() {
            let wanted = mined.receipt.logs.iter().map(|log| filter.matches(log));
            let rendered = render::logs(mined).zip(wanted);
            found.extend(rendered.filter_map(|(log, wanted)| wanted.then_some(log)));
        }
        if found.len() > MAX_LOGS {
            return Err(ChainError::TooManyLogs(MAX_LOGS).into());
        }
    }
    Ok(Value::Array(found))
}

fn log_range(chain: &Chain, blocks: &Blocks) -> Result<(u64, u64), RpcError> {
    // A range may name blocks that do not exist yet; they have no logs.
    let number = |id: BlockId| match id {
        BlockId::Number(number) => Ok(number),
        id => chain.number_of(id).ok_or(ChainError::UnknownBlock),
    };
    match *blocks {
        Blocks::One(hash) => {
            let number = chain.number_of(BlockId::Hash(hash));
            let number = number.ok_or(ChainError::Params("unknown block".to_owned()))?;
            Ok((number, number))
        }
        Blocks::Range(from, to) => {
            let (first, last) = (number(from)?, number(to)?);
            if first > last {
                return Err(RpcError::params("invalid block range params"));
            }
            Ok((first, last))
        }
    }
}
