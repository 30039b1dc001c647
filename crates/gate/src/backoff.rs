//! When the sweeper asks about an open settlement again. Only the times are in memory; what is open
//! and how to ask stands in the ledger, so that any process can go on from there.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use faregate_protocol::PaymentKey;
use tokio::time::Instant;

use crate::limits;

struct Next {
    due: Instant,
    pause: Duration,
}

/// The times, by payment. Bounded: what does not fit waits for a later round.
#[derive(Default)]
pub(crate) struct Backoff(Mutex<HashMap<PaymentKey, Next>>);

impl Backoff {
    /// Whether to ask about a payment now. If so it is due again after twice the time it waited
    /// for, at most after `longest`; one that was never seen is due at once.
    pub(crate) fn is_due(&self, key: PaymentKey, longest: Duration, now: Instant) -> bool {
        // No code that holds the lock can panic; the map is whole in any case.
        let mut times = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(next) = times.get_mut(&key) {
            let is_due = next.due <= now;
            if is_due {
                next.pause = next.pause.saturating_mul(2).min(longest);
                next.due = now + next.pause;
            }
            return is_due;
        }
        if times.len() >= limits::MAX_BACKOFFS {
            return false;
        }
        let pause = limits::SWEEP_EVERY;
        times.insert(key, Next { due: now + pause, pause });
        true
    }

    /// Forgets payments that were due and that nobody asked for any more: they are proven.
    pub(crate) fn forget_stale(&self, now: Instant) {
        let mut times = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        times.retain(|_, next| now < next.due + limits::STALE_BACKOFF);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LONGEST: Duration = Duration::from_secs(60);

    #[test]
    fn a_payment_is_asked_about_at_once_and_then_ever_more_rarely() {
        let (backoff, start) = (Backoff::default(), Instant::now());
        let mut asked = Vec::new();
        for second in 0..200 {
            if backoff.is_due(PaymentKey([1; 32]), LONGEST, start + Duration::from_secs(second)) {
                asked.push(second);
            }
        }
        assert_eq!(asked, [0, 2, 6, 14, 30, 62, 122, 182]);
        assert!(backoff.is_due(PaymentKey([2; 32]), LONGEST, start), "each by itself");
    }

    #[test]
    fn the_proven_make_room() {
        let (backoff, start) = (Backoff::default(), Instant::now());
        let key = |i: usize| {
            let mut key = [0; 32];
            key[..8].copy_from_slice(&i.to_be_bytes());
            PaymentKey(key)
        };
        for i in 0..limits::MAX_BACKOFFS {
            assert!(backoff.is_due(key(i), LONGEST, start));
        }
        assert!(!backoff.is_due(key(usize::MAX), LONGEST, start), "no room");
        backoff.forget_stale(start);
        assert!(!backoff.is_due(key(usize::MAX), LONGEST, start), "all are waited for");
        let later = start + limits::SWEEP_EVERY + limits::STALE_BACKOFF;
        backoff.forget_stale(later);
        assert!(backoff.is_due(key(usize::MAX), LONGEST, later));
    }
}
