//! How many calls an endpoint is asked at most in a second.

use std::time::Duration;

use tokio::time::Instant;

const MICROS: u64 = 1_000_000;

/// A token bucket that holds one second's worth of calls. Whoever comes takes a place at once and
/// is told how long to wait for its turn.
#[derive(Debug)]
pub(super) struct Bucket {
    per_second: u64,
    /// When the bucket would be full, if nobody came any more.
    full_at: Instant,
}

impl Bucket {
    /// Full, at `now`.
    pub(super) fn new(per_second: u32, now: Instant) -> Self {
        Self { per_second: u64::from(per_second.max(1)), full_at: now }
    }

    /// Takes `calls` tokens and returns how long to wait for them; `None`, and nothing is taken,
    /// when that is longer than `patience`.
    pub(super) fn take(
        &mut self,
        calls: usize,
        now: Instant,
        patience: Duration,
    ) -> Option<Duration> {
        let wait = self.wait(calls, now);
        if wait > patience {
            return None;
        }
        self.full_at = self.full_at.max(now) + self.time_of(calls);
        Some(wait)
    }

    /// How long `calls` would have to wait. A batch above the bucket's size goes when it is full.
    pub(super) fn wait(&self, calls: usize, now: Instant) -> Duration {
        let needed = self.time_of(calls).min(Duration::from_secs(1));
        let filled = self.full_at.saturating_duration_since(now);
        (filled + needed).saturating_sub(Duration::from_secs(1))
    }

    fn time_of(&self, calls: usize) -> Duration {
        let calls = u64::try_from(calls).unwrap_or(u64::MAX);
        Duration::from_micros(calls.saturating_mul(MICROS).div_ceil(self.per_second))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_second_may_come_at_once_and_the_rest_waits_its_turn() {
        let now = Instant::now();
        let mut bucket = Bucket::new(10, now);
        let patience = Duration::from_secs(5);
        for _ in 0..10 {
            assert_eq!(bucket.take(1, now, patience), Some(Duration::ZERO));
        }
        assert_eq!(bucket.take(1, now, patience), Some(Duration::from_millis(100)));
        assert_eq!(bucket.take(2, now, patience), Some(Duration::from_millis(300)));
        assert_eq!(bucket.take(60, now, Duration::from_millis(1200)), None, "nothing is taken");
        assert_eq!(bucket.wait(1, now + Duration::from_millis(400)), Duration::ZERO);
        let later = now + Duration::from_secs(60);
        assert_eq!(bucket.take(25, later, patience), Some(Duration::ZERO), "a batch above it");
        assert_eq!(bucket.take(1, later, patience), Some(Duration::from_millis(1600)));
    }

    proptest! {
        /// Over any stretch of time no more goes out than the rate, one second's worth and one batch.
        #[test]
        fn the_rate_holds_over_any_stretch_of_time(
            per_second in 1_u32..200,
            asks in prop::collection::vec((0_u64..500, 1_usize..100), 1..80),
        ) {
            let start = Instant::now();
            let (mut now, mut bucket) = (start, Bucket::new(per_second, start));
            let mut sent: Vec<(Duration, usize)> = Vec::new();
            for (pause, calls) in asks {
                now += Duration::from_millis(pause);
                if let Some(wait) = bucket.take(calls, now, Duration::from_secs(3600)) {
                    sent.push((now + wait - start, calls));
                }
            }
            sent.sort();
            for (first, (from, _)) in sent.iter().enumerate() {
                let mut total = 0_u128;
                for (until, calls) in &sent[first..] {
                    let micros = (*until - *from).as_micros() + u128::from(MICROS);
                    let allowed = u128::from(per_second) * micros / u128::from(MICROS) + 1;
                    prop_assert!(total <= allowed, "{total} in {:?}", *until - *from);
                    total += *calls as u128;
                }
            }
        }
    }
}
