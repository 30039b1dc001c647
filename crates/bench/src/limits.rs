//! Every limit of a measurement.

use std::time::Duration;

/// What is under test must answer for the first time within this time.
pub(crate) const START: Duration = Duration::from_secs(120);
/// Between two looks at whether something has come.
pub(crate) const POLL: Duration = Duration::from_millis(50);
/// Longest wait for one answer; longer than any facilitator keeps a caller waiting.
pub(crate) const ANSWER: Duration = Duration::from_secs(90);
/// After the clock has stopped: time for the outcomes that are still missing.
pub(crate) const DRAIN: Duration = Duration::from_secs(120);
/// Between two looks at the books of a gate that serves on credit, which counts them every 2 s.
pub(crate) const BOOKS_EVERY: Duration = Duration::from_millis(500);
/// After that: every accepted payment has to come onto the chain, without so long a time in which
/// none does.
pub(crate) const TRANSFERS: Duration = Duration::from_secs(120);
/// Between a pending answer and the next request with the same payment.
pub(crate) const ASK_AGAIN: Duration = Duration::from_millis(100);
/// After a connection failed.
pub(crate) const AFTER_FAILURE: Duration = Duration::from_millis(50);
/// Largest answer that is read, in bytes.
pub(crate) const MAX_ANSWER_BYTES: usize = 16 * 1024 * 1024;
/// Largest body that the proxy passes on, in bytes.
pub(crate) const MAX_RPC_BYTES: usize = 16 * 1024 * 1024;
/// Most payments that are signed ahead unless another number is given; they take 2 KiB each.
pub(crate) const MAX_PAYMENTS: u64 = 100_000;
/// How long each authorization lives: longer than a measurement.
pub(crate) const PAYMENT_LIFE_SECS: u64 = 2 * 3600;
/// Different reasons of failures that are told.
pub(crate) const MAX_REASONS: usize = 16;
