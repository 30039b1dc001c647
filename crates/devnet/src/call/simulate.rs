//! `eth_simulateV1`: several calls in several pretended blocks, each seeing what came before.

use alloy_consensus::Header;
use alloy_primitives::B256;
use revm::{Database as _, DatabaseCommit as _, context::BlockEnv, database::CacheDB};

use super::{CallRequest, Scratch, overrides::BlockOverrides, overrides::StateOverrides};
use crate::{
    chain::{Chain, lookup::BlockId},
    error::ChainError,
    evm::{self, Checks, Outcome},
    limits::CALL_GAS_CAP,
};

/// One pretended block.
#[derive(Clone, Debug, Default)]
pub(crate) struct SimulatedBlock {
    pub(crate) block: BlockOverrides,
    pub(crate) state: StateOverrides,
    pub(crate) calls: Vec<CallRequest>,
}

/// What happened in it.
#[derive(Debug)]
pub(crate) struct SimulatedOutcome {
    pub(crate) header: Header,
    pub(crate) hash: B256,
    pub(crate) calls: Vec<Outcome>,
}

impl Chain {
    /// Runs the blocks one after the other on top of `at`.
    ///
    /// Errors: unknown block, a call that is not even valid.
    pub(crate) fn simulate(
        &self,
        at: BlockId,
        blocks: &[SimulatedBlock],
        strict: bool,
    ) -> Result<Vec<SimulatedOutcome>, ChainError> {
        let mut scratch = CacheDB::new(self.view(at)?);
        let parent = self.block(at).ok_or(ChainError::UnknownBlock)?;
        let mut outline = self.upcoming();
        outline.number = parent.header.number;
        outline.timestamp = outline.timestamp.max(parent.header.timestamp);
        outline.parent_hash = parent.hash;
        let mut outcomes = Vec::with_capacity(blocks.len());
        for pretended in blocks {
            outline.number = outline.number.saturating_add(1);
            if !outcomes.is_empty() {
                outline.timestamp = outline.timestamp.saturating_add(1);
            }
            // Calls pay nothing unless the caller asks for a real check of fees.
            outline.base_fee = if strict { self.upcoming_base_fee() } else { 0 };
            pretended.block.apply(&mut outline);
            pretended.state.apply(&mut scratch)?;
            let env = pretended.block.finish(outline.env());
            let calls = self.simulate_calls(&mut scratch, &env, &pretended.calls, strict)?;
            let mut block = outline.clone().seal(Vec::new(), Vec::new());
            block.header.gas_used =
                calls.iter().fold(0, |sum: u64, call| sum.saturating_add(call.gas_used));
            let hash = block.header.hash_slow();
            outline.parent_hash = hash;
            outcomes.push(SimulatedOutcome { header: block.header, hash, calls });
        }
        Ok(outcomes)
    }

    fn simulate_calls(
        &self,
        scratch: &mut Scratch<'_>,
        block: &BlockEnv,
        calls: &[CallRequest],
        strict: bool,
    ) -> Result<Vec<Outcome>, ChainError> {
        let checks = if strict { Checks::Block } else { Checks::Call };
        let mut outcomes = Vec::with_capacity(calls.len());
        for call in calls {
            let Ok(sender) = scratch.basic(call.from);
            let nonce = sender.map_or(0, |info| info.nonce);
            let gas = call.gas.unwrap_or(CALL_GAS_CAP).min(CALL_GAS_CAP);
            let tx = call.env(self.chain_id, gas, nonce);
            let ran = evm::run(&mut *scratch, self.chain_id, block.clone(), checks, tx)?;
            scratch.commit(ran.state);
            outcomes.push(Outcome::from(ran.result));
        }
        Ok(outcomes)
    }
}
