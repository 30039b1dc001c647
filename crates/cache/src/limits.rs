//! Every limit of this crate, together: what Redis can cost us.

use std::time::Duration;

/// Time for one question that somebody waits for. A longer silence costs the connection.
pub const LOOKUP_BUDGET: Duration = Duration::from_millis(20);
/// Time for what nobody waits for: writes, and asking what others have told.
pub const BACKGROUND_BUDGET: Duration = Duration::from_millis(250);
/// Time to open a connection, TLS and password included.
pub const CONNECT_BUDGET: Duration = Duration::from_millis(500);
/// How long the start of a process waits for the first connection.
pub const START_PATIENCE: Duration = Duration::from_millis(500);
/// Time for `config check` to reach the server.
pub const PROBE_BUDGET: Duration = Duration::from_secs(3);
/// How long a lost layer is left alone, at first; doubled with each try that fails.
pub const RETRY_FIRST: Duration = Duration::from_secs(1);
/// Longest time for which it is.
pub const RETRY_MAX: Duration = Duration::from_secs(30);
/// How often it is asked what others have told.
pub const FOLLOW_EVERY: Duration = Duration::from_secs(1);

/// Largest fact as it is stored, in bytes.
pub const MAX_FACT_BYTES: usize = 4096;
/// Largest entry about a refusal as it is stored, in bytes.
pub const MAX_ENTRY_BYTES: usize = 256;
/// Entries that are read at once.
pub const ENTRIES_AT_ONCE: usize = 256;
/// Such reads in a row.
pub const READS_IN_A_ROW: usize = 16;
/// About so many entries are kept for each chain.
pub const KEPT_ENTRIES: usize = 4096;
/// They are all forgotten when nobody has told anything for this long.
pub const ENTRIES_KEPT_FOR: Duration = Duration::from_secs(5 * 60);
/// What may come from the server at once, in bytes: some times the largest honest answer.
pub const READ_AT_ONCE_BYTES: usize = 1024 * 1024;
/// And in each second.
pub const READ_PER_SEC_BYTES: usize = 1024 * 1024;
/// Most writes that wait.
pub const MAX_WAITING_WRITES: usize = 1024;
