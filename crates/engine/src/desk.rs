//! What the workers of one chain share.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use faregate_chain::Chain;
use faregate_ledger::{Change, Hint, SettlementStore};
use faregate_telemetry::Metrics;
use tokio::sync::{Mutex, Notify, broadcast, watch};

use crate::Limits;
use crate::backlog::Backlog;
use crate::clock::Clock;
use crate::wake::Wakers;

/// One chain with its ledger and waiting callers.
pub(crate) struct Desk {
    pub(crate) chain: Arc<dyn Chain>,
    pub(crate) store: Arc<dyn SettlementStore>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) metrics: Metrics,
    pub(crate) limits: Limits,
    pub(crate) wakers: Wakers,
    /// Tells the lanes that there may be work.
    pub(crate) work: Notify,
    /// Tells the watcher of blocks that something was sent.
    pub(crate) sent: Notify,
    /// Tells the reconciler that there may be something to see.
    pub(crate) seen: Notify,
    /// The lanes of this process take payments up one after the other, or they would read the same
    /// ones and take them from each other.
    pub(crate) taking_up: Mutex<()>,
    /// Settlements without an outcome.
    pub(crate) backlog: Backlog,
    /// Blocks that this process noticed, and whether it watches for them now.
    pub(crate) blocks: Blocks,
}

/// What the watcher of blocks tells the lanes of its process.
#[derive(Debug, Default)]
pub(crate) struct Blocks {
    seen: AtomicU64,
    watched: AtomicBool,
    gap_ms: AtomicU64,
}

impl Blocks {
    /// Changes with each block; `None` when nobody here watches for blocks.
    pub(crate) fn watched(&self) -> Option<u64> {
        let watched = self.watched.load(Ordering::Acquire);
        watched.then(|| self.seen.load(Ordering::Acquire))
    }

    /// The time between two blocks, as far as it is known and somebody here watches for them.
    pub(crate) fn gap(&self) -> Duration {
        let gap_ms = self.watched().map_or(0, |_| self.gap_ms.load(Ordering::Acquire));
        Duration::from_millis(gap_ms)
    }

    pub(crate) fn come_every(&self, gap: Duration) {
        self.gap_ms.store(u64::try_from(gap.as_millis()).unwrap_or(u64::MAX), Ordering::Release);
    }
}

impl Desk {
    pub(crate) fn new(
        chain: Arc<dyn Chain>,
        store: Arc<dyn SettlementStore>,
        clock: Arc<dyn Clock>,
        metrics: Metrics,
        limits: Limits,
    ) -> Self {
        Self {
            chain,
            store,
            clock,
            metrics,
            limits,
            wakers: Wakers::default(),
            work: Notify::new(),
            sent: Notify::new(),
            seen: Notify::new(),
            taking_up: Mutex::new(()),
            backlog: Backlog::default(),
            blocks: Blocks::default(),
        }
    }

    pub(crate) fn network(&self) -> &str {
        self.chain.network().as_str()
    }

    /// A new block was looked into: nonces may have been used.
    pub(crate) fn block_seen(&self) {
        self.blocks.seen.fetch_add(1, Ordering::AcqRel);
        self.work.notify_waiters();
    }

    pub(crate) fn watches_blocks(&self, watching: bool) {
        self.blocks.watched.store(watching, Ordering::Release);
    }

    /// Something about a payment changed, here or in another process.
    fn stir(&self, hint: Hint) {
        match hint.change {
            Change::Wanted => self.work.notify_waiters(),
            Change::Sent => self.sent.notify_waiters(),
            Change::Due => self.seen.notify_one(),
            Change::Outcome => self.wakers.wake(&hint.key),
        }
    }
}

/// Passes the ledger's hints on. Workers and waiting callers also look by themselves, so a hint
/// that is missed costs time only.
pub(crate) async fn pass_on_hints(
    desk: Arc<Desk>,
    mut hints: broadcast::Receiver<Hint>,
    mut stopped: watch::Receiver<bool>,
) {
    loop {
        let hint = tokio::select! {
            biased;
            _ = stopped.changed() => return,
            hint = hints.recv() => hint,
        };
        match hint {
            Ok(hint) => desk.stir(hint),
            Err(broadcast::error::RecvError::Lagged(_)) => {}
            Err(broadcast::error::RecvError::Closed) => return,
        }
    }
}
