//! JSON-RPC over HTTP to the endpoints of one chain, in their configured order.
//!
//! What an endpoint says is data: sizes and times are bounded, nothing of its text travels, and
//! its URL, which may hold a key, is never shown. A call that reverted was answered; everything
//! else that is no answer is a [`ChainError`], which proves nothing.

pub(crate) mod call;
mod connection;
pub(crate) mod decode;
mod http;
mod target;
mod wire;

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use alloy_primitives::Bytes;
use faregate_chain::ChainError;
use faregate_protocol::Network;
use serde_json::Value;
use url::Url;

pub(crate) use self::call::{Block, Call};
use self::http::{Broken, Client, Connector};

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

struct Endpoint {
    client: Client,
    /// It was seen to serve the configured chain since the last failure.
    checked: AtomicBool,
}

/// The endpoints of one chain.
#[derive(Clone)]
pub(crate) struct Rpc {
    network: Network,
    chain_id: u64,
    endpoints: Arc<[Arc<Endpoint>]>,
    next_id: Arc<AtomicU64>,
}

impl fmt::Debug for Rpc {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Rpc")
            .field("network", &self.network)
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
        urls: Vec<Url>,
        call_timeout: Duration,
    ) -> Result<Self, ChainError> {
        let refused = |detail| ChainError::Unsupported { detail };
        let connector =
            Connector::for_all(&urls).ok_or(refused("the HTTP client could not be made"))?;
        let endpoint = |url: &Url| {
            let client = Client::new(url, &connector, call_timeout)?;
            Some(Arc::new(Endpoint { client, checked: AtomicBool::new(false) }))
        };
        let endpoints: Option<_> = urls.iter().map(endpoint).collect();
        let endpoints = endpoints.ok_or(refused("the URL of an endpoint cannot be asked"))?;
        Ok(Self {
            network: network.clone(),
            chain_id,
            endpoints,
            next_id: Arc::new(AtomicU64::new(1)),
        })
    }

    /// Each endpoint alone, in order.
    pub(crate) fn each(&self) -> impl Iterator<Item = Self> + '_ {
        self.endpoints
            .iter()
            .map(|endpoint| Self { endpoints: [Arc::clone(endpoint)].into(), ..self.clone() })
    }

    /// Asks several things in one HTTP request; answers come in the order of `calls`. The next
    /// endpoint is asked when one fails as a whole, or fails in a member.
    ///
    /// # Errors
    /// [`ChainError`] when no endpoint gave an answer.
    pub(crate) async fn batch(&self, calls: &[Call]) -> Result<Vec<Answer>, ChainError> {
        let mut outcome = Err(ChainError::Unreachable { network: self.network.to_string() });
        for endpoint in self.endpoints.iter() {
            match self.ask(endpoint, calls).await {
                Ok(answers) if answers.iter().all(answered) => return Ok(answers),
                // A partial answer of an earlier endpoint is worth more than a later failure.
                Ok(answers) => outcome = Ok(answers),
                Err(error) if outcome.is_err() => outcome = Err(error),
                Err(_) => {}
            }
        }
        outcome
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

    /// Sends signed bytes to one endpoint after the other until `taken` says that one took them.
    /// Without any, the first refusal is the answer. Sending the same bytes twice is harmless.
    ///
    /// # Errors
    /// [`ChainError`] when none answered; the bytes may or may not be on their way.
    pub(crate) async fn send_raw(
        &self,
        call: Call,
        taken: impl Fn(&Answer) -> bool,
    ) -> Result<Answer, ChainError> {
        let calls = [call];
        let mut outcome = Err(ChainError::Unreachable { network: self.network.to_string() });
        for endpoint in self.endpoints.iter() {
            match self.send_to(endpoint, &calls).await {
                Ok(answer) if taken(&answer) => return Ok(answer),
                answer if outcome.is_err() => outcome = answer,
                _ => {}
            }
        }
        outcome
    }

    async fn send_to(&self, endpoint: &Endpoint, calls: &[Call; 1]) -> Result<Answer, ChainError> {
        if !endpoint.checked.load(Ordering::Acquire) {
            // The check must not share a batch with the send: a wrong chain must not get it.
            self.ask(endpoint, &[]).await?;
        }
        let answers = self.ask(endpoint, calls).await?;
        match answers.into_iter().next() {
            None | Some(Err(Fault::Missing)) => Err(self.nonsense(call::SEND_RAW)),
            Some(Err(Fault::Failed { code, message })) if wire::is_rate_limit(code, &message) => {
                Err(self.refused(http::TOO_MANY_REQUESTS))
            }
            Some(answer) => Ok(answer),
        }
    }

    /// One HTTP request to one endpoint. An endpoint that was not checked yet is asked for its
    /// chain id in the same request.
    async fn ask(&self, endpoint: &Endpoint, calls: &[Call]) -> Result<Vec<Answer>, ChainError> {
        let check = !endpoint.checked.load(Ordering::Acquire);
        let sent: Vec<&Call> = if check {
            std::iter::once(&*call::CHAIN_ID).chain(calls).collect()
        } else {
            calls.iter().collect()
        };
        let outcome = self.exchange(endpoint, &sent).await;
        if outcome.is_err() {
            endpoint.checked.store(false, Ordering::Release);
        }
        let mut answers = outcome?;
        if check {
            let found = self.value(answers.remove(0), call::CHAIN_ID.method)?;
            let found = decode::u64(&found).ok_or_else(|| self.nonsense(call::CHAIN_ID.method))?;
            if found != self.chain_id {
                return Err(ChainError::WrongChain { configured: self.chain_id, found });
            }
            endpoint.checked.store(true, Ordering::Release);
        }
        Ok(answers)
    }

    async fn exchange(
        &self,
        endpoint: &Endpoint,
        calls: &[&Call],
    ) -> Result<Vec<Answer>, ChainError> {
        let Some(first) = calls.first() else { return Ok(Vec::new()) };
        let count = u64::try_from(calls.len()).unwrap_or(u64::MAX);
        let first_id = self.next_id.fetch_add(count, Ordering::Relaxed);
        let body = wire::encode(calls, first_id);
        let answer = endpoint.client.post(body).await.map_err(|e| self.broken(e, first))?;
        match wire::decode(&answer, first_id, calls.len()) {
            Some(wire::Reply::Members(members)) => Ok(members),
            Some(wire::Reply::RateLimited) => Err(self.refused(http::TOO_MANY_REQUESTS)),
            None => Err(self.nonsense(first.method)),
        }
    }

    /// The result of a call that cannot revert.
    ///
    /// # Errors
    /// [`ChainError`] for anything else.
    pub(crate) fn value(&self, answer: Answer, method: &'static str) -> Result<Value, ChainError> {
        match answer {
            Ok(value) => Ok(value),
            Err(fault) => Err(self.failed(&fault, method)),
        }
    }

    /// The result of a contract call: what it returned, or that it reverted.
    ///
    /// # Errors
    /// [`ChainError`] when the call was not carried out.
    pub(crate) fn returned(&self, answer: Answer) -> Result<Result<Bytes, Revert>, ChainError> {
        match answer {
            Ok(value) => decode::bytes(&value).map(Ok).ok_or_else(|| self.nonsense(call::ETH_CALL)),
            Err(Fault::Revert(revert)) => Ok(Err(revert)),
            Err(fault) => Err(self.failed(&fault, call::ETH_CALL)),
        }
    }

    /// The endpoint answered something that `method` does not return.
    pub(crate) fn nonsense(&self, method: &'static str) -> ChainError {
        ChainError::Nonsense { network: self.network.to_string(), method }
    }

    fn refused(&self, status: u16) -> ChainError {
        ChainError::Refused { network: self.network.to_string(), status }
    }

    fn failed(&self, fault: &Fault, method: &'static str) -> ChainError {
        match fault {
            Fault::Failed { code, message } if wire::is_rate_limit(*code, message) => {
                self.refused(http::TOO_MANY_REQUESTS)
            }
            _ => self.nonsense(method),
        }
    }

    fn broken(&self, broken: Broken, call: &Call) -> ChainError {
        let network = self.network.to_string();
        match broken {
            Broken::Unreachable => ChainError::Unreachable { network },
            Broken::TimedOut => ChainError::TimedOut { network },
            Broken::Refused(status) => ChainError::Refused { network, status },
            Broken::TooLarge => ChainError::Nonsense { network, method: call.method },
        }
    }
}

fn answered(answer: &Answer) -> bool {
    matches!(answer, Ok(_) | Err(Fault::Revert(_)))
}
