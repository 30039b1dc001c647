//! Every limit of the dev chain in one place: it must stay small and answer quickly even when a
//! test talks nonsense to it.

use std::time::Duration;

/// Largest accepted HTTP request body, in bytes.
pub const MAX_BODY_BYTES: usize = 5 * 1024 * 1024;
/// Most requests in one JSON-RPC batch.
pub const MAX_BATCH: usize = 1_000;
/// Requests executed at the same time; further ones wait.
pub const MAX_CONCURRENT_REQUESTS: usize = 16;
/// Blocks whose state can still be read, and the deepest possible reorganisation.
pub const STATE_HISTORY_BLOCKS: usize = 64;
/// Blocks whose headers, transactions and receipts are kept.
pub const KEPT_BLOCKS: usize = 32_768;
/// Blocks by which `safe` and `finalized` stay behind `latest`.
pub const FINALITY_BLOCKS: u64 = 2;
/// Transactions that may wait in the pool.
pub const MAX_POOL_TRANSACTIONS: usize = 8_192;
/// Largest accepted raw transaction, in bytes.
pub const MAX_TRANSACTION_BYTES: usize = 128 * 1024;
/// Gas given to a call that names none, and the most a call may ask for.
pub const CALL_GAS_CAP: u64 = 50_000_000;
/// Most logs in one `eth_getLogs` answer.
pub const MAX_LOGS: usize = 10_000;
/// Most blocks in one `eth_feeHistory` answer.
pub const MAX_FEE_HISTORY_BLOCKS: u64 = 1_024;
/// Most percentiles in one `eth_feeHistory` request.
pub const MAX_FEE_PERCENTILES: usize = 100;
/// Most blocks in one `eth_simulateV1` request.
pub const MAX_SIMULATED_BLOCKS: usize = 16;
/// Most calls in one `eth_simulateV1` request.
pub const MAX_SIMULATED_CALLS: usize = 256;
/// Most blocks mined by one request.
pub const MAX_MINED_AT_ONCE: u64 = 4_096;
/// Snapshots kept; the oldest is forgotten when one more is taken.
pub const MAX_SNAPSHOTS: usize = 32;
/// A replacement must offer at least this many percent more than what it replaces.
pub const REPLACEMENT_BUMP_PERCENT: u128 = 10;
/// Tip suggested by `eth_maxPriorityFeePerGas`, in wei: what Base Sepolia suggests when idle.
pub const SUGGESTED_TIP_WEI: u128 = 1_000_000;
/// How long a shutdown waits for requests in flight.
pub const SHUTDOWN_GRACE: Duration = Duration::from_millis(700);
/// Shortest accepted block time.
pub const MIN_BLOCK_TIME: Duration = Duration::from_millis(10);
