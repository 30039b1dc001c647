//! Wall-clock time as a port. Leases and journal rows use the database's clock; this one decides
//! only what is read from the outside, such as the end of an authorization.

use std::time::{SystemTime, UNIX_EPOCH};

/// What time it is.
pub trait Clock: Send + Sync {
    /// Unix milliseconds.
    fn now_unix_ms(&self) -> u64;

    /// Unix seconds.
    fn now_unix(&self) -> u64 {
        self.now_unix_ms() / 1000
    }
}

/// The machine's clock.
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    fn now_unix_ms(&self) -> u64 {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
    }
}
