//! The limits of this door, together.

use std::time::Duration;

/// Limits of the API.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Largest request body that is read, in bytes.
    pub max_body_bytes: usize,
    /// A body must be complete within this time.
    pub body_timeout: Duration,
    /// Verifications at once; above it 503 `queue_full`.
    pub max_verifying: usize,
    /// Settlements at once, those whose client has gone included; above it 503 `queue_full`.
    pub max_settling: usize,
    /// A verification without verdict by then is 503.
    pub verify_timeout: Duration,
    /// A settlement without outcome by then is answered as pending, and goes on. Above the 90 s
    /// that the official seller's client waits.
    pub settle_timeout: Duration,
    /// Time given beyond a caller's own deadline, so that the outcome that the deadline produced
    /// still gets out.
    pub settle_grace: Duration,
    /// A look at a settlement without answer by then is 503.
    pub lookup_timeout: Duration,
    /// `/supported` without answer by then is 503.
    pub supported_timeout: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            max_body_bytes: 256 * 1024,
            body_timeout: Duration::from_secs(10),
            max_verifying: 2048,
            max_settling: 2048,
            verify_timeout: Duration::from_secs(15),
            settle_timeout: Duration::from_secs(100),
            settle_grace: Duration::from_secs(5),
            lookup_timeout: Duration::from_secs(5),
            supported_timeout: Duration::from_secs(5),
        }
    }
}

/// What is still read and thrown away of a body above the limit, in bytes: a client that is busy
/// sending would otherwise see a reset connection instead of the 413.
pub(crate) const MAX_DISCARDED_BYTES: usize = 4 * 1024 * 1024;

/// `Retry-After` of an answer that asks to come again, in seconds.
pub(crate) const RETRY_AFTER_SECS: u16 = 1;
