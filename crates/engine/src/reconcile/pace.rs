//! When to ask for the next block: seldom right after one, often when the next is due.

use std::collections::VecDeque;
use std::time::Duration;

use tokio::time::Instant;

use crate::Limits;

/// Gaps that the time between blocks is read from.
const GAPS: usize = 8;
/// Of the time between blocks: how often it is asked while one is due.
const POLLS_PER_BLOCK: u32 = 20;

/// What is known of a chain's rhythm.
#[derive(Debug, Default)]
pub(super) struct Pace {
    gaps: VecDeque<Duration>,
    last_block: Option<Instant>,
}

impl Pace {
    /// So many new blocks were seen.
    pub(super) fn seen(&mut self, blocks: usize, now: Instant, limits: &Limits) {
        if let Some(last) = self.last_block {
            let blocks = u32::try_from(blocks.max(1)).unwrap_or(u32::MAX);
            if self.gaps.len() >= GAPS {
                self.gaps.pop_front();
            }
            self.gaps.push_back(
                (now.saturating_duration_since(last) / blocks).min(limits.block_time_max),
            );
        }
        self.last_block = Some(now);
    }

    /// Nobody watches for a while: the next gap would be of no chain's making.
    pub(super) fn rest(&mut self) {
        self.last_block = None;
    }

    /// The shortest time between blocks of late: a block that comes early must not be waited for,
    /// one that comes late costs a few questions.
    pub(super) fn gap(&self) -> Option<Duration> {
        self.gaps.iter().min().copied()
    }

    /// How long to wait before the next question.
    pub(super) fn wait(&self, now: Instant, limits: &Limits) -> Duration {
        let (Some(gap), Some(last)) = (self.gap(), self.last_block) else {
            return limits.block_poll_max;
        };
        let poll = (gap / POLLS_PER_BLOCK).clamp(limits.block_poll_min, limits.block_poll_max);
        let due = last + gap.saturating_sub(poll * 2);
        due.saturating_duration_since(now).max(poll)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Watches a chain with these gaps between blocks: questions asked, and the longest time that a
    /// block was there unseen.
    fn watch(gaps_ms: &[u64]) -> (u64, Duration) {
        let limits = Limits::default();
        let mut pace = Pace::default();
        let start = Instant::now();
        let (mut now, mut questions, mut longest) = (start, 0, Duration::ZERO);
        let mut block = start;
        let mut gaps = gaps_ms.iter().map(|ms| Duration::from_millis(*ms)).peekable();
        pace.seen(1, now, &limits);
        while gaps.peek().is_some() {
            now += pace.wait(now, &limits);
            questions += 1;
            let mut new = 0;
            while let Some(gap) = gaps.next_if(|gap| block + *gap <= now) {
                block += gap;
                longest = longest.max(now - block);
                new += 1;
            }
            if new > 0 {
                pace.seen(new, now, &limits);
            }
        }
        (questions, longest)
    }

    #[test]
    fn a_steady_chain_is_asked_a_few_times_a_block_and_noticed_within_a_tenth_of_a_second() {
        let (questions, longest) = watch(&[2000; 100]);
        assert!(questions <= 100 * 5 + 20, "{questions} for 100 blocks");
        assert!(longest <= Duration::from_millis(100), "{longest:?}");
    }

    #[test]
    fn a_chain_whose_blocks_come_early_and_late_is_followed() {
        let gaps: Vec<u64> = (0..200).map(|n| 1800 + (n * 7919) % 400).collect();
        let (questions, longest) = watch(&gaps);
        assert!(questions <= 200 * 8, "{questions} for 200 blocks");
        assert!(longest <= Duration::from_millis(100), "{longest:?}");
    }

    #[test]
    fn a_fast_chain_is_not_asked_faster_than_the_limit() {
        let (questions, longest) = watch(&[250; 400]);
        assert!(questions <= 400 * 5, "{questions} for 100 s");
        assert!(longest <= Duration::from_millis(100), "{longest:?}");
    }

    #[test]
    fn a_rest_is_no_rhythm() {
        let limits = Limits::default();
        let mut pace = Pace::default();
        let start = Instant::now();
        assert_eq!(pace.wait(start, &limits), limits.block_poll_max);
        pace.seen(1, start, &limits);
        pace.rest();
        pace.seen(1, start + Duration::from_secs(600), &limits);
        assert_eq!(pace.wait(start + Duration::from_secs(600), &limits), limits.block_poll_max);
        pace.seen(1, start + Duration::from_secs(1000), &limits);
        let wait = pace.wait(start + Duration::from_secs(1000), &limits);
        assert!(wait <= limits.block_time_max, "{wait:?}");
    }
}
