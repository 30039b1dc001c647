//! How long a payment that is put on the books now would wait until its money is proven, from what
//! the last settlements took. Only a forecast: it decides who is served on credit, and nothing that
//! has to be remembered.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use crate::limits;

/// A settlement is given so many times what 99 of 100 take.
const MARGIN: u32 = 3;
const PER_CENT: usize = 100;

/// What the last settlements took, and the length of the queue.
pub(crate) struct Forecast {
    took: Mutex<Took>,
    at_once: u32,
    depth: AtomicU64,
}

/// Every payment asks for the figures, and only a settlement changes them.
struct Took {
    last: VecDeque<Duration>,
    mean: Duration,
    /// What 99 of 100 stay within.
    slow: Duration,
}

impl Forecast {
    /// With `at_once` settlements side by side; before any was seen each is thought to take
    /// `unknown`.
    pub(crate) fn new(unknown: Duration, at_once: usize) -> Self {
        let at_once = u32::try_from(at_once).unwrap_or(u32::MAX).max(1);
        let took = Took { last: VecDeque::new(), mean: unknown, slow: unknown };
        Self { took: Mutex::new(took), at_once, depth: AtomicU64::new(0) }
    }

    /// A settlement was proven after so long.
    pub(crate) fn settled(&self, took: Duration) {
        self.took.lock().unwrap_or_else(PoisonError::into_inner).add(took);
    }

    /// So many wait.
    pub(crate) fn queue_is(&self, depth: u64) {
        self.depth.store(depth, Ordering::Relaxed);
    }

    /// Whether a payment that has `left` until its authorization ends would be settled by then.
    pub(crate) fn is_in_time(&self, left: Duration) -> bool {
        let took = self.took.lock().unwrap_or_else(PoisonError::into_inner);
        let (mean, slow) = (took.mean, took.slow);
        drop(took);
        let ahead = u32::try_from(self.depth.load(Ordering::Relaxed)).unwrap_or(u32::MAX);
        let rounds = ahead.div_ceil(self.at_once);
        mean.saturating_mul(rounds).saturating_add(slow.saturating_mul(MARGIN)) < left
    }
}

impl Took {
    fn add(&mut self, took: Duration) {
        if self.last.len() >= limits::FORECAST_SAMPLES {
            self.last.pop_front();
        }
        self.last.push_back(took);
        let count = u32::try_from(self.last.len()).unwrap_or(u32::MAX);
        let mut sorted: Vec<_> = self.last.iter().copied().collect();
        sorted.sort_unstable();
        let rank = sorted.len().saturating_mul(PER_CENT - 1) / PER_CENT;
        let sum: Duration = sorted.iter().sum();
        if let (Some(mean), Some(slow)) = (sum.checked_div(count), sorted.get(rank)) {
            (self.mean, self.slow) = (mean, *slow);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn secs(secs: u64) -> Duration {
        Duration::from_secs(secs)
    }

    #[test]
    fn as_long_as_nothing_was_seen_a_settlement_is_slow() {
        let forecast = Forecast::new(secs(10), 8);
        assert!(!forecast.is_in_time(secs(30)));
        assert!(forecast.is_in_time(secs(31)));
    }

    #[test]
    fn the_queue_and_the_slowest_count() {
        let forecast = Forecast::new(secs(10), 4);
        for _ in 0..limits::FORECAST_SAMPLES {
            forecast.settled(secs(2));
        }
        assert!(forecast.is_in_time(secs(7)));
        assert!(!forecast.is_in_time(secs(6)));
        forecast.queue_is(9);
        assert!(!forecast.is_in_time(secs(12)), "three rounds of two seconds, and six");
        assert!(forecast.is_in_time(secs(13)));
        forecast.queue_is(0);
        for _ in 0..3 {
            forecast.settled(secs(20));
        }
        assert!(!forecast.is_in_time(secs(60)), "one in a hundred takes twenty seconds");
        assert!(forecast.is_in_time(secs(61)));
        forecast.queue_is(u64::MAX);
        assert!(!forecast.is_in_time(secs(u64::from(u32::MAX) / 4)));
    }
}
