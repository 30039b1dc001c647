//! Finding blocks, transactions and old states.

use std::sync::Arc;

use alloy_primitives::B256;

use super::{Chain, Place};
use crate::{
    block::{Block, Receipt},
    error::ChainError,
    limits::FINALITY_BLOCKS,
    state::View,
    transaction::SignedTransaction,
};

/// How a client names a block.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum BlockId {
    Latest,
    Pending,
    Earliest,
    Safe,
    Finalized,
    Number(u64),
    Hash(B256),
}

/// A mined transaction with all that belongs to it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Mined<'a> {
    pub(crate) block: &'a Block,
    pub(crate) index: usize,
    pub(crate) transaction: &'a SignedTransaction,
    pub(crate) receipt: &'a Receipt,
}

impl Chain {
    /// The number a block id means; `Pending` counts as the newest block.
    pub(crate) fn number_of(&self, id: BlockId) -> Option<u64> {
        let height = self.height();
        match id {
            BlockId::Latest | BlockId::Pending => Some(height),
            BlockId::Earliest => Some(0),
            BlockId::Safe | BlockId::Finalized => Some(height.saturating_sub(FINALITY_BLOCKS)),
            BlockId::Number(number) => (number <= height).then_some(number),
            BlockId::Hash(hash) => self.numbers.get(&hash).copied(),
        }
    }

    /// The block, unless it does not exist or is forgotten.
    pub(crate) fn block(&self, id: BlockId) -> Option<&Arc<Block>> {
        let number = self.number_of(id)?;
        let oldest = self.blocks.front()?.header.number;
        self.blocks.get(usize::try_from(number.checked_sub(oldest)?).ok()?)
    }

    /// Blocks from `first` to `last`, both included; forgotten and future ones are left out.
    pub(crate) fn blocks_between(
        &self,
        first: u64,
        last: u64,
    ) -> impl Iterator<Item = &Arc<Block>> {
        let oldest = self.blocks.front().map_or(0, |block| block.header.number);
        let skip = usize::try_from(first.saturating_sub(oldest)).unwrap_or(usize::MAX);
        self.blocks.iter().skip(skip).take_while(move |block| block.header.number <= last)
    }

    /// A mined transaction by hash.
    pub(crate) fn mined(&self, hash: &B256) -> Option<Mined<'_>> {
        let Place { block, index } = *self.places.get(hash)?;
        self.block(BlockId::Number(block))?.mined(index)
    }

    /// The state after a block.
    ///
    /// Errors: no such block, or its state is no longer kept.
    pub(crate) fn view(&self, id: BlockId) -> Result<View<'_>, ChainError> {
        let number = self.number_of(id).ok_or(ChainError::UnknownBlock)?;
        let behind = self.height() - number;
        let kept = self.undos.len();
        let first_undo = usize::try_from(behind)
            .ok()
            .and_then(|behind| kept.checked_sub(behind))
            .ok_or_else(|| ChainError::StatePruned {
            number,
            oldest: self.height().saturating_sub(kept as u64),
        })?;
        Ok(View::new(&self.state, &self.undos, first_undo, &self.blocks))
    }

    /// The state at the newest block.
    pub(crate) fn head_view(&self) -> View<'_> {
        View::new(&self.state, &self.undos, self.undos.len(), &self.blocks)
    }
}

impl Block {
    /// The transaction at `index`.
    pub(crate) fn mined(&self, index: usize) -> Option<Mined<'_>> {
        let transaction = self.transactions.get(index)?;
        let receipt = self.receipts.get(index)?;
        Some(Mined { block: self, index, transaction, receipt })
    }

    /// All transactions, in order.
    pub(crate) fn all_mined(&self) -> impl Iterator<Item = Mined<'_>> {
        (0..self.transactions.len()).filter_map(|index| self.mined(index))
    }
}
