//! The load: so many requests at once, each sent as soon as the one before it on its connection
//! has an outcome. It runs on threads of its own, with bytes that were made before.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::num::NonZero;
use std::sync::atomic::{AtomicU8, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use tokio::sync::Notify;
use tokio::task::{JoinHandle, JoinSet, spawn_blocking};

use crate::answers::{Meaning, meaning};
use crate::connection::Connection;
use crate::error::BenchError;
use crate::limits::{AFTER_FAILURE, ASK_AGAIN, DRAIN, MAX_REASONS};
use crate::payments::Payment;
use crate::requests::Work;

/// What is sent.
pub(crate) enum Requests {
    /// Each once.
    Payments(Vec<Payment>),
    /// The same one, for ever.
    Same(Vec<u8>),
}

/// What came of it.
#[derive(Debug, Default)]
pub(crate) struct Seen {
    /// From the first request of each accepted one to its outcome, in microseconds, for those that
    /// came while the clock ran.
    pub(crate) waits: Vec<u32>,
    /// All outcomes while the clock ran.
    pub(crate) outcomes: u64,
    /// Accepted ones, whenever they came.
    pub(crate) accepted: u64,
    /// Which payments they are.
    pub(crate) payments: Vec<usize>,
    /// Outcomes of another kind, whenever they came.
    pub(crate) failed: u64,
    /// Why, and how often.
    pub(crate) reasons: BTreeMap<String, u64>,
    /// Answers without an outcome, after which the same was asked again.
    pub(crate) pending: u64,
}

const WARM: u8 = 0;
const MEASURED: u8 = 1;
const STOPPED: u8 = 2;

struct Shared {
    work: Work,
    address: SocketAddr,
    requests: Requests,
    phase: AtomicU8,
    next: AtomicUsize,
    used_up: Notify,
    stopped: OnceLock<Instant>,
    outcomes: AtomicU64,
}

/// A load that runs. Dropped, it ends by itself soon.
pub(crate) struct Load {
    shared: Arc<Shared>,
    threads: Vec<JoinHandle<Result<Seen, BenchError>>>,
}

impl Load {
    /// Begins, without a clock.
    pub(crate) fn start(
        work: Work,
        address: SocketAddr,
        requests: Requests,
        at_once: usize,
    ) -> Self {
        let shared = Arc::new(Shared {
            work,
            address,
            requests,
            phase: AtomicU8::new(WARM),
            next: AtomicUsize::new(0),
            used_up: Notify::new(),
            stopped: OnceLock::new(),
            outcomes: AtomicU64::new(0),
        });
        // Half of the processors are for what is measured.
        let processors = std::thread::available_parallelism().map_or(1, NonZero::get);
        let count = (processors / 2).clamp(1, at_once);
        let threads = (0..count).map(|index| {
            let (shared, share) = (Arc::clone(&shared), (at_once + index) / count);
            spawn_blocking(move || drive(&shared, share))
        });
        Self { threads: threads.collect(), shared }
    }

    /// From now on it counts.
    pub(crate) fn start_clock(&self) {
        self.shared.phase.store(MEASURED, Ordering::SeqCst);
    }

    /// From now on it does not count, and nothing new is sent.
    pub(crate) fn stop_clock(&self) {
        self.shared.phase.store(STOPPED, Ordering::SeqCst);
        let _ = self.shared.stopped.set(Instant::now());
    }

    /// Resolves when every payment was sent.
    pub(crate) async fn used_up(&self) {
        self.shared.used_up.notified().await;
    }

    /// Outcomes until now.
    pub(crate) fn outcomes(&self) -> u64 {
        self.shared.outcomes.load(Ordering::Relaxed)
    }

    /// After the clock was stopped: waits for the outcomes that are missing.
    pub(crate) async fn finish(&mut self) -> Result<Seen, BenchError> {
        let mut all = Seen::default();
        for thread in self.threads.drain(..) {
            let died = |_| BenchError::Unexpected("a thread of the load panicked".to_owned());
            all.merge(thread.await.map_err(died)??);
        }
        Ok(all)
    }

    /// The payment with this number.
    pub(crate) fn payment(&self, index: usize) -> Option<&Payment> {
        match &self.shared.requests {
            Requests::Payments(payments) => payments.get(index),
            Requests::Same(_) => None,
        }
    }
}

impl Drop for Load {
    fn drop(&mut self) {
        self.stop_clock();
    }
}

fn drive(shared: &Arc<Shared>, at_once: usize) -> Result<Seen, BenchError> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(BenchError::io("a thread of the load"))?;
    runtime.block_on(async {
        let mut workers = JoinSet::new();
        for _ in 0..at_once {
            workers.spawn(work(Arc::clone(shared)));
        }
        let mut all = Seen::default();
        while let Some(seen) = workers.join_next().await {
            let died = |_| BenchError::Unexpected("a worker of the load panicked".to_owned());
            all.merge(seen.map_err(died)?);
        }
        Ok(all)
    })
}

