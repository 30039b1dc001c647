//! Transactions that wait for a block, ordered by sender and nonce. Gaps are allowed: what stands
//! behind a gap waits until the gap is filled.

use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
};

use alloy_consensus::Transaction as _;
use alloy_primitives::{Address, B256};

use crate::{
    error::ChainError,
    limits::{MAX_POOL_TRANSACTIONS, REPLACEMENT_BUMP_PERCENT},
    state::State,
    transaction::SignedTransaction,
};

#[derive(Clone, Debug)]
struct Waiting {
    transaction: Arc<SignedTransaction>,
    arrival: u64,
}

/// Waiting transactions.
#[derive(Clone, Debug, Default)]
pub(crate) struct Pool {
    by_sender: BTreeMap<Address, BTreeMap<u64, Waiting>>,
    by_hash: HashMap<B256, (Address, u64)>,
    arrivals: u64,
}

impl Pool {
    /// Adds a transaction, replacing one with the same sender and nonce when it pays enough more.
    ///
    /// Errors: already here, replacement underpriced, pool full.
    pub(crate) fn insert(&mut self, transaction: Arc<SignedTransaction>) -> Result<(), ChainError> {
        if self.by_hash.contains_key(&transaction.hash) {
            return Err(ChainError::AlreadyKnown);
        }
        let (sender, nonce) = (transaction.sender, transaction.envelope.nonce());
        let replaced = self.waiting(sender, nonce);
        match replaced {
            Some(old) if !outbids(&transaction, old) => {
                return Err(ChainError::ReplacementUnderpriced);
            }
            None if self.by_hash.len() >= MAX_POOL_TRANSACTIONS => {
                return Err(ChainError::PoolFull);
            }
            _ => {}
        }
        if let Some(old) = replaced.map(|old| old.hash) {
            self.by_hash.remove(&old);
        }
        self.by_hash.insert(transaction.hash, (sender, nonce));
        self.arrivals += 1;
        let waiting = Waiting { transaction, arrival: self.arrivals };
        self.by_sender.entry(sender).or_default().insert(nonce, waiting);
        Ok(())
    }

    fn waiting(&self, sender: Address, nonce: u64) -> Option<&Arc<SignedTransaction>> {
        let waiting = self.by_sender.get(&sender)?.get(&nonce)?;
        Some(&waiting.transaction)
    }

    /// A waiting transaction.
    pub(crate) fn get(&self, hash: &B256) -> Option<&Arc<SignedTransaction>> {
        let (sender, nonce) = self.by_hash.get(hash)?;
        self.waiting(*sender, *nonce)
    }

    /// Takes a transaction out.
    pub(crate) fn remove(&mut self, hash: &B256) -> Option<Arc<SignedTransaction>> {
        let (sender, nonce) = self.by_hash.remove(hash)?;
        let queue = self.by_sender.get_mut(&sender)?;
        let removed = queue.remove(&nonce);
        if queue.is_empty() {
            self.by_sender.remove(&sender);
        }
        removed.map(|waiting| waiting.transaction)
    }

    /// Drops what can never be mined because its nonce is used.
    pub(crate) fn forget_used(&mut self, state: &State) {
        let used: Vec<B256> = self
            .all()
            .filter(|tx| tx.envelope.nonce() < state.nonce(tx.sender))
            .map(|tx| tx.hash)
            .collect();
        used.iter().for_each(|hash| drop(self.remove(hash)));
    }

    /// The best transaction that could be mined now: next in its sender's line, fee covered,
    /// fitting into `gas_left`, highest tip first, then first come.
    pub(crate) fn best(
        &self,
        state: &State,
        base_fee: u64,
        gas_left: u64,
    ) -> Option<Arc<SignedTransaction>> {
        self.by_sender
            .iter()
            .filter_map(|(sender, queue)| queue.get(&state.nonce(*sender)))
            .filter(|waiting| waiting.transaction.envelope.gas_limit() <= gas_left)
            .filter_map(|waiting| Some((waiting.transaction.tip(base_fee)?, waiting)))
            .max_by(|(tip, one), (other_tip, other)| {
                tip.cmp(other_tip).then(other.arrival.cmp(&one.arrival))
            })
            .map(|(_, waiting)| Arc::clone(&waiting.transaction))
    }

    /// The nonce after the last one in line without a gap, starting at `next`.
    pub(crate) fn pending_nonce(&self, sender: Address, next: u64) -> u64 {
        let Some(queue) = self.by_sender.get(&sender) else { return next };
        let mut nonce = next;
        while queue.contains_key(&nonce) {
            nonce += 1;
        }
        nonce
    }

    /// All waiting transactions, by sender and nonce.
    pub(crate) fn all(&self) -> impl Iterator<Item = &Arc<SignedTransaction>> {
        self.by_sender.values().flat_map(BTreeMap::values).map(|waiting| &waiting.transaction)
    }

    /// Waiting transactions in two groups: without and behind a gap.
    pub(crate) fn split(
        &self,
        state: &State,
    ) -> (Vec<&SignedTransaction>, Vec<&SignedTransaction>) {
        self.all().map(Arc::as_ref).partition(|tx| {
            tx.envelope.nonce() < self.pending_nonce(tx.sender, state.nonce(tx.sender))
        })
    }
}

fn outbids(new: &SignedTransaction, old: &SignedTransaction) -> bool {
    let enough = |new: u128, old: u128| {
        let wanted = old.saturating_mul(100 + REPLACEMENT_BUMP_PERCENT) / 100;
        new > old && new >= wanted
    };
    enough(new.envelope.max_fee_per_gas(), old.envelope.max_fee_per_gas())
        && enough(new.tip_cap(), old.tip_cap())
}
