//! Why the ledger gave no answer.

/// A ledger call failed. Nothing may be granted or sent on the strength of a failed call.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LedgerError {
    /// Another process has the file open; two would break the rule of one writer.
    #[error("the ledger {path} is in use by another process")]
    InUse {
        /// The ledger's file.
        path: String,
    },
    /// The database could not be reached, opened or written. The move may or may not be stored:
    /// read the row again before deciding.
    #[error("the ledger is unavailable: {detail}")]
    Unavailable {
        /// What failed, without content of rows.
        detail: String,
    },
    /// A newer program has changed the schema; this one could misread it.
    #[error("the ledger has schema {version}, which is newer than this program")]
    NewerSchema {
        /// Number of the change that this program does not know.
        version: i64,
    },
    /// An older program made the schema, and who only reads does not change it.
    #[error("the ledger has schema {version}, which is older than this program; start it once")]
    OlderSchema {
        /// Number of the last change that it has.
        version: i64,
    },
    /// The database acknowledges commits that a crash would lose.
    #[error("the database may lose what it has acknowledged: {setting} is {found}")]
    NotDurable {
        /// The setting.
        setting: &'static str,
        /// Its value.
        found: String,
    },
    /// A copy lags behind, and decisions on it would be wrong.
    #[error("the database is a standby; the ledger needs the primary")]
    Standby,
    /// The URL cannot be used. It may hold a password, so it is not repeated.
    #[error("the URL of the ledger cannot be used: {reason}")]
    BadUrl {
        /// What is wrong with it.
        reason: String,
    },
    /// Somebody else holds the lease now, or it ran out. Nothing was stored: stop.
    #[error("the lease {name} is lost")]
    LeaseLost {
        /// Name of the lease.
        name: String,
    },
    /// A sealed value cannot be opened: its key is not configured, or it was changed.
    #[error("a sealed value cannot be opened with the configured sealing keys")]
    Unsealable,
    /// A stored row makes no sense to this version.
    #[error("the ledger holds a row that this version cannot read: {what}")]
    Corrupt {
        /// Which column of which table.
        what: &'static str,
    },
    /// The caller asked for a move that the state machine does not have: a bug of the caller.
    #[error("there is no move from {from} to {to}")]
    IllegalMove {
        /// Stored state.
        from: &'static str,
        /// Wanted state.
        to: &'static str,
    },
}
