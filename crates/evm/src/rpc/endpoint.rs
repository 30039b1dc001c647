//! One endpoint: its connections, its health, and how it is asked.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use faregate_chain::ChainError;
use faregate_telemetry::{EndpointMetrics, EndpointOutcome};
use futures::{StreamExt as _, stream};
use tokio::time::Instant;
use url::{Host, Url};

use super::breaker::Standing;
use super::call::{self, Call};
use super::collector::{Collector, Flight, Place};
use super::health::Health;
use super::http::{Broken, Client, TOO_MANY_REQUESTS};
use super::terms::Terms;
use super::{Answer, Fault, decode, wire};
use crate::limits::{MAX_BATCH_CALLS, MAX_SINGLES_AT_ONCE};

/// One endpoint. Its URL, which may hold a key, stays in the client.
pub(super) struct Endpoint {
    /// Place in the configuration and domain, for logs.
    pub(super) label: String,
    pub(super) metrics: EndpointMetrics,
    client: Client,
    /// It was seen to serve the configured chain since the last failure.
    checked: AtomicBool,
    health: Mutex<Health>,
    collector: Arc<Collector>,
    /// Newest block that it has shown.
    head: AtomicU64,
}

impl Endpoint {
    /// One that was not asked anything yet.
    pub(super) fn new(
        label: String,
        client: Client,
        health: Health,
        metrics: EndpointMetrics,
    ) -> Self {
        Self {
            label,
            metrics,
            client,
            checked: AtomicBool::new(false),
            health: Mutex::new(health),
            collector: Arc::default(),
            head: AtomicU64::new(0),
        }
    }

    pub(super) fn health(&self) -> MutexGuard<'_, Health> {
        self.health.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Newest block that it has shown; 0 before.
    pub(super) fn head(&self) -> u64 {
        self.head.load(Ordering::Acquire)
    }

    /// Asks `calls`, together with what others ask meanwhile. An endpoint that was not checked yet
    /// is asked for its chain id in the same request.
    ///
    /// What is rarely needed is boxed here and below: the space of every branch is part of the
    /// future, which is moved on the way to where it runs.
    pub(super) async fn ask(
        &self,
        shared: &Terms,
        calls: &[Call],
    ) -> Result<Vec<Answer>, ChainError> {
        if !self.checked.load(Ordering::Acquire) {
            return Box::pin(self.check_and_ask(shared, calls)).await;
        }
        let flight = match self.collector.turn(calls).await {
            Place::Answered(answers) => return answers,
            Place::Carry(flight) => Some(flight),
            Place::Alone => None,
        };
        let others = flight.iter().flat_map(Flight::calls);
        let all: Vec<&Call> = calls.iter().chain(others).collect();
        let outcome = self.exchange(shared, &all).await;
        let Some(flight) = flight.filter(Flight::is_shared) else { return outcome };
        match outcome {
            Ok(mut answers) => {
                let others = answers.split_off(calls.len().min(answers.len()));
                flight.land(Ok(others));
                Ok(answers)
            }
            Err(ChainError::Nonsense { .. }) => {
                flight.disband();
                let own: Vec<&Call> = calls.iter().collect();
                Box::pin(self.exchange(shared, &own)).await
            }
            Err(error) => {
                flight.land(Err(error.clone()));
                Err(error)
            }
        }
    }

    /// Asks one call alone, for what must not share a request with anything.
    pub(super) async fn ask_alone(
        &self,
        shared: &Terms,
        call: &Call,
    ) -> Result<Answer, ChainError> {
        if !self.checked.load(Ordering::Acquire) {
            // The check must not share a batch with a send: a wrong chain must not get it.
            self.check_and_ask(shared, &[]).await?;
        }
        let answer = self.exchange(shared, &[call]).await?.pop();
        answer.ok_or_else(|| shared.nonsense(call.method))
    }

    async fn check_and_ask(
        &self,
        shared: &Terms,
        calls: &[Call],
    ) -> Result<Vec<Answer>, ChainError> {
        let asked: Vec<&Call> = std::iter::once(&*call::CHAIN_ID).chain(calls).collect();
        let mut answers = self.exchange(shared, &asked).await?;
        let found = shared.value(answers.remove(0), call::CHAIN_ID.method)?;
        let found = decode::u64(&found).ok_or_else(|| shared.nonsense(call::CHAIN_ID.method))?;
        self.health().serves_another_chain(found != shared.chain_id);
        if found != shared.chain_id {
            return Err(ChainError::WrongChain { configured: shared.chain_id, found });
        }
        self.checked.store(true, Ordering::Release);
        Ok(answers)
    }

