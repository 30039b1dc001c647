//! SQLite.
/// The embedded store.
pub struct SqliteLedger;
