//! The time of blocks: the wall clock, shifted by what a test asked for, never backwards.

use std::time::{SystemTime, UNIX_EPOCH};

/// Seconds the chain's clock differs from the wall clock, and the time the next block must have.
#[derive(Clone, Debug, Default)]
pub(crate) struct Clock {
    offset_seconds: i64,
    next_block: Option<u64>,
}

impl Clock {
    /// Shifted wall clock, in unix seconds.
    pub(crate) fn now(&self) -> u64 {
        wall_clock().saturating_add_signed(self.offset_seconds)
    }

    /// Moves the clock forward. Returns the whole shift, in seconds.
    pub(crate) fn advance(&mut self, seconds: u64) -> i64 {
        let step = i64::try_from(seconds).unwrap_or(i64::MAX);
        self.offset_seconds = self.offset_seconds.saturating_add(step);
        self.offset_seconds
    }

    /// Gives the next block this time; later blocks go on from there.
    pub(crate) fn set_next_block(&mut self, timestamp: u64) {
        self.next_block = Some(timestamp);
    }

    /// The time a block on top of `parent_timestamp` would have now.
    pub(crate) fn upcoming(&self, parent_timestamp: u64) -> u64 {
        self.next_block.unwrap_or_else(|| self.now()).max(parent_timestamp)
    }

    /// Same, and consumes what [`Clock::set_next_block`] asked for.
    pub(crate) fn take(&mut self, parent_timestamp: u64) -> u64 {
        let timestamp = self.upcoming(parent_timestamp);
        if let Some(wanted) = self.next_block.take() {
            let shift = i128::from(wanted) - i128::from(wall_clock());
            self.offset_seconds =
                i64::try_from(shift).unwrap_or(if shift < 0 { i64::MIN } else { i64::MAX });
        }
        timestamp
    }
}

fn wall_clock() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |elapsed| elapsed.as_secs())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_block_is_never_older_than_its_parent() {
        let clock = Clock::default();
        assert_eq!(clock.upcoming(u64::MAX), u64::MAX);
        assert!(clock.upcoming(0) > 1_600_000_000);
    }

    #[test]
    fn a_wanted_time_shifts_what_follows() {
        let mut clock = Clock::default();
        let wanted = clock.now() + 5_000;
        clock.set_next_block(wanted);
        assert_eq!(clock.take(0), wanted);
        assert!(clock.now() >= wanted);
        clock.advance(60);
        assert!(clock.take(0) >= wanted + 60);
    }

    #[test]
    fn nothing_overflows() {
        let mut clock = Clock::default();
        clock.advance(u64::MAX);
        clock.advance(u64::MAX);
        clock.set_next_block(u64::MAX);
        assert_eq!(clock.take(0), u64::MAX);
        assert!(clock.now() > 0);
    }
}
