//! What a call may pretend about accounts and the block.

use alloy_primitives::{Address, B256, Bytes, U256};
use revm::{Database as _, DatabaseRef, context::BlockEnv, database::CacheDB};
use std::convert::Infallible;

use crate::{block::Outline, error::ChainError, evm};

/// Pretended accounts.
#[derive(Clone, Debug, Default)]
pub(crate) struct StateOverrides(pub(crate) Vec<(Address, AccountOverride)>);

/// What is pretended about one account.
#[derive(Clone, Debug, Default)]
pub(crate) struct AccountOverride {
    pub(crate) balance: Option<U256>,
    pub(crate) nonce: Option<u64>,
    pub(crate) code: Option<Bytes>,
    pub(crate) storage: Option<StorageOverride>,
}

/// Pretended storage.
#[derive(Clone, Debug)]
pub(crate) enum StorageOverride {
    /// Exactly these slots, all others zero.
    Whole(Vec<(U256, U256)>),
    /// These slots on top of the real ones.
    Diff(Vec<(U256, U256)>),
}

impl StateOverrides {
    /// Writes the pretended accounts into a scratch state.
    ///
    /// Errors: not code.
    pub(crate) fn apply<D>(&self, scratch: &mut CacheDB<D>) -> Result<(), ChainError>
    where
        D: DatabaseRef<Error = Infallible>,
    {
        for (address, pretended) in &self.0 {
            let Ok(info) = scratch.basic(*address);
            let mut info = info.unwrap_or_default();
            info.balance = pretended.balance.unwrap_or(info.balance);
            info.nonce = pretended.nonce.unwrap_or(info.nonce);
            if let Some(code) = &pretended.code {
                let code = evm::bytecode(code.clone())?;
                info.code_hash = code.hash_slow();
                info.code = Some(code);
            }
            scratch.insert_account_info(*address, info);
            match &pretended.storage {
                Some(StorageOverride::Whole(slots)) => {
                    let slots = slots.iter().copied().collect();
                    let Ok(()) = scratch.replace_account_storage(*address, slots);
                }
                Some(StorageOverride::Diff(slots)) => {
                    for (slot, value) in slots {
                        let Ok(()) = scratch.insert_account_storage(*address, *slot, *value);
                    }
                }
                None => {}
            }
        }
        Ok(())
    }
}

/// Pretended block fields.
#[derive(Clone, Debug, Default)]
pub(crate) struct BlockOverrides {
    pub(crate) number: Option<u64>,
    pub(crate) time: Option<u64>,
    pub(crate) gas_limit: Option<u64>,
    pub(crate) base_fee: Option<u64>,
    pub(crate) coinbase: Option<Address>,
    pub(crate) randomness: Option<B256>,
}

impl BlockOverrides {
    /// Writes the pretended fields into a block outline.
    pub(crate) fn apply(&self, outline: &mut Outline) {
        outline.number = self.number.unwrap_or(outline.number);
        outline.timestamp = self.time.unwrap_or(outline.timestamp);
        outline.gas_limit = self.gas_limit.unwrap_or(outline.gas_limit);
        outline.base_fee = self.base_fee.unwrap_or(outline.base_fee);
        outline.coinbase = self.coinbase.unwrap_or(outline.coinbase);
    }

    /// Same for what an outline does not hold.
    pub(crate) fn finish(&self, block: BlockEnv) -> BlockEnv {
        BlockEnv { prevrandao: self.randomness.or(block.prevrandao), ..block }
    }
}