async fn work(shared: Arc<Shared>) -> Seen {
    let mut seen = Seen::default();
    let mut connection = Connection::to(shared.address);
    while let Some(index) = shared.take() {
        let Some(request) = shared.request(index) else { break };
        let began = Instant::now();
        let outcome = shared.outcome(&mut connection, request, &mut seen.pending).await;
        let counts = shared.phase.load(Ordering::Relaxed) == MEASURED;
        shared.outcomes.fetch_add(1, Ordering::Relaxed);
        seen.outcomes += u64::from(counts);
        match outcome {
            Ok(()) => {
                seen.accepted += 1;
                if shared.work.moves_money() {
                    seen.payments.push(index);
                }
                if counts {
                    let micros = began.elapsed().as_micros();
                    seen.waits.push(u32::try_from(micros).unwrap_or(u32::MAX));
                }
            }
            Err(reason) => seen.fail(reason),
        }
    }
    seen
}

impl Shared {
    fn is_stopped(&self) -> bool {
        self.phase.load(Ordering::Relaxed) == STOPPED
    }

    /// Number of the next request; `None` at the end.
    fn take(&self) -> Option<usize> {
        if self.is_stopped() {
            return None;
        }
        let Requests::Payments(payments) = &self.requests else { return Some(0) };
        let index = self.next.fetch_add(1, Ordering::Relaxed);
        if index >= payments.len() {
            self.used_up.notify_one();
            return None;
        }
        Some(index)
    }

    fn request(&self, index: usize) -> Option<&[u8]> {
        match &self.requests {
            Requests::Payments(payments) => Some(&payments.get(index)?.request),
            Requests::Same(request) => Some(request),
        }
    }

    /// Asks until there is an outcome; an error is the reason why it is not what was asked for.
    async fn outcome(
        &self,
        connection: &mut Connection,
        request: &[u8],
        pending: &mut u64,
    ) -> Result<(), String> {
        loop {
            let meaning = match connection.exchange(request).await {
                Ok(answer) => meaning(self.work, answer.status, answer.body),
                Err(error) => {
                    tokio::time::sleep(AFTER_FAILURE).await;
                    Meaning::Failed(format!("connection: {}", error.kind()))
                }
            };
            match meaning {
                Meaning::Accepted => return Ok(()),
                Meaning::Failed(reason) => return Err(reason),
                Meaning::AskAgain if self.stopped.get().is_some_and(|at| at.elapsed() > DRAIN) => {
                    return Err("no outcome until the end".to_owned());
                }
                Meaning::AskAgain => {
                    *pending += 1;
                    tokio::time::sleep(ASK_AGAIN).await;
                }
            }
        }
    }
}

impl Seen {
    fn fail(&mut self, reason: String) {
        self.failed += 1;
        self.count(reason, 1);
    }

    fn count(&mut self, reason: String, times: u64) {
        let full = self.reasons.len() >= MAX_REASONS && !self.reasons.contains_key(&reason);
        let reason = if full { "others".to_owned() } else { reason };
        *self.reasons.entry(reason).or_default() += times;
    }

    fn merge(&mut self, other: Self) {
        self.waits.extend(other.waits);
        self.payments.extend(other.payments);
        self.outcomes += other.outcomes;
        self.accepted += other.accepted;
        self.failed += other.failed;
        self.pending += other.pending;
        other.reasons.into_iter().for_each(|(reason, times)| self.count(reason, times));
    }
}

/// How long is really measured may be shorter than what was asked for.
pub(crate) fn micros(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}
