//! The append-only journal: one row for each move, in the transaction that makes it.

/// One move.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JournalEntry {
    /// Position, ascending.
    pub id: i64,
    /// When, in unix milliseconds by the database's clock.
    pub at_unix_ms: i64,
    /// Who moved it: `gate`, `api`, `lane`, `reconciler`, `operator`, ...
    pub actor: String,
    /// `claim` or `settlement`.
    pub subject: String,
    /// State before; empty for an insert.
    pub from_state: String,
    /// State after.
    pub to_state: String,
    /// Why, as JSON: transaction, block, reason code. Never a payload or a key.
    pub evidence: String,
}
