//! One clock for engines, ledger and chain: it follows the runtime's paused time.

use std::time::Duration;

use faregate_engine::clock::Clock;
use tokio::time::Instant;

/// When every run begins, in unix seconds.
pub(crate) const BEGIN: u64 = 1_770_000_000;

/// Unix time of the run.
#[derive(Clone, Copy, Debug)]
pub(crate) struct SimulatedClock {
    began: Instant,
}

impl SimulatedClock {
    /// Begins now; within a runtime whose time is paused.
    pub(crate) fn start() -> Self {
        Self { began: Instant::now() }
    }

    /// Since the run began.
    pub(crate) fn elapsed(&self) -> Duration {
        self.began.elapsed()
    }
}

impl Clock for SimulatedClock {
    fn now_unix_ms(&self) -> u64 {
        BEGIN * 1000 + u64::try_from(self.elapsed().as_millis()).unwrap()
    }
}
