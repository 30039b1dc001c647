//! What a gate that serves on credit says of its books while it is measured: the most that was
//! served and not proven settled.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use tokio::task::JoinHandle;

use crate::connection::Connection;
use crate::limits::BOOKS_EVERY;
use crate::requests::Target;

const EXPOSURE: &str = "faregate_deferred_exposure_units{";

/// Looks at the books until it is dropped.
pub(crate) struct Books {
    peak: Arc<AtomicU64>,
    looking: JoinHandle<()>,
}

impl Books {
    /// `ops` is where the metrics are.
    pub(crate) fn watch(ops: &Target) -> Self {
        let peak = Arc::new(AtomicU64::new(0));
        let (seen, request) = (Arc::clone(&peak), ops.get_below("metrics"));
        let mut connection = Connection::to(ops.address);
        let looking = tokio::spawn(async move {
            loop {
                // What does not answer now is asked again.
                if let Ok(answer) = connection.exchange(&request).await {
                    seen.fetch_max(exposure(answer.body), Ordering::Relaxed);
                }
                tokio::time::sleep(BOOKS_EVERY).await;
            }
        });
        Self { peak, looking }
    }

    /// The most until now, in atomic units.
    pub(crate) fn peak(&self) -> u64 {
        self.peak.load(Ordering::Relaxed)
    }
}

impl Drop for Books {
    fn drop(&mut self) {
        self.looking.abort();
    }
}

/// Of all assets together.
fn exposure(metrics: &[u8]) -> u64 {
    let text = String::from_utf8_lossy(metrics);
    let lines = text.lines().filter(|line| line.starts_with(EXPOSURE));
    lines.filter_map(|line| line.rsplit(' ').next()?.parse::<u64>().ok()).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_exposure_of_all_assets_is_added_up() {
        let metrics = b"# TYPE faregate_deferred_exposure_units gauge\n\
            faregate_deferred_exposure_units{network=\"eip155:1\",asset=\"0xa\"} 70\n\
            faregate_deferred_exposure_units{network=\"eip155:1\",asset=\"0xb\"} 5\n\
            faregate_deferred_queue_depth 9\n";
        assert_eq!(exposure(metrics), 75);
        assert_eq!(exposure(b""), 0);
    }
}
