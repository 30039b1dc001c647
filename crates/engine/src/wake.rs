//! Tells waiting callers that a payment moved. A wake-up carries no fact: whoever wakes reads the
//! ledger. A missed one costs time only, because every wait also ends by itself.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use faregate_protocol::PaymentKey;
use tokio::sync::Notify;

/// The callers that wait, by payment.
#[derive(Debug, Default)]
pub(crate) struct Wakers {
    waiting: Mutex<HashMap<PaymentKey, Arc<Notify>>>,
}

/// A place among the waiting; leaving it frees the entry.
pub(crate) struct Waiting<'a> {
    wakers: &'a Wakers,
    key: PaymentKey,
    notify: Arc<Notify>,
}

impl Wakers {
    pub(crate) fn wait(&self, key: PaymentKey) -> Waiting<'_> {
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        let notify = waiting.entry(key).or_default().clone();
        Waiting { wakers: self, key, notify }
    }

    pub(crate) fn wake(&self, key: &PaymentKey) {
        let waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(notify) = waiting.get(key) {
            notify.notify_waiters();
        }
    }
}

impl Waiting<'_> {
    /// Register before reading the ledger, await afterwards: no wake-up falls between.
    pub(crate) fn notified(&self) -> tokio::sync::futures::Notified<'_> {
        self.notify.notified()
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        let mut waiting = self.wakers.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        // One reference is ours, one is the map's.
        const LAST: usize = 2;
        if Arc::strong_count(&self.notify) <= LAST {
            waiting.remove(&self.key);
        }
    }
}
