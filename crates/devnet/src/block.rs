//! Blocks with real headers: roots of transactions and receipts, bloom, EIP-1559 base fee, and a
//! hash that verifies. Only the state root is not a trie's (the chain keeps no trie); it is a
//! digest over the parent's state root and this block's receipts.

use std::sync::Arc;

use alloy_consensus::{
    EMPTY_OMMER_ROOT_HASH, Eip658Value, Header, Receipt as ConsensusReceipt, ReceiptEnvelope,
    constants::EMPTY_WITHDRAWALS, proofs,
};
use alloy_eips::{Encodable2718, Typed2718 as _, eip7685::EMPTY_REQUESTS_HASH};
use alloy_primitives::{Address, B64, B256, Bloom, Bytes, Log, U256, keccak256};
use revm::context::BlockEnv;

use crate::{accounts::COINBASE, transaction::SignedTransaction};

/// A mined block.
#[derive(Debug)]
pub(crate) struct Block {
    pub(crate) header: Header,
    pub(crate) hash: B256,
    pub(crate) transactions: Vec<Arc<SignedTransaction>>,
    /// One for each transaction, same order.
    pub(crate) receipts: Vec<Receipt>,
}

/// What a transaction did.
#[derive(Clone, Debug)]
pub(crate) struct Receipt {
    pub(crate) succeeded: bool,
    pub(crate) gas_used: u64,
    /// Gas used by the block up to and including this transaction.
    pub(crate) cumulative_gas_used: u64,
    pub(crate) logs: Vec<Log>,
    pub(crate) bloom: Bloom,
    /// Index of the first log within the block.
    pub(crate) first_log: usize,
    /// Address of the contract that the transaction created.
    pub(crate) created: Option<Address>,
    /// Price paid, in wei per gas.
    pub(crate) effective_gas_price: u128,
}

/// What is fixed about a block before its transactions run.
#[derive(Clone, Debug)]
pub(crate) struct Outline {
    pub(crate) parent_hash: B256,
    pub(crate) parent_state_root: B256,
    pub(crate) number: u64,
    pub(crate) timestamp: u64,
    pub(crate) gas_limit: u64,
    pub(crate) base_fee: u64,
    pub(crate) coinbase: Address,
    /// Different after each reorganisation, so that a block mined again gets a new hash.
    pub(crate) extra_data: Bytes,
}

impl Outline {
    /// What the EVM sees of the block.
    pub(crate) fn env(&self) -> BlockEnv {
        BlockEnv {
            number: U256::from(self.number),
            beneficiary: self.coinbase,
            timestamp: U256::from(self.timestamp),
            gas_limit: self.gas_limit,
            basefee: self.base_fee,
            prevrandao: Some(self.randomness()),
            ..BlockEnv::default()
        }
    }

    fn randomness(&self) -> B256 {
        keccak256(self.parent_hash)
    }

    /// The finished block.
    pub(crate) fn seal(
        self,
        transactions: Vec<Arc<SignedTransaction>>,
        receipts: Vec<Receipt>,
    ) -> Block {
        let mut logs_bloom = Bloom::ZERO;
        receipts.iter().for_each(|receipt| logs_bloom.accrue_bloom(&receipt.bloom));
        let envelopes: Vec<_> = transactions.iter().map(|tx| Envelope(tx)).collect();
        let receipts_root = receipts_root(&transactions, &receipts);
        let header = Header {
            parent_hash: self.parent_hash,
            ommers_hash: EMPTY_OMMER_ROOT_HASH,
            beneficiary: self.coinbase,
            state_root: keccak256([self.parent_state_root, receipts_root].concat()),
            transactions_root: proofs::ordered_trie_root_with_encoder(&envelopes, |tx, out| {
                tx.0.envelope.encode_2718(out);
            }),
            receipts_root,
            logs_bloom,
            difficulty: U256::ZERO,
            number: self.number,
            gas_limit: self.gas_limit,
            gas_used: receipts.last().map_or(0, |receipt| receipt.cumulative_gas_used),
            timestamp: self.timestamp,
            mix_hash: self.randomness(),
            extra_data: self.extra_data,
            nonce: B64::ZERO,
            base_fee_per_gas: Some(self.base_fee),
            withdrawals_root: Some(EMPTY_WITHDRAWALS),
            blob_gas_used: Some(0),
            excess_blob_gas: Some(0),
            parent_beacon_block_root: Some(B256::ZERO),
            requests_hash: Some(EMPTY_REQUESTS_HASH),
            ..Header::default()
        };
        Block { hash: header.hash_slow(), header, transactions, receipts }
    }
}

struct Envelope<'a>(&'a SignedTransaction);

fn receipts_root(transactions: &[Arc<SignedTransaction>], receipts: &[Receipt]) -> B256 {
    let envelopes: Vec<ReceiptEnvelope> = transactions
        .iter()
        .zip(receipts)
        .map(|(transaction, receipt)| envelope(transaction.envelope.ty(), receipt))
        .collect();
    proofs::calculate_receipt_root(&envelopes)
}

fn envelope(transaction_type: u8, receipt: &Receipt) -> ReceiptEnvelope {
    let inner = ConsensusReceipt {
        status: Eip658Value::Eip658(receipt.succeeded),
        cumulative_gas_used: receipt.cumulative_gas_used,
        logs: receipt.logs.clone(),
    }
    .with_bloom();
    match transaction_type {
        1 => ReceiptEnvelope::Eip2930(inner),
        2 => ReceiptEnvelope::Eip1559(inner),
        4 => ReceiptEnvelope::Eip7702(inner),
        _ => ReceiptEnvelope::Legacy(inner),
    }
}

impl Block {
    /// The first block of a chain.
    pub(crate) fn genesis(timestamp: u64, gas_limit: u64, base_fee: u64) -> Self {
        let outline = Outline {
            parent_hash: B256::ZERO,
            parent_state_root: B256::ZERO,
            number: 0,
            timestamp,
            gas_limit,
            base_fee,
            coinbase: COINBASE,
            extra_data: Bytes::from_static(b"faregate dev chain"),
        };
        outline.seal(Vec::new(), Vec::new())
    }

    /// Base fee, in wei per gas.
    pub(crate) fn base_fee(&self) -> u64 {
        self.header.base_fee_per_gas.unwrap_or_default()
    }

    /// Approximate encoded size, in bytes.
    pub(crate) fn size(&self) -> usize {
        self.header.size() + self.transactions.iter().map(|tx| tx.size()).sum::<usize>()
    }
}
