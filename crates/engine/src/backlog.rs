//! How many settlements of a chain have no outcome yet. The ledger counts them, which takes longer
//! the more there are, so it is not asked for each new one: what this process begins between two
//! counts is added. A bound that several processes share was never exact; between two counts each
//! may begin some that the others do not see.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use faregate_ledger::{LedgerError, SettlementStore};
use tokio::time::Instant;

/// How long a count is good for, and only while it leaves room.
const GOOD_FOR: Duration = Duration::from_millis(200);

#[derive(Debug, Default)]
pub(crate) struct Backlog(Mutex<Option<(Instant, u64)>>);

impl Backlog {
    /// Whether there is room for one more; if so, it is counted.
    pub(crate) async fn has_room(
        &self,
        store: &dyn SettlementStore,
        network: &str,
        most: u64,
    ) -> Result<bool, LedgerError> {
        if self.known_room(most) {
            return Ok(true);
        }
        let now = Instant::now();
        let open = store.unresolved(network).await?;
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some((now, open));
        Ok(self.known_room(most))
    }

    fn known_room(&self, most: u64) -> bool {
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        match known.as_mut() {
            Some((when, open)) if when.elapsed() < GOOD_FOR && *open < most => {
                *open = open.saturating_add(1);
                true
            }
            _ => false,
        }
    }
}
