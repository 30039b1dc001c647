//! What the workers of one chain share.

use std::collections::HashSet;
use std::sync::{Arc, Mutex, PoisonError};

use faregate_chain::Chain;
use faregate_ledger::SettlementStore;
use faregate_protocol::PaymentKey;
use faregate_telemetry::Metrics;
use tokio::sync::{Notify, mpsc};

use crate::Limits;
use crate::clock::Clock;
use crate::wake::Wakers;

/// One chain with its ledger, lanes and waiting callers.
pub(crate) struct Desk {
    pub(crate) chain: Arc<dyn Chain>,
    pub(crate) store: Arc<dyn SettlementStore>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) metrics: Metrics,
    pub(crate) limits: Limits,
    pub(crate) wakers: Wakers,
    /// Tells the reconciler that bytes were sent.
    pub(crate) sent: Notify,
    /// Tells the lanes that a nonce was mined.
    pub(crate) mined: Notify,
    lanes: Vec<mpsc::Sender<PaymentKey>>,
    queued: Mutex<HashSet<PaymentKey>>,
}

/// The lanes take no more work.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct QueueFull;

impl Desk {
    pub(crate) fn new(
        chain: Arc<dyn Chain>,
        store: Arc<dyn SettlementStore>,
        clock: Arc<dyn Clock>,
        metrics: Metrics,
        limits: Limits,
        lanes: Vec<mpsc::Sender<PaymentKey>>,
    ) -> Self {
        Self {
            chain,
            store,
            clock,
            metrics,
            limits,
            wakers: Wakers::default(),
            sent: Notify::new(),
            mined: Notify::new(),
            lanes,
            queued: Mutex::default(),
        }
    }

    pub(crate) fn network(&self) -> &str {
        self.chain.network().as_str()
    }

    pub(crate) fn has_room(&self) -> bool {
        self.lanes.iter().any(|lane| lane.capacity() > 0)
    }

    /// Hands a reserved payment to the lane with the shortest queue, once.
    pub(crate) fn enqueue(&self, key: PaymentKey) -> Result<(), QueueFull> {
        let mut queued = self.queued.lock().unwrap_or_else(PoisonError::into_inner);
        if queued.contains(&key) {
            return Ok(());
        }
        let lane = self.lanes.iter().max_by_key(|lane| lane.capacity()).ok_or(QueueFull)?;
        lane.try_send(key).map_err(|_| QueueFull)?;
        queued.insert(key);
        Ok(())
    }

    /// The lane is done with this entry of its queue.
    pub(crate) fn dequeued(&self, key: &PaymentKey) {
        self.queued.lock().unwrap_or_else(PoisonError::into_inner).remove(key);
    }
}
