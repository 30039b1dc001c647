//! A signed transaction with its sender: decoding from the wire and the view revm has of it.

use alloy_consensus::{Transaction as _, TxEnvelope, transaction::SignerRecoverable as _};
use alloy_eips::{Decodable2718 as _, Encodable2718 as _, Typed2718 as _};
use alloy_primitives::{Address, B256, U256};
use revm::{context::TxEnv, context_interface::either::Either};

use crate::{error::ChainError, limits::MAX_TRANSACTION_BYTES};

/// A transaction whose signature was checked.
#[derive(Clone, Debug)]
pub(crate) struct SignedTransaction {
    pub(crate) envelope: TxEnvelope,
    pub(crate) sender: Address,
    pub(crate) hash: B256,
}

impl SignedTransaction {
    /// Decodes EIP-2718 bytes and recovers the sender.
    ///
    /// Errors: too long, not a transaction, a blob transaction, or a bad signature.
    pub(crate) fn decode(raw: &[u8]) -> Result<Self, ChainError> {
        if raw.len() > MAX_TRANSACTION_BYTES {
            return Err(ChainError::Oversized);
        }
        let envelope = TxEnvelope::decode_2718_exact(raw)
            .map_err(|error| ChainError::Undecodable(error.to_string()))?;
        if envelope.is_eip4844() {
            return Err(ChainError::TypeNotSupported);
        }
        let sender = envelope.recover_signer().map_err(|_| ChainError::InvalidSender)?;
        let hash = *envelope.tx_hash();
        Ok(Self { envelope, sender, hash })
    }

    /// Most the transaction can cost its sender, in wei.
    pub(crate) fn cost(&self) -> U256 {
        let gas = U256::from(self.envelope.gas_limit());
        gas.saturating_mul(U256::from(self.envelope.max_fee_per_gas()))
            .saturating_add(self.envelope.value())
    }

    /// What the sender offers the miner at `base_fee` (wei per gas); none when the fee is not
    /// covered.
    pub(crate) fn tip(&self, base_fee: u64) -> Option<u128> {
        self.envelope.effective_tip_per_gas(base_fee)
    }

    /// Highest tip the sender would pay: for legacy transactions the gas price.
    pub(crate) fn tip_cap(&self) -> u128 {
        self.envelope.max_priority_fee_per_gas().unwrap_or_else(|| self.envelope.max_fee_per_gas())
    }

    /// Length of the EIP-2718 encoding, in bytes.
    pub(crate) fn size(&self) -> usize {
        self.envelope.encode_2718_len()
    }

    /// The transaction as revm executes it.
    pub(crate) fn env(&self) -> TxEnv {
        let tx = &self.envelope;
        let authorizations = tx.authorization_list().unwrap_or_default();
        TxEnv {
            tx_type: tx.ty(),
            caller: self.sender,
            gas_limit: tx.gas_limit(),
            gas_price: tx.max_fee_per_gas(),
            kind: tx.kind(),
            value: tx.value(),
            data: tx.input().clone(),
            nonce: tx.nonce(),
            chain_id: tx.chain_id(),
            access_list: tx.access_list().cloned().unwrap_or_default(),
            gas_priority_fee: tx.max_priority_fee_per_gas(),
            blob_hashes: Vec::new(),
            max_fee_per_blob_gas: 0,
            authorization_list: authorizations.iter().cloned().map(Either::Left).collect(),
        }
    }
}
