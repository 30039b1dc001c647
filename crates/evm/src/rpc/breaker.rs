//! Whether an endpoint that keeps failing is asked at all, and when it is tried again.
//!
//! Closed: asked. Open: not asked until a time that doubles with each failed try, within bounds.
//! Half-open: that time is over and exactly one question is under way to find out.

use std::time::Duration;

use tokio::time::Instant;

use crate::limits::{
    BREAKER_FAILURES, BREAKER_OPEN_FIRST, BREAKER_OPEN_MAX, BREAKER_PROBE_GIVEN_UP,
};

/// Where a breaker stands, for the choice of an endpoint and for metrics.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Standing {
    /// It is asked.
    Closed,
    /// The next question would be the one that finds out.
    Ready,
    /// That question is under way.
    HalfOpen,
    /// It is not asked.
    Open,
}

/// The failures of one endpoint in a row, and what follows from them.
#[derive(Debug, Default)]
pub(super) struct Breaker {
    failures: u32,
    /// How often it opened since it last worked.
    opened: u32,
    open_until: Option<Instant>,
    probe_since: Option<Instant>,
}

impl Breaker {
    /// Where it stands at `now`.
    pub(super) fn standing(&self, now: Instant) -> Standing {
        let Some(until) = self.open_until else { return Standing::Closed };
        if now < until {
            return Standing::Open;
        }
        // A question whose asker went away must not keep the endpoint out for ever.
        match self.probe_since {
            Some(since) if now < since + BREAKER_PROBE_GIVEN_UP => Standing::HalfOpen,
            _ => Standing::Ready,
        }
    }

    /// The endpoint is asked now.
    pub(super) fn asked(&mut self, now: Instant) {
        if self.standing(now) == Standing::Ready {
            self.probe_since = Some(now);
        }
    }

    /// It answered.
    pub(super) fn worked(&mut self) {
        *self = Self::default();
    }

    /// It gave no answer.
    pub(super) fn failed(&mut self, now: Instant) {
        self.failures = self.failures.saturating_add(1);
        match self.standing(now) {
            Standing::Closed if self.failures < BREAKER_FAILURES => {}
            // Late news of questions from before it opened.
            Standing::Open => {}
            _ => self.open(now),
        }
    }

    fn open(&mut self, now: Instant) {
        self.open_until = Some(now + open_for(self.opened));
        self.opened = self.opened.saturating_add(1);
        self.probe_since = None;
    }
}

fn open_for(times_before: u32) -> Duration {
    let factor = 1_u32.checked_shl(times_before).unwrap_or(u32::MAX);
    BREAKER_OPEN_FIRST.saturating_mul(factor).min(BREAKER_OPEN_MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[derive(Clone, Copy, Debug)]
    enum Event {
        Ask,
        Work,
        Fail,
        Pass(u64),
    }

    fn event() -> impl Strategy<Value = Event> {
        prop_oneof![
            Just(Event::Ask),
            Just(Event::Work),
            Just(Event::Fail),
            Just(Event::Fail),
            (0_u64..40_000).prop_map(Event::Pass),
        ]
    }

    #[test]
    fn it_opens_after_failures_in_a_row_and_closes_with_one_answer() {
        let now = Instant::now();
        let mut breaker = Breaker::default();
        for _ in 1..BREAKER_FAILURES {
            breaker.failed(now);
        }
        breaker.worked();
        for _ in 0..BREAKER_FAILURES {
            assert_eq!(breaker.standing(now), Standing::Closed);
            breaker.failed(now);
        }
        assert_eq!(breaker.standing(now), Standing::Open);
        let later = now + BREAKER_OPEN_FIRST;
        assert_eq!(breaker.standing(later), Standing::Ready);
        breaker.asked(later);
        assert_eq!(breaker.standing(later), Standing::HalfOpen, "one question finds out");
        breaker.worked();
        assert_eq!(breaker.standing(later), Standing::Closed);
    }

    #[test]
    fn each_failed_try_doubles_the_wait_up_to_its_bound() {
        let mut now = Instant::now();
        let mut breaker = Breaker::default();
        for _ in 0..BREAKER_FAILURES {
            breaker.failed(now);
        }
        let mut waits = Vec::new();
        for _ in 0..8 {
            let began = now;
            while breaker.standing(now) == Standing::Open {
                now += Duration::from_millis(100);
            }
            waits.push((now - began).as_secs());
            breaker.asked(now);
            breaker.failed(now);
        }
        assert_eq!(waits, [1, 2, 4, 8, 16, 30, 30, 30]);
    }

    proptest! {
        #![proptest_config(ProptestConfig { max_shrink_iters: 10_000, ..ProptestConfig::default() })]

        /// Whatever happens when: it is never shut out for longer than its bound, never open
        /// without that many failures in a row, and half open for one question at a time.
        #[test]
        fn its_bounds_hold_for_any_history(events in prop::collection::vec(event(), 0..200)) {
            let mut now = Instant::now();
            let mut breaker = Breaker::default();
            let mut in_a_row = 0_u32;
            for event in events {
                let before = breaker.standing(now);
                match event {
                    Event::Ask => {
                        breaker.asked(now);
                        if before == Standing::Ready {
                            prop_assert_eq!(breaker.standing(now), Standing::HalfOpen);
                        } else {
                            prop_assert_eq!(breaker.standing(now), before);
                        }
                    }
                    Event::Work => {
                        breaker.worked();
                        in_a_row = 0;
                        prop_assert_eq!(breaker.standing(now), Standing::Closed);
                    }
                    Event::Fail => {
                        breaker.failed(now);
                        in_a_row += 1;
                        if before != Standing::Closed {
                            prop_assert_eq!(breaker.standing(now), Standing::Open);
                        }
                    }
                    Event::Pass(ms) => now += Duration::from_millis(ms),
                }
                let open = breaker.standing(now) != Standing::Closed;
                prop_assert_eq!(open, in_a_row >= BREAKER_FAILURES);
                let at_most = BREAKER_OPEN_MAX + BREAKER_PROBE_GIVEN_UP;
                prop_assert!(matches!(
                    breaker.standing(now + at_most),
                    Standing::Closed | Standing::Ready
                ));
            }
        }
    }
}
