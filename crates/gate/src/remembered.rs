//! Payments whose settlement was asked for and is not proven, kept in memory so that the sweeper
//! can repeat the question without the buyer. Bounded; what does not fit waits for the buyer's
//! retry, which carries the payment again.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use faregate_protocol::{PaymentKey, PaymentRequest};
use tokio::time::Instant;

use crate::limits;

/// What it takes to ask again.
#[derive(Clone)]
pub(crate) struct Asked {
    pub(crate) request: PaymentRequest,
    due: Instant,
    pause: Duration,
}

/// The payments, by key.
#[derive(Default)]
pub(crate) struct Remembered(Mutex<HashMap<PaymentKey, Asked>>);

impl Remembered {
    /// Remembers a payment before it is asked for.
    pub(crate) fn insert(&self, key: PaymentKey, request: PaymentRequest) {
        let mut map = self.lock();
        // One that is known keeps its pause, or it would be asked about too often.
        if map.len() < limits::MAX_REMEMBERED {
            let pause = limits::SWEEP_EVERY;
            let due = Instant::now() + pause;
            map.entry(key).or_insert(Asked { request, due, pause });
        }
    }

    pub(crate) fn get(&self, key: &PaymentKey) -> Option<Asked> {
        self.lock().get(key).cloned()
    }

    /// Its outcome is stored.
    pub(crate) fn forget(&self, key: &PaymentKey) {
        self.lock().remove(key);
    }

    /// Payments to ask about now. Each is due again after twice the time it waited for.
    pub(crate) fn take_due(&self, now: Instant) -> Vec<(PaymentKey, Asked)> {
        let mut due = Vec::new();
        for (key, asked) in self.lock().iter_mut().filter(|(_, asked)| asked.due <= now) {
            due.push((*key, asked.clone()));
            asked.pause = asked.pause.saturating_mul(2).min(limits::MAX_SWEEP_BACKOFF);
            asked.due = now + asked.pause;
        }
        due
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<PaymentKey, Asked>> {
        // No code that holds the lock can panic; the map is whole in any case.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
