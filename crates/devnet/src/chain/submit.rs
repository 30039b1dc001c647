//! Accepting a signed transaction: the checks geth makes before its pool takes one.

use std::sync::Arc;

use alloy_consensus::Transaction as _;
use alloy_primitives::B256;
use revm::{
    context_interface::cfg::gas::calculate_initial_tx_gas_for_tx, primitives::KECCAK_EMPTY,
    primitives::eip3860,
};

use super::Chain;
use crate::{error::ChainError, evm::SPEC, transaction::SignedTransaction};

impl Chain {
    /// Takes a raw transaction into the pool and mines it if mining is automatic. Returns its hash.
    ///
    /// Errors: why geth would refuse it.
    pub(crate) fn submit(&mut self, raw: &[u8]) -> Result<B256, ChainError> {
        let transaction = SignedTransaction::decode(raw)?;
        self.check(&transaction)?;
        let hash = transaction.hash;
        self.pool.insert(Arc::new(transaction))?;
        self.mine_if_automatic();
        Ok(hash)
    }

    fn check(&self, transaction: &SignedTransaction) -> Result<(), ChainError> {
        let tx = &transaction.envelope;
        match tx.chain_id() {
            None => return Err(ChainError::NotReplayProtected),
            Some(given) if given != self.chain_id => {
                return Err(ChainError::ChainId { given, want: self.chain_id });
            }
            Some(_) => {}
        }
        if self.pool.get(&transaction.hash).is_some() || self.places.contains_key(&transaction.hash)
        {
            return Err(ChainError::AlreadyKnown);
        }
        if tx.gas_limit() > self.gas_limit {
            return Err(ChainError::BlockGasLimit);
        }
        if tx.max_priority_fee_per_gas().is_some_and(|tip| tip > tx.max_fee_per_gas()) {
            return Err(ChainError::TipAboveFeeCap);
        }
        if tx.is_create() && tx.input().len() > eip3860::MAX_INITCODE_SIZE {
            return Err(ChainError::InvalidTransaction("max initcode size exceeded".to_owned()));
        }
        check_gas(transaction)?;
        self.check_sender(transaction)
    }

    fn check_sender(&self, transaction: &SignedTransaction) -> Result<(), ChainError> {
        let sender = transaction.sender;
        let info = self.state.account(sender).cloned().unwrap_or_default();
        let delegated = info.code.as_ref().is_some_and(|code| code.is_eip7702());
        if info.code_hash != KECCAK_EMPTY && !info.code_hash.is_zero() && !delegated {
            return Err(ChainError::SenderHasCode(sender));
        }
        let given = transaction.envelope.nonce();
        if given < info.nonce {
            return Err(ChainError::NonceTooLow { next: info.nonce, given });
        }
        let want = transaction.cost();
        if info.balance < want {
            return Err(ChainError::InsufficientFunds {
                address: sender,
                have: info.balance,
                want,
            });
        }
        Ok(())
    }
}

fn check_gas(transaction: &SignedTransaction) -> Result<(), ChainError> {
    let gas = transaction.envelope.gas_limit();
    let minimum = calculate_initial_tx_gas_for_tx(transaction.env(), SPEC, None);
    let needed = minimum.initial_total_gas();
    if gas < needed {
        return Err(ChainError::IntrinsicGas { gas, needed });
    }
    let needed = minimum.floor_gas();
    if gas < needed {
        return Err(ChainError::FloorDataGas { gas, needed });
    }
    Ok(())
}
