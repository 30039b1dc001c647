//! Every limit of the gate in one place, so that a review of its appetite is a review of one file.

use std::time::Duration;

/// Default bound on payments that are worked on at once.
pub const MAX_PAYMENTS: usize = 4096;
/// Default bound on the request body of a paid request, in bytes: it is held in memory because
/// its hash is part of what the payment buys.
pub const MAX_REQUEST_BODY_BYTES: usize = 1024 * 1024;
/// Default bound on an answer that is held back until it is paid, in bytes.
pub const MAX_ANSWER_BYTES: usize = 8 * 1024 * 1024;
/// Default bound on such an answer that is held in memory, in bytes; a larger one waits in the
/// ledger.
pub const MAX_ANSWER_IN_MEMORY_BYTES: usize = 256 * 1024;
/// Largest part of an answer that waits in the ledger, in bytes: what of it is in memory at once.
pub const ANSWER_PART_BYTES: usize = 256 * 1024;
/// Default bound on the body of a failed handler that passes through unpaid, in bytes.
pub const MAX_FAILED_ANSWER_BYTES: usize = 64 * 1024;
/// How long a paid request's body may take to arrive.
pub const REQUEST_BODY_TIMEOUT: Duration = Duration::from_secs(30);
/// Default time an upstream has for its whole answer on a priced route.
pub const UPSTREAM_TIMEOUT: Duration = Duration::from_secs(30);
/// Longest upstream timeout a route may ask for.
pub const MAX_UPSTREAM_TIMEOUT: Duration = Duration::from_secs(3600);
/// What an authorization must live beyond the upstream timeout: the time to settle.
pub const SETTLE_MARGIN: Duration = Duration::from_secs(15);
/// How far ahead an authorization may be valid, in seconds.
pub const MAX_VALIDITY_SECS: u64 = 24 * 3600;
/// Default lease on a claim, in milliseconds; it is renewed every third of it.
pub const LEASE_MS: u64 = 5_000;
/// Shortest lease that is accepted, in milliseconds: a third must leave room for one write.
pub const MIN_LEASE_MS: u64 = 300;
/// Longest lease that is accepted, in milliseconds.
pub const MAX_LEASE_MS: u64 = 600_000;
/// How long a verification may take.
pub const VERIFY_TIMEOUT: Duration = Duration::from_secs(10);
/// How long the first question to settle may take; what the facilitator is told as its deadline.
pub const SETTLE_TIMEOUT: Duration = Duration::from_secs(10);
/// How long the one repeated question may take.
pub const SETTLE_AGAIN_TIMEOUT: Duration = Duration::from_secs(5);
/// What the gate waits beyond the deadline it gave, so that a facilitator's own "pending", which
/// names the transaction, arrives before the gate gives up.
pub const SETTLE_GRACE: Duration = Duration::from_secs(1);
/// `Retry-After` when a payment is being worked on, in seconds.
pub const RETRY_AFTER_SECS: u64 = 1;
/// `Retry-After` while a settlement is not proven, in seconds.
pub const PENDING_RETRY_AFTER_SECS: u64 = 2;
/// How often the sweeper looks.
pub const SWEEP_EVERY: Duration = Duration::from_secs(2);
/// How many abandoned claims the sweeper lets go in one round.
pub const SWEEP_BATCH: u32 = 100;
/// Settlements the sweeper asks about at once.
pub const SWEEP_AT_ONCE: usize = 8;
/// Open settlements the sweeper reads in one round.
pub const SWEEP_OPEN: u32 = 1000;
/// Settlements the sweeper asks about in one round.
pub const SWEEP_ASKS: usize = 64;
/// Longest wait of the sweeper between two questions about one settlement.
pub const MAX_SWEEP_BACKOFF: Duration = Duration::from_secs(60);
/// How long after the end of its authorization a settlement is asked about that often, in seconds.
pub const ASKED_OFTEN_AFTER_SECS: u64 = 24 * 3600;
/// Longest wait between two questions about one that is older.
pub const MAX_OLD_SWEEP_BACKOFF: Duration = Duration::from_secs(3600);
/// Settlements whose next question the sweeper has in memory.
pub const MAX_BACKOFFS: usize = 10_000;
/// How long a question stays due in memory that nobody asks for any more.
pub const STALE_BACKOFF: Duration = Duration::from_secs(300);
/// Default time for which an answer is kept after the end of its authorization.
pub const ANSWER_RETENTION: Duration = Duration::from_secs(24 * 3600);
/// How often answers are looked for whose time is over.
pub const FORGET_EVERY: Duration = Duration::from_secs(180);
/// Answers forgotten in one transaction, and as many parts of answers: each may be as large as an
/// answer or a part may.
pub const FORGET_BATCH: u32 = 100;
/// Such transactions in one go.
pub const FORGET_BATCHES: u32 = 1000;
/// Routes in one table.
pub const MAX_ROUTES: usize = 10_000;
/// Options of one route.
pub const MAX_OPTIONS: usize = 32;
/// Longest name of a route, in bytes.
pub const MAX_ROUTE_NAME_BYTES: usize = 128;
/// Longest description of a route, in bytes: it travels in a header.
pub const MAX_DESCRIPTION_BYTES: usize = 1024;
/// Longest reason code of a foreign facilitator that is passed on, in bytes.
pub const MAX_CODE_BYTES: usize = 80;
/// Largest part of a receipt that is not ours (`extra`, `extensions`), in bytes of JSON.
pub const MAX_RECEIPT_EXTRA_BYTES: usize = 8 * 1024;
/// Longest name of a transaction, in bytes.
pub const MAX_TRANSACTION_BYTES: usize = 256;
/// Largest answer of a facilitator, in bytes.
pub const MAX_FACILITATOR_ANSWER_BYTES: usize = 1024 * 1024;
/// Default time to connect to an upstream or a facilitator.
pub const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// How long an idle connection to an upstream is kept.
pub const POOL_IDLE_TIMEOUT: Duration = Duration::from_secs(30);
/// Idle connections kept for each upstream.
pub const POOL_MAX_IDLE: usize = 64;
/// Default time an upstream has to begin its answer on a free route.
pub const UPSTREAM_HEAD_TIMEOUT: Duration = Duration::from_secs(60);
/// How long a client may take to send the head of a request.
pub const HEADER_READ_TIMEOUT: Duration = Duration::from_secs(10);
/// Fields in the head of a request.
pub const MAX_HEADER_FIELDS: usize = 100;
/// Default bound on open client connections.
pub const MAX_CONNECTIONS: usize = 10_000;
/// Default time that open requests have to end after shutdown was asked for.
pub const DRAIN: Duration = Duration::from_secs(10);
/// Default time an authorization must have left for its money to follow its answer.
pub const DEFERRED_MIN_LEFT: Duration = Duration::from_secs(60);
/// Default number of deferred settlements that are asked for at once.
pub const DISPATCH_AT_ONCE: usize = 64;
/// How often the dispatcher looks if nobody wakes it.
pub const DISPATCH_EVERY: Duration = Duration::from_millis(250);
/// How often it looks if no route is deferred any more.
pub const DISPATCH_LEFTOVERS_EVERY: Duration = Duration::from_secs(5);
/// Rows that are taken from the queue in one transaction.
pub const DISPATCH_BATCH: usize = 32;
/// What the lease on such a row has beyond the time of one question.
pub const DISPATCH_MARGIN: Duration = Duration::from_secs(4);
/// First wait before a deferred settlement is asked about again; it doubles.
pub const DISPATCH_PAUSE: Duration = Duration::from_millis(500);
/// Longest such wait while the authorization lives.
pub const MAX_DISPATCH_PAUSE: Duration = Duration::from_secs(15);
/// Rows whose authorization has ended that become debts in one round.
pub const EXPIRE_BATCH: u32 = 100;
/// How often exposure and debts are measured.
pub const MEASURE_EVERY: Duration = Duration::from_secs(2);
/// Default time the dispatcher has to empty the queue after shutdown was asked for.
pub const DISPATCH_DRAIN: Duration = Duration::from_secs(10);
/// Settlements whose duration the prediction remembers.
pub const FORECAST_SAMPLES: usize = 256;
