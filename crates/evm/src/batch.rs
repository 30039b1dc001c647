//! Several payments in one transaction: Multicall3 `aggregate3`, each member allowed to fail by
//! itself.
//!
//! A member is paid by a key and not by a contract, which could burn the others' gas. The gas limit
//! is the sum of what each member may use, not an estimate of the whole.

use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};

use alloy_primitives::{Address, Bytes};
use alloy_sol_types::SolCall;
use faregate_chain::{BatchRoom, ChainError};

use crate::contracts::{MULTICALL3, Multicall3};
use crate::limits::{
    BATCH_BASE_GAS, BATCH_MEMBER_GAS, BATCH_MEMBERS, BATCH_SHARE_OF_BLOCK, MAX_TRANSACTION_GAS,
    NO_OP_GAS,
};
use crate::rpc::{Block, Call, Rpc, call, decode};

/// Whether payments share transactions.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum BatchMode {
    /// Each payment has a transaction of its own.
    Off,
    /// They share transactions where the chain has Multicall3.
    #[default]
    Auto,
    /// They share transactions; a chain without Multicall3 is an error at the start.
    On,
}

const UNCHECKED: u8 = 0;
const MISSING: u8 = 1;
const READY: u8 = 2;

/// What is known of a chain's way to batch.
#[derive(Debug)]
pub(crate) struct Batching {
    mode: BatchMode,
    contract: AtomicU8,
    block_gas: AtomicU64,
}

impl Batching {
    pub(crate) const fn new(mode: BatchMode) -> Self {
        Self { mode, contract: AtomicU8::new(UNCHECKED), block_gas: AtomicU64::new(0) }
    }

    /// What a transaction has room for; `None` as long as Multicall3 was not seen.
    pub(crate) fn room(&self) -> Option<BatchRoom> {
        if self.mode == BatchMode::Off || self.contract.load(Ordering::Acquire) != READY {
            return None;
        }
        let block_gas = self.block_gas.load(Ordering::Acquire);
        let gas = (block_gas / BATCH_SHARE_OF_BLOCK).min(MAX_TRANSACTION_GAS);
        let gas = gas.checked_sub(BATCH_BASE_GAS)?;
        Some(BatchRoom { members: BATCH_MEMBERS, gas })
    }

    /// Looks for Multicall3 and at the size of a block.
    ///
    /// # Errors
    /// [`ChainError::Unsupported`] when batches are wanted and there is no Multicall3.
    pub(crate) async fn check(&self, rpc: &Rpc) -> Result<(), ChainError> {
        if self.mode == BatchMode::Off {
            return Ok(());
        }
        let [code, block] =
            rpc.batch_of([Call::code(MULTICALL3), Call::block(Block::Latest)]).await?;
        let code = decode::bytes(&rpc.value(code, call::GET_CODE)?);
        let code = code.ok_or_else(|| rpc.nonsense(call::GET_CODE))?;
        let block = rpc.value(block, call::GET_BLOCK)?;
        let block_gas = block.get("gasLimit").and_then(decode::u64);
        let block_gas = block_gas.ok_or_else(|| rpc.nonsense(call::GET_BLOCK))?;
        self.block_gas.store(block_gas, Ordering::Release);
        let found = if code.is_empty() { MISSING } else { READY };
        self.contract.store(found, Ordering::Release);
        if found == MISSING && self.mode == BatchMode::On {
            return Err(ChainError::Unsupported {
                detail: "batches on a chain without Multicall3 at its usual address",
            });
        }
        Ok(())
    }

    /// As far as it was not done at the start.
    pub(crate) async fn check_once(&self, rpc: &Rpc) -> Result<(), ChainError> {
        if self.contract.load(Ordering::Acquire) == UNCHECKED {
            return self.check(rpc).await;
        }
        Ok(())
    }
}

/// What a member adds to the gas limit, when alone it may use `alone`.
pub(crate) const fn share(alone: u64) -> u64 {
    alone.saturating_sub(NO_OP_GAS).saturating_add(BATCH_MEMBER_GAS)
}

/// Gas limit of a batch whose members add so much.
pub(crate) fn gas_limit(shares: u64) -> u64 {
    BATCH_BASE_GAS.saturating_add(shares)
}

/// The call of Multicall3 that makes all of these calls.
pub(crate) fn calldata(calls: impl IntoIterator<Item = (Address, Bytes)>) -> Bytes {
    let calls = calls.into_iter().map(|(target, call_data)| Multicall3::Call3 {
        target,
        allowFailure: true,
        callData: call_data,
    });
    Multicall3::aggregate3Call { calls: calls.collect() }.abi_encode().into()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ready(mode: BatchMode, block_gas: u64) -> Option<BatchRoom> {
        let batching = Batching::new(mode);
        batching.contract.store(READY, Ordering::Release);
        batching.block_gas.store(block_gas, Ordering::Release);
        batching.room()
    }

    #[test]
    fn a_batch_takes_a_tenth_of_a_block_and_never_more_than_a_transaction_may() {
        let gas = |block_gas| ready(BatchMode::Auto, block_gas).map(|room| room.gas);
        assert_eq!(gas(30_000_000), Some(3_000_000 - BATCH_BASE_GAS));
        assert_eq!(gas(1_000_000_000), Some(MAX_TRANSACTION_GAS - BATCH_BASE_GAS));
        assert_eq!(gas(10), None);
        assert_eq!(gas(0), None);
        assert_eq!(ready(BatchMode::Off, 30_000_000), None);
        assert_eq!(ready(BatchMode::On, 30_000_000).unwrap().members, BATCH_MEMBERS);
        assert_eq!(Batching::new(BatchMode::On).room(), None, "not seen yet");
    }
}
