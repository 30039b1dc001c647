//! What the world does to one process: it freezes it, slows it down, breaks its ledger calls.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use crate::rng::Dice;

/// Shared by a process's view of the ledger and of the chain.
pub(crate) struct Control {
    pub(crate) name: u64,
    dice: Dice,
    state: Mutex<Weather>,
}

#[derive(Clone, Copy)]
struct Weather {
    frozen_until: Instant,
    /// Ledger calls that fail, and calls that take long, per mille.
    failing: u64,
    slow: u64,
}

/// What becomes of one ledger call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fate {
    Fine,
    /// It fails and nothing was stored.
    LostBefore,
    /// It takes effect and the answer gets lost.
    LostAfter,
}

impl Control {
    pub(crate) fn new(name: u64, dice: Dice) -> Self {
        let state = Weather { frozen_until: Instant::now(), failing: 0, slow: 0 };
        Self { name, dice, state: Mutex::new(state) }
    }

    fn weather(&self) -> Weather {
        *self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn set_faults(&self, failing: u64, slow: u64) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        (state.failing, state.slow) = (failing, slow);
    }

    /// Whatever the process asks next is answered only after `long`; it does not notice.
    pub(crate) fn freeze(&self, long: Duration) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.frozen_until = Instant::now() + long;
    }

    pub(crate) fn thaw(&self) {
        self.freeze(Duration::ZERO);
    }

    /// Time that passes at the border of the process; it may die or be frozen here.
    pub(crate) async fn border(&self) {
        /// Milliseconds of a slow call, and of one that lets others go first.
        const SLOW: (u64, u64) = (1, 3000);
        const BRIEF: (u64, u64) = (0, 20);
        const BRIEF_PER_MILLE: u64 = 60;
        let pause = if self.dice.chance(self.weather().slow) {
            Some(self.dice.between(SLOW.0, SLOW.1))
        } else if self.dice.chance(BRIEF_PER_MILLE) {
            Some(self.dice.between(BRIEF.0, BRIEF.1))
        } else {
            None
        };
        if let Some(millis) = pause {
            tokio::time::sleep(Duration::from_millis(millis)).await;
        }
        loop {
            let until = self.weather().frozen_until;
            if until <= Instant::now() {
                return;
            }
            tokio::time::sleep_until(until).await;
        }
    }

    pub(crate) fn fate(&self) -> Fate {
        if !self.dice.chance(self.weather().failing) {
            Fate::Fine
        } else if self.dice.chance(500) {
            Fate::LostBefore
        } else {
            Fate::LostAfter
        }
    }
}
