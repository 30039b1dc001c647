//! How much gas a transaction needs: the smallest limit with which it succeeds.

use alloy_primitives::U256;
use revm::Database as _;

use super::{CallContext, CallRequest};
use crate::{chain::Chain, error::ChainError, limits::CALL_GAS_CAP};

// The 1/64 that a caller keeps back from a callee, and the stipend that a transfer with value
// hands out, both hide gas that an execution needed but did not use.
const STIPEND: u64 = 2_300;

impl Chain {
    /// The smallest gas limit with which the call succeeds.
    ///
    /// Errors: it fails with any limit (the failure's own error), or with what the sender can pay.
    pub(crate) fn estimate(
        &self,
        request: &CallRequest,
        context: &CallContext,
    ) -> Result<u64, ChainError> {
        let (mut scratch, block) = self.prepare(context)?;
        let Ok(sender) = scratch.basic(request.from);
        let balance = sender.map_or(U256::ZERO, |info| info.balance);
        let allowance = allowance(request, balance)?;
        let attempt = |gas| self.attempt(scratch.clone(), block.clone(), request, gas);

        let first = attempt(allowance).map_err(|error| too_little(error, allowance))?;
        first.output.map_err(|error| too_little(error, allowance))?;

        // With less than it used, net of refunds, it cannot succeed.
        let mut too_low = first.gas_used.saturating_sub(1);
        let mut enough = allowance;
        let guess = first.gas_peak.saturating_add(STIPEND).saturating_mul(64) / 63;
        let mut middle = guess;
        while too_low + 1 < enough {
            if middle <= too_low || middle >= enough {
                middle = too_low + (enough - too_low) / 2;
            }
            let succeeds = attempt(middle).is_ok_and(|outcome| outcome.output.is_ok());
            if succeeds {
                enough = middle;
            } else {
                too_low = middle;
            }
            middle = too_low + (enough - too_low) / 2;
        }
        Ok(enough)
    }
}

/// The most gas the sender can pay for.
fn allowance(request: &CallRequest, balance: U256) -> Result<u64, ChainError> {
    let wanted = request.gas.unwrap_or(CALL_GAS_CAP).min(CALL_GAS_CAP);
    let Some(price) = request.max_fee.filter(|price| *price > 0) else { return Ok(wanted) };
    let Some(left) = balance.checked_sub(request.value) else {
        let (address, want) = (request.from, request.value);
        return Err(ChainError::InsufficientFunds { address, have: balance, want });
    };
    let affordable = left / U256::from(price);
    Ok(u64::try_from(affordable).unwrap_or(u64::MAX).min(wanted))
}

fn too_little(error: ChainError, allowance: u64) -> ChainError {
    match error {
        ChainError::IntrinsicGas { .. } | ChainError::FloorDataGas { .. } => {
            ChainError::GasAllowance(allowance)
        }
        ChainError::Halted(text) if text == "out of gas" => ChainError::GasAllowance(allowance),
        other => other,
    }
}
