//! How a SQLite file is opened.

use std::path::Path;
use std::time::Duration;

use rusqlite::config::DbConfig;
use rusqlite::{Connection, OpenFlags};

use super::statements::unavailable;
use crate::LedgerError;

/// How long a statement waits for a lock of another process's reader or checkpoint.
const BUSY_TIMEOUT: Duration = Duration::from_secs(5);
/// Memory for pages of the writer, in KiB. Keys are random, so a transaction of many operations
/// changes hundreds of pages; what does not fit is written out before the commit, and again.
const CACHE_KIB: i64 = 4 * 1024;
/// The same of each reader: whatever is committed makes it forget its pages anyway.
const READ_CACHE_KIB: i64 = 512;
/// Statements that a connection keeps prepared: more than there are.
const PREPARED: usize = 256;

/// The connection that writes, durably.
pub(super) fn to_write(path: &Path) -> Result<Connection, LedgerError> {
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_CREATE;
    let connection = open(path, flags)?;
    for (setting, value) in [("journal_mode", "wal"), ("synchronous", "full")] {
        connection.pragma_update(None, setting, value).map_err(unavailable)?;
    }
    // What is sorted or set aside by a statement needs no file.
    connection.pragma_update(None, "temp_store", "memory").map_err(unavailable)?;
    // A negative size is in KiB.
    connection.pragma_update(None, "cache_size", -CACHE_KIB).map_err(unavailable)?;
    Ok(connection)
}

/// Connections to a file that is there, and that write nothing.
pub(super) fn to_read(path: &Path, count: usize) -> Result<Vec<Connection>, LedgerError> {
    let reader = |_| {
        let connection = open(path, OpenFlags::SQLITE_OPEN_READ_ONLY)?;
        connection.pragma_update(None, "cache_size", -READ_CACHE_KIB).map_err(unavailable)?;
        Ok(connection)
    };
    (0..count).map(reader).collect()
}

/// A database that is gone with its connection.
pub(super) fn in_memory() -> Result<Connection, LedgerError> {
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_CREATE;
    open(Path::new(":memory:"), flags)
}

fn open(path: &Path, flags: OpenFlags) -> Result<Connection, LedgerError> {
    // One thread has it, so it needs no lock of its own.
    let flags = flags | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(path, flags).map_err(unavailable)?;
    connection.busy_timeout(BUSY_TIMEOUT).map_err(unavailable)?;
    connection.pragma_update(None, "foreign_keys", true).map_err(unavailable)?;
    connection.set_prepared_statement_cache_capacity(PREPARED);
    // Otherwise a statement is planned anew for other values whenever an index has a condition.
    let qpsg = DbConfig::SQLITE_DBCONFIG_ENABLE_QPSG;
    connection.set_db_config(qpsg, true).map_err(unavailable)?;
    Ok(connection)
}
