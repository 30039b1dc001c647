//! Making blocks.

use std::sync::Arc;

use alloy_consensus::Transaction as _;
use alloy_primitives::Log;
use revm::database::WrapDatabaseRef;

use super::{Chain, Mining, Place};
use crate::{
    block::{Block, Outline, Receipt},
    error::ChainError,
    evm::{self, Checks, Outcome},
    limits::{KEPT_BLOCKS, STATE_HISTORY_BLOCKS},
    state::Undo,
    transaction::SignedTransaction,
};

/// A block in the making.
struct Draft {
    outline: Outline,
    undo: Undo,
    transactions: Vec<Arc<SignedTransaction>>,
    receipts: Vec<Receipt>,
    gas_used: u64,
    logs: usize,
}

impl Chain {
    /// Mines one block from the pool, empty if nothing can be mined.
    pub(crate) fn mine(&mut self) {
        self.mine_up_to(usize::MAX);
    }

    /// Mines as the mode wants after the pool got something new.
    pub(crate) fn mine_if_automatic(&mut self) {
        if self.mining != Mining::EachTransaction {
            return;
        }
        while self.pool.best(&self.state, self.upcoming_base_fee(), self.gas_limit).is_some() {
            self.mine_up_to(1);
        }
    }

    fn mine_up_to(&mut self, most: usize) {
        let mut draft = self.draft();
        while draft.transactions.len() < most {
            let gas_left = draft.outline.gas_limit.saturating_sub(draft.gas_used);
            let Some(next) = self.pool.best(&self.state, draft.outline.base_fee, gas_left) else {
                break;
            };
            self.pool.remove(&next.hash);
            if let Err(error) = self.execute(&mut draft, &next) {
                tracing::debug!(hash = %next.hash, %error, "dropped from the pool");
            }
        }
        self.finish(draft);
    }

    /// Mines a block with exactly these transactions at this time. Returns those that could not be
    /// included.
    pub(crate) fn mine_exactly(
        &mut self,
        timestamp: u64,
        transactions: Vec<Arc<SignedTransaction>>,
    ) -> Vec<Arc<SignedTransaction>> {
        let mut draft = self.draft();
        draft.outline.timestamp = timestamp.max(self.head().header.timestamp);
        let mut refused = Vec::new();
        for transaction in transactions {
            let fits = transaction.envelope.gas_limit()
                <= draft.outline.gas_limit.saturating_sub(draft.gas_used);
            if !fits || self.execute(&mut draft, &transaction).is_err() {
                refused.push(transaction);
            }
        }
        self.finish(draft);
        refused
    }

    fn draft(&mut self) -> Draft {
        let mut outline = self.upcoming();
        outline.timestamp = self.clock.take(self.head().header.timestamp);
        self.next_base_fee = None;
        Draft {
            outline,
            undo: Undo::default(),
            transactions: Vec::new(),
            receipts: Vec::new(),
            gas_used: 0,
            logs: 0,
        }
    }

    fn execute(
        &mut self,
        draft: &mut Draft,
        transaction: &Arc<SignedTransaction>,
    ) -> Result<(), ChainError> {
        let ran = evm::run(
            WrapDatabaseRef(self.head_view()),
            self.chain_id,
            draft.outline.env(),
            Checks::Block,
            transaction.env(),
        )?;
        self.state.apply(ran.state, &mut draft.undo);
        let outcome = Outcome::from(ran.result);
        draft.gas_used += outcome.gas_used;
        let base_fee = Some(draft.outline.base_fee);
        let receipt = Receipt {
            succeeded: outcome.output.is_ok(),
            gas_used: outcome.gas_used,
            cumulative_gas_used: draft.gas_used,
            bloom: outcome.logs.iter().collect(),
            first_log: draft.logs,
            created: outcome.created,
            effective_gas_price: transaction.envelope.effective_gas_price(base_fee),
            logs: outcome.logs,
        };
        draft.logs += receipt.logs.len();
        draft.receipts.push(receipt);
        draft.transactions.push(Arc::clone(transaction));
        Ok(())
    }

    fn finish(&mut self, draft: Draft) {
        let block = draft.outline.seal(draft.transactions, draft.receipts);
        let number = block.header.number;
        for (index, transaction) in block.transactions.iter().enumerate() {
            self.places.insert(transaction.hash, Place { block: number, index });
        }
        self.numbers.insert(block.hash, number);
        self.blocks.push_back(Arc::new(block));
        self.undos.push_back(draft.undo);
        if self.undos.len() > STATE_HISTORY_BLOCKS {
            self.undos.pop_front();
        }
        if self.blocks.len() > KEPT_BLOCKS
            && let Some(oldest) = self.blocks.pop_front()
        {
            self.forget(&oldest);
        }
        self.pool.forget_used(&self.state);
    }

    /// Removes a block's entries from the indexes.
    pub(super) fn forget(&mut self, block: &Block) {
        self.numbers.remove(&block.hash);
        for transaction in &block.transactions {
            self.places.remove(&transaction.hash);
        }
    }
}

/// All logs of a block with their index in it.
pub(crate) fn numbered_logs(receipt: &Receipt) -> impl Iterator<Item = (usize, &Log)> {
    receipt.logs.iter().enumerate().map(|(offset, log)| (receipt.first_log + offset, log))
}