    /// HTTP requests to this endpoint: one, unless it takes no batches or there are too many calls
    /// for one.
    async fn exchange(&self, shared: &Terms, calls: &[&Call]) -> Result<Vec<Answer>, ChainError> {
        let mut answers = Vec::with_capacity(calls.len());
        for part in calls.chunks(MAX_BATCH_CALLS) {
            let outcome = match self.part(shared, part).await {
                Err(Failure::NoBatches) => Box::pin(self.singles(shared, part)).await,
                Err(Failure::Chain(error)) => Err(error),
                Ok(answers) => Ok(answers),
            };
            if outcome.is_err() {
                self.checked.store(false, Ordering::Release);
            }
            answers.extend(outcome?);
        }
        Ok(answers)
    }

    /// One call after the other where a batch would have been read together: the first one, which
    /// may be the head that the rest is read at, comes first.
    async fn singles(&self, shared: &Terms, calls: &[&Call]) -> Result<Vec<Answer>, ChainError> {
        let mut owned = calls.iter().map(|call| (*call).clone());
        let Some(first) = owned.next() else { return Ok(Vec::new()) };
        let rest: Vec<Call> = owned.collect();
        let mut answers = vec![self.single(shared, first).await?];
        let rest = rest.into_iter().map(|call| self.single(shared, call));
        let mut rest = stream::iter(rest).buffered(MAX_SINGLES_AT_ONCE);
        while let Some(answer) = rest.next().await {
            answers.push(answer?);
        }
        drop(rest);
        let now = Instant::now();
        let mut health = self.health();
        if !health.takes_singles_only(now) {
            tracing::warn!(endpoint = self.label, "it takes no batches and is asked singly");
            health.refuses_batches(now);
        }
        Ok(answers)
    }

    async fn single(&self, shared: &Terms, call: Call) -> Result<Answer, ChainError> {
        match self.request(shared, &[&call]).await {
            Ok(mut answers) => answers.pop().ok_or_else(|| shared.nonsense(call.method)),
            Err(Failure::Chain(error)) => Err(error),
            Err(Failure::NoBatches) => Err(shared.nonsense(call.method)),
        }
    }

    async fn part(&self, shared: &Terms, calls: &[&Call]) -> Result<Vec<Answer>, Failure> {
        if calls.len() > 1 && self.health().takes_singles_only(Instant::now()) {
            return Err(Failure::NoBatches);
        }
        self.request(shared, calls).await
    }

    /// One HTTP request, counted and held against the endpoint's limits.
    async fn request(&self, shared: &Terms, calls: &[&Call]) -> Result<Vec<Answer>, Failure> {
        let Some(first) = calls.first() else { return Ok(Vec::new()) };
        self.admit(shared, calls.len()).await?;
        let count = u64::try_from(calls.len()).unwrap_or(u64::MAX);
        let first_id = shared.next_id.fetch_add(count, Ordering::Relaxed);
        let began = Instant::now();
        let answer = self.client.post(wire::encode(calls, first_id)).await;
        let read = match answer {
            Ok(answer) => match wire::decode(&answer, first_id, calls.len()) {
                Some(wire::Reply::Members(members)) => Ok(members),
                Some(wire::Reply::RateLimited) => Err(Trouble::Limited(None)),
                Some(wire::Reply::Refused) => Err(Trouble::NoBatches),
                None => Err(Trouble::Nonsense),
            },
            Err(Broken::Limited(retry_after)) => Err(Trouble::Limited(retry_after)),
            Err(Broken::Refused(status)) if calls.len() > 1 && refuses_batches(status) => {
                Err(Trouble::NoBatches)
            }
            Err(Broken::TooLarge) => Err(Trouble::Nonsense),
            Err(broken) => Err(Trouble::Broken(broken)),
        };
        self.note(calls, &read, began.elapsed());
        read.map_err(|trouble| trouble.told(shared, first))
    }

