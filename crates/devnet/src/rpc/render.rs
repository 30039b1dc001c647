//! Blocks, transactions, receipts and logs as JSON.

use alloy_consensus::{Header, Transaction as _, TxEnvelope};
use alloy_eips::Typed2718 as _;
use alloy_primitives::{B256, Log};
use serde_json::{Map, Value, json};

use super::hex::{data, optional, quantity};
use crate::{
    block::{Block, Outline},
    chain::{lookup::Mined, mining::numbered_logs},
    transaction::SignedTransaction,
};

/// A block with transaction hashes or whole transactions.
pub(super) fn block(block: &Block, full: bool) -> Value {
    let transactions: Vec<Value> = if full {
        block.all_mined().map(mined_transaction).collect()
    } else {
        block.transactions.iter().map(|transaction| data(transaction.hash)).collect()
    };
    let mut fields = header(&block.header, block.hash);
    fields.insert("size".to_owned(), quantity(block.size()));
    fields.insert("transactions".to_owned(), Value::Array(transactions));
    Value::Object(fields)
}

/// The block that would be mined now: it has no hash yet.
pub(super) fn pending_block(
    outline: Outline,
    transactions: &[&SignedTransaction],
    full: bool,
) -> Value {
    let block = outline.seal(Vec::new(), Vec::new());
    let mut fields = header(&block.header, block.hash);
    for unknown in ["hash", "nonce", "miner"] {
        fields.insert(unknown.to_owned(), Value::Null);
    }
    let transactions = transactions
        .iter()
        .map(|tx| if full { pending_transaction(tx) } else { data(tx.hash) })
        .collect();
    fields.insert("size".to_owned(), quantity(block.size()));
    fields.insert("transactions".to_owned(), Value::Array(transactions));
    Value::Object(fields)
}

/// The members every kind of block has.
pub(super) fn header(header: &Header, hash: B256) -> Map<String, Value> {
    let fields = json!({
        "hash": data(hash),
        "parentHash": data(header.parent_hash),
        "sha3Uncles": data(header.ommers_hash),
        "miner": data(header.beneficiary),
        "stateRoot": data(header.state_root),
        "transactionsRoot": data(header.transactions_root),
        "receiptsRoot": data(header.receipts_root),
        "logsBloom": data(header.logs_bloom),
        "difficulty": "0x0",
        "totalDifficulty": "0x0",
        "number": quantity(header.number),
        "gasLimit": quantity(header.gas_limit),
        "gasUsed": quantity(header.gas_used),
        "timestamp": quantity(header.timestamp),
        "extraData": data(&header.extra_data),
        "mixHash": data(header.mix_hash),
        "nonce": data(header.nonce),
        "baseFeePerGas": quantity(header.base_fee_per_gas.unwrap_or_default()),
        "withdrawalsRoot": optional(header.withdrawals_root),
        "blobGasUsed": quantity(header.blob_gas_used.unwrap_or_default()),
        "excessBlobGas": quantity(header.excess_blob_gas.unwrap_or_default()),
        "parentBeaconBlockRoot": optional(header.parent_beacon_block_root),
        "requestsHash": optional(header.requests_hash),
        "uncles": [],
        "withdrawals": [],
    });
    match fields {
        Value::Object(fields) => fields,
        _ => Map::new(),
    }
}

/// A mined transaction.
pub(super) fn mined_transaction(mined: Mined<'_>) -> Value {
    let mut fields = transaction(mined.transaction);
    let place = [
        ("blockHash", data(mined.block.hash)),
        ("blockNumber", quantity(mined.block.header.number)),
        ("transactionIndex", quantity(mined.index)),
        ("gasPrice", quantity(mined.receipt.effective_gas_price)),
    ];
    fields.extend(place.map(|(name, value)| (name.to_owned(), value)));
    Value::Object(fields)
}

/// A waiting transaction: without a place.
pub(super) fn pending_transaction(pending: &SignedTransaction) -> Value {
    let mut fields = transaction(pending);
    for unknown in ["blockHash", "blockNumber", "transactionIndex"] {
        fields.insert(unknown.to_owned(), Value::Null);
    }
    Value::Object(fields)
}

