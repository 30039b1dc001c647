//! Every limit of the engine, together.

use std::time::Duration;

/// Bounds and intervals.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Settlements that may wait for a lane; above it new ones are turned away.
    pub queue: usize,
    /// Transactions of one lane that may be in flight; public nodes promise no more than 16.
    pub in_flight: usize,
    /// How long a settle call waits when its caller names no deadline.
    pub settle_wait: Duration,
    /// Longest wait a caller's deadline can ask for.
    pub settle_wait_max: Duration,
    /// Wait before the first retry of a step that failed for want of the chain or the ledger.
    pub retry_first: Duration,
    /// Longest wait between two tries.
    pub retry_max: Duration,
    /// How often a lane's mined nonce is looked at while transactions are in flight.
    pub watch_every: Duration,
    /// How often everything that is open is looked at again: rebroadcast, third-party settlement,
    /// finality, death.
    pub sweep_every: Duration,
    /// A settlement that moved more recently is left to the fast path.
    pub sweep_quiet: Duration,
    /// Settlements looked at in one sweep.
    pub sweep_batch: u32,
    /// A reservation that nobody asks for and nothing was signed for is only watched after this.
    pub dormant_after: Duration,
    /// Observations, a sweep apart, that find a used nonce and none of our transactions before the
    /// nonce counts as used by somebody else.
    pub foreign_after: u32,
    /// Tries to sign or send after which a payment is set aside for an operator.
    pub tries: i64,
    /// Transactions that may be spent on one payment, reverted ones included: with the gas limit
    /// of a transaction this bounds what a payment can cost.
    pub transactions_per_payment: usize,
    /// Seconds of validity that must be left to begin a transaction.
    pub min_seconds_left: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            queue: 1024,
            in_flight: 16,
            settle_wait: Duration::from_secs(30),
            settle_wait_max: Duration::from_secs(120),
            retry_first: Duration::from_millis(100),
            retry_max: Duration::from_secs(5),
            watch_every: Duration::from_millis(250),
            sweep_every: Duration::from_secs(2),
            sweep_quiet: Duration::from_secs(2),
            sweep_batch: 256,
            dormant_after: Duration::from_secs(60),
            foreign_after: 3,
            tries: 20,
            transactions_per_payment: 3,
            min_seconds_left: 6,
        }
    }
}
