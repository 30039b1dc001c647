//! Every limit of the engine, together.

use std::time::Duration;

/// Bounds and intervals.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Settlements without an outcome; above it new ones are turned away.
    pub queue: u64,
    /// Transactions of one lane that may be in flight; public nodes promise no more than 16.
    pub in_flight: usize,
    /// How long payments wait for companions when a lane has almost all of its transactions in
    /// flight; with fewer in flight proportionally shorter, with none not at all.
    pub gather: Duration,
    /// How often it is looked whether those that wait are enough.
    pub gather_look: Duration,
    /// How long a settle call waits when its caller names no deadline.
    pub settle_wait: Duration,
    /// Longest wait a caller's deadline can ask for.
    pub settle_wait_max: Duration,
    /// How long after its wait a caller still counts as waiting: it asks again soon.
    pub want_grace: Duration,
    /// A signer with less than this, in wei, gets no new work and is not ready.
    pub min_balance_wei: u128,
    /// Life of a lease on a lane or a chain; it is prolonged at a third of it.
    pub lease_ttl: Duration,
    /// How often a lane looks at its nonces while transactions are in flight.
    pub watch_every: Duration,
    /// How long a payment is passed over whose transaction was mined without effect and that would
    /// not settle now either.
    pub unfit_for: Duration,
    /// Shortest time between two questions for a new block.
    pub block_poll_min: Duration,
    /// The same while the time between blocks is not known, and longest time otherwise.
    pub block_poll_max: Duration,
    /// Longest time between blocks that is reckoned with.
    pub block_time_max: Duration,
    /// A slot whose nonce is mined is closed after this, even if the watcher of blocks has not seen
    /// the block yet.
    pub close_after: Duration,
    /// How often it is asked whether anything is in flight whose block must be watched for.
    pub in_flight_known_for: Duration,
    /// Blocks that are read again when a new one does not follow the last that was seen.
    pub rewind_blocks: u64,
    /// How often an idle lane or reconciler looks for work that nobody told it of.
    pub idle_every: Duration,
    /// Stored bytes that the endpoint does not know are sent again after this.
    pub resend_after: Duration,
    /// A transaction whose turn it is and that is not mined by then is replaced with higher fees.
    pub bump_after: Duration,
    /// Transactions that may be signed for one nonce, replacements included.
    pub attempts_per_slot: usize,
    /// How long the chain must deny a nonce that the ledger has closed before it opens again.
    pub heal_after: Duration,
    /// Most nonces that are healed at once; a larger difference is an operator's to look at.
    pub heal_span: u64,
    /// Wait before the next look at a settlement without news; doubled each time.
    pub look_first: Duration,
    /// Longest wait between two looks at a settlement without proof.
    pub look_max: Duration,
    /// Longest wait between two looks at a proven settlement whose block is not final.
    pub look_proven_max: Duration,
    /// A settlement that moved more recently is left to the lane.
    pub look_quiet: Duration,
    /// Settlements looked at in one round.
    pub look_batch: u32,
    /// Looks under way at once.
    pub looks_at_once: usize,
    /// Blocks that one question asks for: their headers name all their transactions.
    pub heights_at_once: usize,
    /// How long a used nonce and none of our transactions must be seen together before the nonce
    /// counts as used by somebody else.
    pub foreign_after: Duration,
    /// Deterministic failures to sign after which a payment is set aside for an operator.
    pub tries: i64,
    /// Transactions that may be mined for one payment, reverted ones included: with the gas limit
    /// of a transaction this bounds what a payment can cost.
    pub transactions_per_payment: usize,
    /// Blocks that a reorganisation may take back. Evidence may be this far below the block in
    /// which the authorization was seen unused: it is then of a later fork, and later than that.
    pub reorg_blocks: u64,
    /// Seconds of validity that must be left to begin a transaction.
    pub min_seconds_left: u64,
    /// Nobody else has payments to these payees settled, so a transaction of a stranger that moved
    /// the money is a payment like our own. Without this it is reported as
    /// `settled_elsewhere`: two ledgers that both saw it would sell one payment twice (P4).
    pub exclusive_pay_to: bool,
    /// Seconds after the end of validity at which a payment without an outcome is set aside for an
    /// operator; it is still watched.
    pub unexplained_after_secs: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            queue: 4096,
            in_flight: 16,
            gather: Duration::from_millis(200),
            gather_look: Duration::from_millis(50),
            settle_wait: Duration::from_secs(30),
            settle_wait_max: Duration::from_secs(120),
            want_grace: Duration::from_secs(10),
            min_balance_wei: 1_000_000_000_000_000,
            lease_ttl: Duration::from_secs(5),
            watch_every: Duration::from_millis(250),
            unfit_for: Duration::from_secs(10),
            block_poll_min: Duration::from_millis(50),
            block_poll_max: Duration::from_millis(100),
            block_time_max: Duration::from_secs(15),
            close_after: Duration::from_secs(1),
            in_flight_known_for: Duration::from_secs(1),
            rewind_blocks: 6,
            idle_every: Duration::from_secs(1),
            resend_after: Duration::from_secs(2),
            bump_after: Duration::from_secs(20),
            attempts_per_slot: 8,
            heal_after: Duration::from_secs(6),
            heal_span: 64,
            look_first: Duration::from_secs(2),
            look_max: Duration::from_secs(30),
            look_proven_max: Duration::from_secs(60),
            look_quiet: Duration::from_secs(2),
            look_batch: 256,
            looks_at_once: 8,
            heights_at_once: 16,
            foreign_after: Duration::from_secs(6),
            tries: 20,
            transactions_per_payment: 3,
            reorg_blocks: 64,
            min_seconds_left: 6,
            exclusive_pay_to: false,
            unexplained_after_secs: 3600,
        }
    }
}
