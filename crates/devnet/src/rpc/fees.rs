//! What gas costs and has cost.

use alloy_consensus::Transaction as _;
use serde_json::{Number, Value, json};

use super::{
    Answer, RpcError,
    hex::quantity,
    params::{Params, array, wrong},
};
use crate::{
    block::Block,
    chain::{Chain, lookup::BlockId},
    error::ChainError,
    limits::{MAX_FEE_HISTORY_BLOCKS, MAX_FEE_PERCENTILES, SUGGESTED_TIP_WEI},
    node::Node,
};

/// Answers the methods of this file.
pub(super) fn call(node: &Node, method: &str, params: &Params) -> Option<Answer> {
    Some(match method {
        "eth_gasPrice" => {
            let base_fee = u128::from(node.read().upcoming_base_fee());
            Ok(quantity(base_fee.saturating_add(SUGGESTED_TIP_WEI)))
        }
        "eth_maxPriorityFeePerGas" => Ok(quantity(SUGGESTED_TIP_WEI)),
        "eth_blobBaseFee" => Ok(json!("0x1")),
        "eth_feeHistory" => history(node, params),
        _ => return None,
    })
}

fn history(node: &Node, params: &Params) -> Answer {
    params.at_most(3)?;
    let wanted = params.number(0)?.min(MAX_FEE_HISTORY_BLOCKS);
    let newest = params.block(1)?;
    let percentiles = params.optional(2).map(percentiles).transpose()?;
    let chain = node.read();
    let last = chain.number_of(newest).ok_or(ChainError::UnknownBlock)?;
    if wanted == 0 {
        return Ok(json!({ "oldestBlock": "0x0", "gasUsedRatio": [] }));
    }
    let first = (last + 1).saturating_sub(wanted);
    let blocks: Vec<&Block> = chain.blocks_between(first, last).map(AsRef::as_ref).collect();
    let mut base_fees: Vec<Value> = blocks.iter().map(|block| quantity(block.base_fee())).collect();
    base_fees.push(quantity(base_fee_after(&chain, last)));
    let blob_fees = vec![json!("0x1"); base_fees.len()];
    let ratios: Vec<Value> = blocks.iter().map(|block| gas_used_ratio(block)).collect();
    let mut answer = json!({
        "oldestBlock": quantity(blocks.first().map_or(first, |block| block.header.number)),
        "baseFeePerGas": base_fees,
        "gasUsedRatio": ratios,
        "baseFeePerBlobGas": blob_fees,
        "blobGasUsedRatio": vec![json!(0); blocks.len()],
    });
    if let (Some(percentiles), Some(fields)) = (percentiles, answer.as_object_mut()) {
        let rewards = blocks.iter().map(|block| rewards(block, &percentiles)).collect();
        fields.insert("reward".to_owned(), rewards);
    }
    Ok(answer)
}

fn base_fee_after(chain: &Chain, number: u64) -> u64 {
    let next = chain.block(BlockId::Number(number + 1));
    next.map_or_else(|| chain.upcoming_base_fee(), |block| block.base_fee())
}

const MILLIONTHS: u128 = 1_000_000;

/// Used gas as a part of the limit, with six decimals.
fn gas_used_ratio(block: &Block) -> Value {
    let limit = u128::from(block.header.gas_limit).max(1);
    let millionths = u128::from(block.header.gas_used) * MILLIONTHS / limit;
    let text = format!("{}.{:06}", millionths / MILLIONTHS, millionths % MILLIONTHS);
    let number = text.parse().ok().and_then(Number::from_f64);
    number.map_or(Value::Null, Value::Number)
}

/// Percentiles, in millionths of a percent.
fn percentiles(value: &Value) -> Result<Vec<u128>, RpcError> {
    let given = array("an array of percentiles", value)?;
    if given.len() > MAX_FEE_PERCENTILES {
        return Err(RpcError::params("over the query limit 100"));
    }
    let read: Vec<u128> = given
        .iter()
        .map(|one| percentile(one).ok_or_else(|| wrong("a percentile from 0 to 100", one)))
        .collect::<Result<_, _>>()?;
    if !read.is_sorted() {
        return Err(RpcError::params("reward percentiles must be in ascending order"));
    }
    Ok(read)
}

fn percentile(value: &Value) -> Option<u128> {
    let text = value.as_f64().map(|number| format!("{number:.6}"))?;
    let (whole, fraction) = text.split_once('.')?;
    let millionths = whole.parse::<u128>().ok()? * MILLIONTHS + fraction.parse::<u128>().ok()?;
    (!text.starts_with('-') && millionths <= 100 * MILLIONTHS).then_some(millionths)
}

/// Tips at the percentiles of gas used; zeros for an empty block.
fn rewards(block: &Block, percentiles: &[u128]) -> Value {
    let base_fee = block.base_fee();
    let mut tips: Vec<(u128, u128)> = block
        .transactions
        .iter()
        .zip(&block.receipts)
        .map(|(transaction, receipt)| {
            let tip = transaction.envelope.effective_tip_per_gas(base_fee).unwrap_or_default();
            (tip, u128::from(receipt.gas_used))
        })
        .collect();
    tips.sort_unstable();
    let total: u128 = tips.iter().map(|(_, gas)| gas).sum();
    let at = |percentile: &u128| {
        let threshold = total * percentile / (100 * MILLIONTHS);
        let mut seen = 0;
        let found = tips.iter().find(|(_, gas)| {
            seen += gas;
            seen >= threshold
        });
        quantity(found.or(tips.last()).map_or(0, |(tip, _)| *tip))
    };
    percentiles.iter().map(at).collect()
}