    /// Waits for the endpoint's limits, or says at once that they leave no room.
    async fn admit(&self, shared: &Terms, calls: usize) -> Result<(), Failure> {
        let wait = {
            let (mut health, now) = (self.health(), Instant::now());
            match health.forbidden(now) {
                true => None,
                false => health.ask(calls, now, shared.call_timeout),
            }
        };
        match wait {
            Some(wait) if wait.is_zero() => Ok(()),
            Some(wait) => {
                tokio::time::sleep(wait).await;
                Ok(())
            }
            None => {
                self.metrics.request(EndpointOutcome::Held);
                Err(Failure::Chain(shared.refused(TOO_MANY_REQUESTS)))
            }
        }
    }

    fn note(&self, calls: &[&Call], read: &Result<Vec<Answer>, Trouble>, took: Duration) {
        let now = Instant::now();
        let mut health = self.health();
        let outcome = match read {
            Ok(members) if members.iter().any(is_limited) => {
                health.limited(now, None);
                EndpointOutcome::Limited
            }
            Ok(members) => {
                health.answered(took);
                self.learn_head(calls, members);
                EndpointOutcome::Answered
            }
            Err(Trouble::Limited(retry_after)) => {
                health.limited(now, *retry_after);
                EndpointOutcome::Limited
            }
            Err(Trouble::NoBatches) => EndpointOutcome::Refused,
            Err(Trouble::Broken(Broken::Refused(_)) | Trouble::Nonsense) => {
                health.failed(now);
                EndpointOutcome::Refused
            }
            Err(Trouble::Broken(_)) => {
                health.failed(now);
                EndpointOutcome::Failed
            }
        };
        self.metrics.request(outcome);
        self.metrics.calls(u64::try_from(calls.len()).unwrap_or(u64::MAX));
        self.show(&health, now);
    }

    /// Another endpoint answered first though it was asked this much later.
    pub(super) fn overtaken(&self) {
        let now = Instant::now();
        let mut health = self.health();
        health.failed(now);
        self.metrics.request(EndpointOutcome::Overtaken);
        self.show(&health, now);
    }

    /// Puts its health into the metrics.
    fn show(&self, health: &Health, now: Instant) {
        self.metrics.breaker(match health.standing(now) {
            Standing::Closed => 0,
            Standing::Ready | Standing::HalfOpen => 1,
            Standing::Open => 2,
        });
        self.metrics.score(health.score());
    }

    fn learn_head(&self, calls: &[&Call], members: &[Answer]) {
        for (call, member) in calls.iter().zip(members) {
            if let (call::BLOCK_NUMBER, Ok(value)) = (call.method, member)
                && let Some(head) = decode::u64(value)
            {
                self.head.store(head, Ordering::Release);
            }
        }
    }
}

enum Failure {
    NoBatches,
    Chain(ChainError),
}

enum Trouble {
    Limited(Option<Duration>),
    NoBatches,
    Nonsense,
    Broken(Broken),
}

impl Trouble {
    fn told(self, shared: &Terms, first: &Call) -> Failure {
        Failure::Chain(match self {
            Self::NoBatches => return Failure::NoBatches,
            Self::Limited(_) => shared.refused(TOO_MANY_REQUESTS),
            Self::Nonsense => shared.nonsense(first.method),
            Self::Broken(broken) => shared.broken(broken, first),
        })
    }
}

/// What servers and proxies answer that do not know what to do with an array.
fn refuses_batches(status: u16) -> bool {
    matches!(status, 400 | 404 | 405 | 413 | 415 | 422 | 501)
}

fn is_limited(answer: &Answer) -> bool {
    matches!(answer, Err(Fault::Failed { code, message }) if wire::is_rate_limit(*code, message))
}

/// A name for logs and metrics: the place in the configuration and the end of the host's name. Some
/// providers put keys into the name's beginning.
pub(super) fn label(index: usize, url: &Url) -> String {
    const SHOWN: usize = 2;
    match url.host() {
        Some(Host::Domain(name)) => {
            let mut parts: Vec<&str> = name.rsplit('.').take(SHOWN).collect();
            parts.reverse();
            format!("{index} {}", parts.join("."))
        }
        Some(address) => format!("{index} {address}"),
        None => index.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_label_holds_no_key() {
        for (url, want) in [
            ("https://user:key@rpc.example.com/v2/key?key=key", "3 example.com"),
            ("https://key.base.example.pro/key/", "3 example.pro"),
            ("http://localhost:8545/key", "3 localhost"),
            ("http://user:key@127.0.0.1:8545", "3 127.0.0.1"),
            ("http://[::1]:8545/key", "3 [::1]"),
        ] {
            assert_eq!(label(3, &Url::parse(url).unwrap()), want);
        }
    }
}
