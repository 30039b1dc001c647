//! How many settlements of a chain have no outcome yet. The ledger counts them, which takes longer
//! the more there are, so it is not asked for each new one: what this process begins between two
//! counts is added. A bound that several processes share was never exact; between two counts each
//! may begin some that the others do not see.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use faregate_ledger::LedgerError;
use tokio::time::Instant;

/// How long a count is good for, and only while it leaves room.
const GOOD_FOR: Duration = Duration::from_millis(200);

#[derive(Debug, Default)]
pub(crate) struct Backlog(Mutex<Option<(Instant, u64)>>);

impl Backlog {
    /// Whether there is room for one more; if so, it is counted. `count` asks the ledger, if it must
    /// be asked.
    pub(crate) async fn has_room(
        &self,
        most: u64,
        count: impl Future<Output = Result<u64, LedgerError>>,
    ) -> Result<bool, LedgerError> {
        if self.known_room(most) {
            return Ok(true);
        }
        let open = count.await?;
        // However long it took to count: a slow ledger is no full queue.
        let has_room = open < most;
        let counted = (Instant::now(), open.saturating_add(u64::from(has_room)));
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(counted);
        Ok(has_room)
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

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_ledger_that_counts_slowly_is_no_full_queue() {
        let backlog = Backlog::default();
        let slowly = |open| async move {
            tokio::time::sleep(GOOD_FOR * 10).await;
            Ok(open)
        };
        assert!(backlog.has_room(2, slowly(1)).await.unwrap());
        assert!(!backlog.has_room(2, slowly(2)).await.unwrap());
    }

    #[tokio::test(start_paused = true)]
    async fn what_begins_between_two_counts_is_added() {
        let backlog = Backlog::default();
        let asked = std::sync::atomic::AtomicU64::new(0);
        let count = || async {
            asked.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
            Ok(1)
        };
        for _ in 0..3 {
            assert!(backlog.has_room(4, count()).await.unwrap());
        }
        assert_eq!(asked.load(std::sync::atomic::Ordering::Relaxed), 1);
        // Full as far as is known: it is counted again.
        assert!(backlog.has_room(4, count()).await.unwrap());
        assert_eq!(asked.load(std::sync::atomic::Ordering::Relaxed), 2);
    }
}
