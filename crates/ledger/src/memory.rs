//! The store of simulations: all rows in memory, no I/O and no clock or randomness of its own, so
//! that a seed replays a run. It keeps the same rules as the stores on disk and passes the same
//! suite.

mod claims;
mod debts;
mod deferral;
mod leases;
mod parts;
mod payees;
mod proofs;
mod records;
mod rows;
mod settlements;
mod slots;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use faregate_protocol::PaymentKey;
use tokio::sync::broadcast;
use uuid::Uuid;

use self::rows::Rows;
use crate::LedgerError;
use crate::hint::{BACKLOG, Change, Hint};

/// Tells unix milliseconds; the clock of a simulation.
pub type MillisClock = Arc<dyn Fn() -> u64 + Send + Sync>;

/// A ledger that is gone with its last clone. Cheap to clone.
#[derive(Clone)]
pub struct MemoryLedger {
    rows: Arc<Mutex<Rows>>,
    clock: MillisClock,
    deployment: Uuid,
    hints: broadcast::Sender<Hint>,
}

impl std::fmt::Debug for MemoryLedger {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("MemoryLedger").field("deployment", &self.deployment).finish_non_exhaustive()
    }
}

impl MemoryLedger {
    /// An empty ledger that reads time, in unix milliseconds, from `clock` and nowhere else.
    #[must_use]
    pub fn new(clock: MillisClock, deployment: Uuid) -> Self {
        let (hints, _) = broadcast::channel(BACKLOG);
        Self { rows: Arc::default(), clock, deployment, hints }
    }

    /// The rows and the time, which stands still for as long as the rows are held.
    fn open(&self) -> (MutexGuard<'_, Rows>, i64) {
        // Every change is made after its last check, so a panic elsewhere leaves whole rows.
        let rows = self.rows.lock().unwrap_or_else(PoisonError::into_inner);
        (rows, stored((self.clock)()))
    }

    fn tell(&self, key: PaymentKey, change: Change) {
        let _ = self.hints.send(Hint { key, change });
    }
}

/// The range that the stores on disk have for a number.
fn stored(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

/// What a reader of the stored number gets back.
fn clamped(number: u64) -> u64 {
    number.min(i64::MAX.unsigned_abs())
}

fn refused(constraint: &'static str) -> LedgerError {
    LedgerError::Unavailable { detail: format!("constraint failed: {constraint}") }
}
