//! What only a dev chain can do: write state, move time, take and restore snapshots.

use std::sync::Arc;

use alloy_primitives::{Address, B256, Bytes, U256};

use super::Chain;
use crate::{
    error::ChainError,
    evm,
    limits::MAX_SNAPSHOTS,
    state::{State, Undo},
};

impl Chain {
    /// Sets an account's balance, in wei.
    pub(crate) fn set_balance(&mut self, address: Address, wei: U256) {
        self.change(|state, undo| state.edit(address, undo, |info| info.balance = wei));
    }

    /// Sets an account's next nonce.
    pub(crate) fn set_nonce(&mut self, address: Address, nonce: u64) {
        self.change(|state, undo| state.edit(address, undo, |info| info.nonce = nonce));
    }

    /// Sets an account's code.
    ///
    /// Errors: not code.
    pub(crate) fn set_code(&mut self, address: Address, code: Bytes) -> Result<(), ChainError> {
        let code = evm::bytecode(code)?;
        self.change(|state, undo| {
            state.edit(address, undo, |info| {
                info.code_hash = code.hash_slow();
                info.code = Some(code);
            });
        });
        Ok(())
    }

    /// Writes a storage slot.
    pub(crate) fn set_storage(&mut self, address: Address, slot: U256, value: U256) {
        self.change(|state, undo| state.set_slot(address, slot, value, undo));
    }

    // A change from outside belongs to the newest block: a reorganisation that removes the block
    // takes it back as well.
    fn change(&mut self, change: impl FnOnce(&mut State, &mut Undo)) {
        let mut genesis = Undo::default();
        let undo = self.undos.back_mut().unwrap_or(&mut genesis);
        change(&mut self.state, undo);
    }

    /// Moves the clock forward. Returns the whole shift against the wall clock, in seconds.
    pub(crate) fn increase_time(&mut self, seconds: u64) -> i64 {
        self.clock.advance(seconds)
    }

    /// Fixes the time of the next block, in unix seconds.
    ///
    /// Errors: before the newest block.
    pub(crate) fn set_next_timestamp(&mut self, timestamp: u64) -> Result<(), ChainError> {
        let newest = self.head().header.timestamp;
        if timestamp < newest {
            return Err(ChainError::TimestampTooLow { given: timestamp, newest });
        }
        self.clock.set_next_block(timestamp);
        Ok(())
    }

    /// Fixes the base fee of the next block, in wei per gas.
    pub(crate) fn set_next_base_fee(&mut self, base_fee: u64) {
        self.next_base_fee = Some(base_fee);
    }

    /// Drops a waiting transaction.
    ///
    /// Errors: it does not wait.
    pub(crate) fn drop_pending(&mut self, hash: B256) -> Result<(), ChainError> {
        self.pool.remove(&hash).map(drop).ok_or(ChainError::NotInPool(hash))
    }

    /// Remembers everything. Returns the snapshot's number.
    pub(crate) fn snapshot(&mut self) -> u64 {
        let id = self.next_snapshot;
        self.next_snapshot += 1;
        let mut copy = self.clone();
        copy.snapshots = Vec::new();
        self.snapshots.push((id, Arc::new(copy)));
        if self.snapshots.len() > MAX_SNAPSHOTS {
            self.snapshots.remove(0);
        }
        id
    }

    /// Goes back to a snapshot, which is consumed with all later ones; the mining mode stays.
    /// Returns false when there is no such snapshot.
    pub(crate) fn restore(&mut self, id: u64) -> bool {
        let Some(index) = self.snapshots.iter().position(|(taken, _)| *taken == id) else {
            return false;
        };
        let Some((_, saved)) = self.snapshots.drain(index..).next() else { return false };
        let snapshots = std::mem::take(&mut self.snapshots);
        let (next_snapshot, mining) = (self.next_snapshot, self.mining);
        // Blocks mined after going back must not get the hashes of those that were undone.
        let reorgs = self.reorgs + 1;
        *self = Self::clone(&saved);
        self.snapshots = snapshots;
        self.next_snapshot = next_snapshot;
        self.mining = mining;
        self.reorgs = reorgs;
        true
    }
}