fn transaction(signed: &SignedTransaction) -> Map<String, Value> {
    let tx = &signed.envelope;
    let signature = tx.signature();
    let parity = u64::from(signature.v());
    let mut fields = Map::new();
    let mut put = |name: &str, value: Value| drop(fields.insert(name.to_owned(), value));
    put("type", quantity(tx.ty()));
    put("hash", data(signed.hash));
    put("from", data(signed.sender));
    put("to", optional(tx.to()));
    put("nonce", quantity(tx.nonce()));
    put("gas", quantity(tx.gas_limit()));
    put("value", quantity(tx.value()));
    put("input", data(tx.input()));
    put("gasPrice", quantity(tx.max_fee_per_gas()));
    put("chainId", tx.chain_id().map_or(Value::Null, quantity));
    put("r", quantity(signature.r()));
    put("s", quantity(signature.s()));
    if let Some(tip) = tx.max_priority_fee_per_gas() {
        put("maxFeePerGas", quantity(tx.max_fee_per_gas()));
        put("maxPriorityFeePerGas", quantity(tip));
    }
    if let TxEnvelope::Legacy(_) = tx {
        let chain = tx.chain_id().map_or(27, |id| id.saturating_mul(2).saturating_add(35));
        put("v", quantity(chain.saturating_add(parity)));
    } else {
        put("v", quantity(parity));
        put("yParity", quantity(parity));
        put("accessList", access_list(tx));
    }
    if let Some(list) = tx.authorization_list() {
        let entries = list.iter().map(|entry| {
            json!({
                "chainId": quantity(entry.chain_id),
                "address": data(entry.address),
                "nonce": quantity(entry.nonce),
                "yParity": quantity(entry.y_parity()),
                "r": quantity(entry.r()),
                "s": quantity(entry.s()),
            })
        });
        put("authorizationList", entries.collect());
    }
    fields
}

fn access_list(tx: &TxEnvelope) -> Value {
    let list = tx.access_list().map(|list| list.0.as_slice()).unwrap_or_default();
    let entries = list.iter().map(|item| {
        let keys: Vec<Value> = item.storage_keys.iter().map(data).collect();
        json!({ "address": data(item.address), "storageKeys": keys })
    });
    entries.collect()
}

/// A receipt.
pub(super) fn receipt(mined: Mined<'_>) -> Value {
    let (receipt, tx) = (mined.receipt, &mined.transaction.envelope);
    json!({
        "type": quantity(tx.ty()),
        "status": quantity(u8::from(receipt.succeeded)),
        "transactionHash": data(mined.transaction.hash),
        "transactionIndex": quantity(mined.index),
        "blockHash": data(mined.block.hash),
        "blockNumber": quantity(mined.block.header.number),
        "from": data(mined.transaction.sender),
        "to": optional(tx.to()),
        "contractAddress": optional(receipt.created),
        "gasUsed": quantity(receipt.gas_used),
        "cumulativeGasUsed": quantity(receipt.cumulative_gas_used),
        "effectiveGasPrice": quantity(receipt.effective_gas_price),
        "logsBloom": data(receipt.bloom),
        "logs": logs(mined).collect::<Vec<Value>>(),
    })
}

/// The logs of a transaction.
pub(super) fn logs(mined: Mined<'_>) -> impl Iterator<Item = Value> {
    numbered_logs(mined.receipt).map(move |(index, entry)| {
        log(
            entry,
            mined.block.hash,
            &mined.block.header,
            mined.transaction.hash,
            mined.index,
            index,
        )
    })
}

/// One log.
pub(super) fn log(
    log: &Log,
    block_hash: B256,
    header: &Header,
    transaction: B256,
    transaction_index: usize,
    index: usize,
) -> Value {
    let topics: Vec<Value> = log.topics().iter().map(data).collect();
    json!({
        "address": data(log.address),
        "topics": topics,
        "data": data(&log.data.data),
        "blockHash": data(block_hash),
        "blockNumber": quantity(header.number),
        "blockTimestamp": quantity(header.timestamp),
        "transactionHash": data(transaction),
        "transactionIndex": quantity(transaction_index),
        "logIndex": quantity(index),
        "removed": false,
    })
}
