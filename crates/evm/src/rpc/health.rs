//! What is known of an endpoint: failures, speed, limits it has told, how far it is behind.

use std::time::Duration;

use tokio::time::Instant;

use super::breaker::{Breaker, Standing};
use super::bucket::Bucket;
use crate::limits::{
    BATCHES_TRIED_AGAIN, GOOD_SCORE_PER_MILLE, LATENCY_SAMPLES, LIMITED_PAUSE_FIRST,
    LIMITED_PAUSE_MAX, RETRY_AFTER_MAX,
};

const WHOLE: u32 = 1000;

/// How gladly an endpoint is asked; the smallest comes first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Rank {
    /// Nothing speaks against it.
    Good,
    /// It fails often, or has said that it is asked too much.
    Strained,
    /// It was shut out and may work again.
    Untried,
    /// It is shut out: asked only when there is no other.
    Shut,
}

/// The health of one endpoint.
#[derive(Debug)]
pub(super) struct Health {
    breaker: Breaker,
    bucket: Option<Bucket>,
    /// Share of the last questions that were answered, per mille, the newest counting most.
    score: u32,
    /// Until when it asked to be left alone, and whether it named the time itself.
    pause: Option<(Instant, bool)>,
    limited_in_a_row: u32,
    latencies: [Duration; LATENCY_SAMPLES],
    answers: usize,
    /// Blocks that it was behind in the last survey.
    lag_blocks: u64,
    stale: bool,
    /// It serves another chain.
    foreign: bool,
    singles_until: Option<Instant>,
}

impl Health {
    /// Of an endpoint that was not asked yet.
    pub(super) fn new(calls_per_second: Option<u32>, now: Instant) -> Self {
        Self {
            breaker: Breaker::default(),
            bucket: calls_per_second.map(|rate| Bucket::new(rate, now)),
            score: WHOLE,
            pause: None,
            limited_in_a_row: 0,
            latencies: [Duration::ZERO; LATENCY_SAMPLES],
            answers: 0,
            lag_blocks: 0,
            stale: false,
            foreign: false,
            singles_until: None,
        }
    }

    /// Its place among the endpoints; `None` when it is too far behind to be asked for state, or
    /// serves another chain.
    pub(super) fn rank(&self, now: Instant) -> Option<Rank> {
        if self.stale || self.foreign {
            return None;
        }
        let paused = self.pause.is_some_and(|(until, _)| now < until);
        let empty = self.bucket.as_ref().is_some_and(|bucket| !bucket.wait(1, now).is_zero());
        Some(match self.breaker.standing(now) {
            Standing::Open | Standing::HalfOpen => Rank::Shut,
            Standing::Ready => Rank::Untried,
            Standing::Closed if paused || empty || self.score < GOOD_SCORE_PER_MILLE => {
                Rank::Strained
            }
            Standing::Closed => Rank::Good,
        })
    }

    /// It named a time before which it wants no question.
    pub(super) fn forbidden(&self, now: Instant) -> bool {
        self.pause.is_some_and(|(until, named)| named && now < until)
    }

    /// `calls` are about to be sent: how long to wait first; `None` when that is above `patience`.
    pub(super) fn ask(
        &mut self,
        calls: usize,
        now: Instant,
        patience: Duration,
    ) -> Option<Duration> {
        let wait = match &mut self.bucket {
            Some(bucket) => bucket.take(calls, now, patience)?,
            None => Duration::ZERO,
        };
        self.breaker.asked(now);
        Some(wait)
    }

    /// It answered in this time.
    pub(super) fn answered(&mut self, took: Duration) {
        self.breaker.worked();
        self.weigh(WHOLE);
        self.pause = None;
        self.limited_in_a_row = 0;
        if let Some(place) = self.latencies.get_mut(self.answers % LATENCY_SAMPLES) {
            *place = took;
        }
        self.answers = self.answers.wrapping_add(1);
    }

    /// It gave no answer, or another was faster by far.
    pub(super) fn failed(&mut self, now: Instant) {
        self.breaker.failed(now);
        self.weigh(0);
    }

    /// It said that it is asked too much; `retry_after` when it named a time. That is no failure:
    /// it works.
    pub(super) fn limited(&mut self, now: Instant, retry_after: Option<Duration>) {
        let pause = match retry_after {
            Some(named) => named.min(RETRY_AFTER_MAX),
            None => {
                let factor = 1_u32.checked_shl(self.limited_in_a_row).unwrap_or(u32::MAX);
                LIMITED_PAUSE_FIRST.saturating_mul(factor).min(LIMITED_PAUSE_MAX)
            }
        };
        self.limited_in_a_row = self.limited_in_a_row.saturating_add(1);
        self.pause = Some((now + pause, retry_after.is_some()));
    }

