//! Replacing the newest blocks by others, as happens on a public chain when two blocks compete.

use std::{collections::HashSet, sync::Arc};

use alloy_primitives::B256;

use super::Chain;
use crate::{error::ChainError, transaction::SignedTransaction};

/// A reorganisation to perform.
#[derive(Clone, Debug, Default)]
pub struct Reorg {
    /// How many of the newest blocks are replaced by as many new ones.
    pub depth: u64,
    /// Hashes of transactions that the new blocks leave out.
    pub without: Vec<B256>,
    /// What becomes of those.
    pub orphans: Orphans,
}

/// What happens to a transaction that a reorganisation left out. One that can no longer be
/// included, because an earlier nonce was left out, goes back to the pool in any case.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Orphans {
    /// Nobody remembers it: it must be sent again.
    #[default]
    Forgotten,
    /// It waits in the pool and is mined with the next block.
    BackToPool,
}

impl Chain {
    /// Replaces the newest blocks. The new ones have the same numbers and times, other hashes, and
    /// the same transactions in the same order except those left out.
    ///
    /// Errors: deeper than the states kept, or than the chain.
    pub(crate) fn reorg(&mut self, reorg: &Reorg) -> Result<(), ChainError> {
        let without: HashSet<B256> = reorg.without.iter().copied().collect();
        let removed = self.roll_back(reorg.depth)?;
        let mut waiting = Vec::new();
        for block in removed {
            let (orphans, kept): (Vec<_>, Vec<_>) = block
                .transactions
                .iter()
                .map(Arc::clone)
                .partition(|transaction| without.contains(&transaction.hash));
            if reorg.orphans == Orphans::BackToPool {
                waiting.extend(orphans);
            }
            waiting.extend(self.mine_exactly(block.header.timestamp, kept));
        }
        self.back_to_pool(waiting);
        Ok(())
    }

    /// Removes the newest `depth` blocks and their effects. Returns them, oldest first.
    fn roll_back(&mut self, depth: u64) -> Result<Vec<Arc<crate::block::Block>>, ChainError> {
        let most = (self.undos.len() as u64).min(self.height());
        if depth > most {
            return Err(ChainError::ReorgTooDeep { depth, most });
        }
        let mut removed = Vec::new();
        for _ in 0..depth {
            let (Some(block), Some(undo)) = (self.blocks.pop_back(), self.undos.pop_back()) else {
                break;
            };
            self.forget(&block);
            self.state.revert(undo);
            removed.push(block);
        }
        self.next_base_fee = None;
        self.reorgs += 1;
        removed.reverse();
        Ok(removed)
    }

    fn back_to_pool(&mut self, transactions: Vec<Arc<SignedTransaction>>) {
        for transaction in transactions {
            // Something else may have taken the place meanwhile; then the orphan is gone.
            let hash = transaction.hash;
            if let Err(error) = self.pool.insert(transaction) {
                tracing::debug!(%hash, %error, "orphan not taken back");
            }
        }
        self.pool.forget_used(&self.state);
    }
}
