//! Calls that change nothing: `eth_call`, `eth_estimateGas`, `eth_simulateV1`.

pub(crate) mod estimate;
pub(crate) mod overrides;
pub(crate) mod simulate;

use alloy_eips::eip2930::AccessList;
use alloy_primitives::{Address, Bytes, TxKind, U256};
use revm::{
    context::{BlockEnv, TxEnv},
    context_interface::{either::Either, transaction::SignedAuthorization},
    database::CacheDB,
};

use crate::{
    block::Outline,
    chain::{Chain, lookup::BlockId},
    error::ChainError,
    evm::{self, Checks, Outcome},
    limits::CALL_GAS_CAP,
    state::View,
};
use overrides::{BlockOverrides, StateOverrides};

/// A state that calls may scribble on.
pub(crate) type Scratch<'a> = CacheDB<View<'a>>;

/// The transaction-like argument of a call.
#[derive(Clone, Debug, Default)]
pub(crate) struct CallRequest {
    pub(crate) from: Address,
    pub(crate) to: Option<Address>,
    pub(crate) gas: Option<u64>,
    /// Legacy price or fee cap, in wei per gas; none costs nothing.
    pub(crate) max_fee: Option<u128>,
    pub(crate) tip: Option<u128>,
    pub(crate) value: U256,
    pub(crate) data: Bytes,
    pub(crate) nonce: Option<u64>,
    pub(crate) access_list: AccessList,
    pub(crate) authorizations: Vec<SignedAuthorization>,
}

/// Which state and block a call sees.
#[derive(Clone, Debug)]
pub(crate) struct CallContext {
    pub(crate) at: BlockId,
    pub(crate) state: StateOverrides,
    pub(crate) block: BlockOverrides,
}

impl CallRequest {
    /// The call as revm executes it, with this much gas.
    pub(crate) fn env(&self, chain_id: u64, gas: u64, nonce: u64) -> TxEnv {
        let tx_type = if !self.authorizations.is_empty() {
            4
        } else if self.tip.is_some() {
            2
        } else {
            u8::from(!self.access_list.is_empty())
        };
        TxEnv {
            tx_type,
            caller: self.from,
            gas_limit: gas,
            gas_price: self.max_fee.unwrap_or_default(),
            kind: self.to.map_or(TxKind::Create, TxKind::Call),
            value: self.value,
            data: self.data.clone(),
            nonce: self.nonce.unwrap_or(nonce),
            chain_id: Some(chain_id),
            access_list: self.access_list.clone(),
            gas_priority_fee: self.tip,
            blob_hashes: Vec::new(),
            max_fee_per_blob_gas: 0,
            authorization_list: self.authorizations.iter().cloned().map(Either::Left).collect(),
        }
    }
}

impl Chain {
    /// Runs a call. Returns what the contract returned.
    ///
    /// Errors: unknown block, invalid call, revert, halt.
    pub(crate) fn call(
        &self,
        request: &CallRequest,
        context: &CallContext,
    ) -> Result<Bytes, ChainError> {
        let (scratch, block) = self.prepare(context)?;
        let gas = request.gas.unwrap_or(CALL_GAS_CAP).min(CALL_GAS_CAP);
        self.attempt(scratch, block, request, gas)?.output
    }

    /// The state and block a call sees, overrides applied.
    pub(crate) fn prepare(
        &self,
        context: &CallContext,
    ) -> Result<(Scratch<'_>, BlockEnv), ChainError> {
        let mut scratch = CacheDB::new(self.view(context.at)?);
        context.state.apply(&mut scratch)?;
        let mut outline = self.seen_block(context.at)?;
        context.block.apply(&mut outline);
        Ok((scratch, context.block.finish(outline.env())))
    }

    /// The block a call at `id` believes to be in.
    ///
    /// At the newest block that is its number with the time of now: an idle chain makes no blocks,
    /// and what a call says about deadlines must be what the next block will say.
    fn seen_block(&self, id: BlockId) -> Result<Outline, ChainError> {
        let block = self.block(id).ok_or(ChainError::UnknownBlock)?;
        let mut outline = self.upcoming();
        if id == BlockId::Pending {
            return Ok(outline);
        }
        outline.number = block.header.number;
        outline.parent_hash = block.header.parent_hash;
        outline.base_fee = block.base_fee();
        if block.hash != self.head().hash {
            outline.timestamp = block.header.timestamp;
        }
        Ok(outline)
    }

    /// Runs a call once with this much gas on a copy of the scratch state.
    pub(crate) fn attempt(
        &self,
        scratch: Scratch<'_>,
        block: BlockEnv,
        request: &CallRequest,
        gas: u64,
    ) -> Result<Outcome, ChainError> {
        let nonce = scratch.db.account(request.from).map_or(0, |info| info.nonce);
        let tx = request.env(self.chain_id, gas, nonce);
        let ran = evm::run(scratch, self.chain_id, block, Checks::Call, tx)?;
        Ok(Outcome::from(ran.result))
    }
}
