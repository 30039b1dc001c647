//! What all endpoints of a chain share: its identity, the policy, and how trouble is told.

use std::sync::atomic::AtomicU64;
use std::time::Duration;

use faregate_chain::ChainError;
use faregate_protocol::Network;
use serde_json::Value;

use super::choice::HedgeBudget;
use super::http::{Broken, TOO_MANY_REQUESTS};
use super::{Answer, Call, Fault, wire};

/// What all endpoints of a chain share.
pub(super) struct Terms {
    pub(super) network: Network,
    pub(super) chain_id: u64,
    pub(super) next_id: AtomicU64,
    /// Time for one request to one endpoint.
    pub(super) call_timeout: Duration,
    /// After how long a second endpoint is asked the same; `None`: never.
    pub(super) hedge_after: Option<Duration>,
    pub(super) max_lag_blocks: u64,
    pub(super) hedges: HedgeBudget,
}

impl Terms {
    /// The result of a call that cannot revert.
    pub(super) fn value(&self, answer: Answer, method: &'static str) -> Result<Value, ChainError> {
        match answer {
            Ok(value) => Ok(value),
            Err(fault) => Err(self.failed(&fault, method)),
        }
    }

    /// The endpoint answered something that `method` does not return.
    pub(super) fn nonsense(&self, method: &'static str) -> ChainError {
        ChainError::Nonsense { network: self.network.to_string(), method }
    }

    pub(super) fn unreachable(&self) -> ChainError {
        ChainError::Unreachable { network: self.network.to_string() }
    }

    pub(super) fn refused(&self, status: u16) -> ChainError {
        ChainError::Refused { network: self.network.to_string(), status }
    }

    pub(super) fn failed(&self, fault: &Fault, method: &'static str) -> ChainError {
        match fault {
            Fault::Failed { code, message } if wire::is_rate_limit(*code, message) => {
                self.refused(TOO_MANY_REQUESTS)
            }
            _ => self.nonsense(method),
        }
    }

    pub(super) fn broken(&self, broken: Broken, call: &Call) -> ChainError {
        match broken {
            Broken::Unreachable => self.unreachable(),
            Broken::TimedOut => ChainError::TimedOut { network: self.network.to_string() },
            Broken::Refused(status) => self.refused(status),
            Broken::Limited(_) => self.refused(TOO_MANY_REQUESTS),
            Broken::TooLarge => self.nonsense(call.method),
        }
    }
}
