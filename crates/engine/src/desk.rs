//! What the workers of one chain share.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use faregate_chain::Chain;
use faregate_ledger::SettlementStore;
use faregate_protocol::PaymentKey;
use faregate_telemetry::Metrics;
use tokio::sync::{Notify, broadcast, watch};

use crate::Limits;
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
    /// Tells the reconciler that there may be something to see.
    pub(crate) seen: Notify,
    /// Blocks that this process noticed, and whether it watches for them now.
    pub(crate) blocks: Blocks,
}

/// What the watcher of blocks tells the lanes of its process.
#[derive(Debug, Default)]
pub(crate) struct Blocks {
    seen: AtomicU64,
    watched: AtomicBool,
}

impl Blocks {
    /// Changes with each block; `None` when nobody here watches for blocks.
    pub(crate) fn watched(&self) -> Option<u64> {
        let watched = self.watched.load(Ordering::Acquire);
        watched.then(|| self.seen.load(Ordering::Acquire))
    }
}

impl Desk {
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

    /// Something about this payment changed, here or in another process.
    fn stir(&self, key: &PaymentKey) {
        self.wakers.wake(key);
        self.work.notify_waiters();
        self.seen.notify_one();
    }
}

/// Passes the ledger's hints on. Workers and waiting callers also look by themselves, so a hint
/// that is missed costs time only.
pub(crate) async fn pass_on_hints(
    desk: Arc<Desk>,
    mut hints: broadcast::Receiver<PaymentKey>,
    mut stopped: watch::Receiver<bool>,
) {
    loop {
        let hint = tokio::select! {
            biased;
            _ = stopped.changed() => return,
            hint = hints.recv() => hint,
        };
        match hint {
            Ok(key) => desk.stir(&key),
            Err(broadcast::error::RecvError::Lagged(_)) => {}
            Err(broadcast::error::RecvError::Closed) => return,
        }
    }
}
