//! JSON-RPC over HTTP to the endpoints of one chain.
//!
//! ```text
//!  rpc.rs -> choice.rs     which endpoint, when a second one, when once more
//!         -> send.rs       signed bytes go to all
//!         -> survey.rs     who is behind, who is back
//!         -> endpoint.rs   one endpoint: collector.rs gathers questions into batches,
//!                          health.rs (breaker.rs, bucket.rs) remembers how it does
//!         -> wire.rs, http.rs
//! ```
//!
//! What an endpoint says is data: sizes and times are bounded, nothing of its text travels, and
//! its URL, which may hold a key, is never shown. A call that reverted was answered; everything
//! else that is no answer is a [`ChainError`], which proves nothing.

mod breaker;
mod bucket;
pub(crate) mod call;
mod choice;
mod collector;
mod connection;
pub(crate) mod decode;
mod endpoint;
mod health;
mod http;
mod send;
mod survey;
mod target;
mod terms;
mod wire;

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use alloy_primitives::Bytes;
use faregate_chain::ChainError;
use faregate_protocol::Network;
use faregate_telemetry::Metrics;
use serde_json::Value;
use tokio::time::Instant;
use url::Url;

pub(crate) use self::call::{Block, Call};
use self::choice::HedgeBudget;
use self::endpoint::Endpoint;
use self::health::Health;
use self::http::{Client, Connector};
use self::terms::Terms;
use crate::config::EndpointPolicy;

/// One member of an answer.
pub(crate) type Answer = Result<Value, Fault>;

/// The contract call was carried out and reverted: that is an answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Revert {
    /// What the contract returned; empty when the endpoint does not say.
    pub(crate) data: Bytes,
    /// The endpoint's words, cut. For classification only: they never leave the crate.
    pub(crate) message: String,
}

/// Why a member of an answer holds no result.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    /// The call reverted.
    Revert(Revert),
    /// The endpoint did not carry it out.
    Failed {
        /// JSON-RPC error code.
        code: i64,
        /// The endpoint's words, cut. For classification only: they never leave the crate.
        message: String,
    },
    /// The endpoint left it out of its answer.
    Missing,
}

/// The endpoints of one chain.
#[derive(Clone)]
pub(crate) struct Rpc {
    shared: Arc<Terms>,
    endpoints: Arc<[Arc<Endpoint>]>,
}

impl fmt::Debug for Rpc {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Rpc")
            .field("network", &self.shared.network)
            .field("endpoints", &self.endpoints.len())
            .finish_non_exhaustive()
    }
}

impl Rpc {
    /// Endpoints of `network`, not asked anything yet.
    ///
    /// # Errors
    /// [`ChainError::Unsupported`] when the HTTP client cannot be made.
    pub(crate) fn new(
        network: &Network,
        chain_id: u64,
        urls: &[Url],
        policy: &EndpointPolicy,
        metrics: &Metrics,
    ) -> Result<Self, ChainError> {
        let refused = |detail| ChainError::Unsupported { detail };
        let connector =
            Connector::for_all(urls).ok_or(refused("the HTTP client could not be made"))?;
        let now = Instant::now();
        let endpoint = |(index, url): (usize, &Url)| {
            let client = Client::new(url, &connector, policy.call_timeout)?;
            let label = endpoint::label(index, url);
            let metrics = metrics.rpc_endpoint(network.as_str(), &label);
            let health = Health::new(policy.calls_per_second, now);
            Some(Arc::new(Endpoint::new(label, client, health, metrics)))
        };
        let endpoints: Option<_> = urls.iter().enumerate().map(endpoint).collect();
        let shared = Terms {
            network: network.clone(),
            chain_id,
            next_id: AtomicU64::new(1),
            call_timeout: policy.call_timeout,
            hedge_after: policy.hedge_after,
            max_lag_blocks: policy.max_lag_blocks,
            hedges: HedgeBudget::default(),
        };
        Ok(Self {
            shared: Arc::new(shared),
            endpoints: endpoints.ok_or(refused("the URL of an endpoint cannot be asked"))?,
        })
    }

    /// Each endpoint alone, in the configured order.
    pub(crate) fn each(&self) -> impl Iterator<Item = Self> + '_ {
        self.endpoints.iter().map(|endpoint| self.alone(endpoint))
    }

    /// The endpoints that may be asked for state, each alone, the best first.
    pub(crate) fn each_by_health(&self) -> impl Iterator<Item = Self> + '_ {
        self.in_order().into_iter().map(|endpoint| self.alone(&endpoint))
    }

    fn alone(&self, endpoint: &Arc<Endpoint>) -> Self {
        Self { endpoints: [Arc::clone(endpoint)].into(), shared: Arc::clone(&self.shared) }
    }

    /// Asks several things in one HTTP request to one endpoint; answers come in the order of
    /// `calls`. Another endpoint is asked when one fails as a whole, fails in a member, or takes
    /// unusually long.
    ///
    /// # Errors
    /// [`ChainError`] when no endpoint gave an answer.
    pub(crate) async fn batch(&self, calls: &[Call]) -> Result<Vec<Answer>, ChainError> {
        self.read(calls).await
    }

    /// As [`Rpc::batch`], for answers of a fixed number.
    ///
    /// # Errors
    /// [`ChainError`].
    pub(crate) async fn batch_of<const N: usize>(
        &self,
        calls: [Call; N],
    ) -> Result<[Answer; N], ChainError> {
        let method = calls.first().map_or("batch", |call| call.method);
        self.batch(&calls).await?.try_into().map_err(|_| self.nonsense(method))
    }

    /// The result of a call that cannot revert.
    ///
    /// # Errors
    /// [`ChainError`] for anything else.
    pub(crate) fn value(&self, answer: Answer, method: &'static str) -> Result<Value, ChainError> {
        self.shared.value(answer, method)
    }

    /// The result of a contract call: what it returned, or that it reverted.
    ///
    /// # Errors
    /// [`ChainError`] when the call was not carried out.
    pub(crate) fn returned(&self, answer: Answer) -> Result<Result<Bytes, Revert>, ChainError> {
        match answer {
            Ok(value) => decode::bytes(&value).map(Ok).ok_or_else(|| self.nonsense(call::ETH_CALL)),
            Err(Fault::Revert(revert)) => Ok(Err(revert)),
            Err(fault) => Err(self.shared.failed(&fault, call::ETH_CALL)),
        }
    }

    /// The endpoint answered something that `method` does not return.
    pub(crate) fn nonsense(&self, method: &'static str) -> ChainError {
        self.shared.nonsense(method)
    }
}