    /// The survey found it this many blocks behind.
    pub(super) fn behind(&mut self, lag_blocks: u64, most: u64) {
        self.lag_blocks = lag_blocks;
        self.stale = lag_blocks > most;
    }

    /// Whether it is too far behind to be asked for state.
    pub(super) fn is_behind(&self) -> bool {
        self.stale
    }

    /// Whether it was seen to serve another chain.
    pub(super) fn serves_another_chain(&mut self, foreign: bool) {
        self.foreign = foreign;
    }

    /// It refuses batches; that is tried again after a while.
    pub(super) fn refuses_batches(&mut self, now: Instant) {
        self.singles_until = Some(now + BATCHES_TRIED_AGAIN);
    }

    /// Whether it takes one call at a time.
    pub(super) fn takes_singles_only(&self, now: Instant) -> bool {
        self.singles_until.is_some_and(|until| now < until)
    }

    /// The time within which 95 of 100 of its answers come; zero before it is known.
    pub(super) fn usual_latency(&self) -> Duration {
        const PERCENTILE: usize = 95;
        if self.answers < LATENCY_SAMPLES {
            return Duration::ZERO;
        }
        let mut sorted = self.latencies;
        sorted.sort_unstable();
        sorted.get(LATENCY_SAMPLES * PERCENTILE / 100).copied().unwrap_or_default()
    }

    /// For metrics.
    pub(super) fn standing(&self, now: Instant) -> Standing {
        self.breaker.standing(now)
    }

    /// For metrics.
    pub(super) fn score(&self) -> u32 {
        self.score
    }

    /// Whether the survey must look at it again soon.
    pub(super) fn in_doubt(&self, now: Instant) -> bool {
        self.stale || self.foreign || self.breaker.standing(now) != Standing::Closed
    }

    fn weigh(&mut self, outcome: u32) {
        const OLD: u32 = 7;
        self.score = (self.score * OLD + outcome).div_ceil(OLD + 1);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::limits::BREAKER_FAILURES;

    fn health() -> (Health, Instant) {
        let now = Instant::now();
        (Health::new(None, now), now)
    }

    #[test]
    fn an_endpoint_that_often_fails_comes_after_the_others_until_it_works_again() {
        let (mut health, now) = health();
        assert_eq!(health.rank(now), Some(Rank::Good));
        for _ in 0..20 {
            health.failed(now);
            health.failed(now);
            health.answered(Duration::ZERO);
        }
        assert_eq!(health.rank(now), Some(Rank::Strained), "its breaker never opened");
        for _ in 0..10 {
            health.answered(Duration::ZERO);
        }
        assert_eq!(health.rank(now), Some(Rank::Good));
        for _ in 0..BREAKER_FAILURES {
            health.failed(now);
        }
        assert_eq!(health.rank(now), Some(Rank::Shut));
        assert_eq!(health.rank(now + Duration::from_secs(1)), Some(Rank::Untried));
    }

    #[test]
    fn a_limit_is_no_failure_and_a_named_time_is_kept() {
        let (mut health, now) = health();
        health.limited(now, None);
        assert_eq!(health.rank(now), Some(Rank::Strained));
        assert!(!health.forbidden(now), "it may be asked when there is no other");
        assert_eq!(health.rank(now + LIMITED_PAUSE_FIRST), Some(Rank::Good));
        health.limited(now, Some(Duration::from_secs(7)));
        assert!(health.forbidden(now + Duration::from_secs(6)));
        assert!(!health.forbidden(now + Duration::from_secs(7)));
        health.limited(now, Some(Duration::from_secs(u64::MAX)));
        assert!(!health.forbidden(now + RETRY_AFTER_MAX), "no endpoint shuts itself out for ever");
        for _ in 0..40 {
            health.limited(now, None);
        }
        assert_eq!(health.rank(now + LIMITED_PAUSE_MAX), Some(Rank::Good));
        assert_eq!(health.standing(now), Standing::Closed);
    }

    #[test]
    fn one_that_is_behind_is_not_asked_for_state() {
        let (mut health, now) = health();
        health.behind(4, 4);
        assert_eq!(health.rank(now), Some(Rank::Good));
        health.behind(5, 4);
        assert_eq!(health.rank(now), None);
        assert!(health.in_doubt(now));
        health.behind(0, 4);
        assert_eq!(health.rank(now), Some(Rank::Good));
    }

    #[test]
    fn the_usual_latency_is_that_of_the_slow_ones() {
        let (mut health, _) = health();
        for n in 1..=LATENCY_SAMPLES {
            assert_eq!(health.usual_latency(), Duration::ZERO, "not known yet");
            health.answered(Duration::from_millis(if n % 10 == 0 { 300 } else { 20 }));
        }
        assert_eq!(health.usual_latency(), Duration::from_millis(300));
    }
}
