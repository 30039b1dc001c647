//! Holding a lease: prolonged at a third of its life, and given up in time by the holder's own
//! monotonic clock even if the ledger is silent.

use std::sync::Arc;
use std::time::Duration;

use faregate_ledger::{Lease, SettlementStore};
use faregate_telemetry::crash_point;
use tokio::time::Instant;
use uuid::Uuid;

/// One process's hold on one lease.
pub(crate) struct Tenure {
    store: Arc<dyn SettlementStore>,
    name: String,
    owner: Uuid,
    ttl: Duration,
    held: Option<(Lease, Instant)>,
}

impl Tenure {
    pub(crate) fn new(store: Arc<dyn SettlementStore>, name: String, ttl: Duration) -> Self {
        Self { store, name, owner: Uuid::new_v4(), ttl, held: None }
    }

    /// The lease, if it is ours for now.
    pub(crate) async fn hold(&mut self) -> Option<Lease> {
        let asked = Instant::now();
        if let Some((lease, since)) = &self.held
            && asked.duration_since(*since) < self.ttl / 3
        {
            return Some(lease.clone());
        }
        let ttl_ms = u64::try_from(self.ttl.as_millis()).unwrap_or(u64::MAX);
        match self.store.lease(&self.name, self.owner, ttl_ms).await {
            // Counted from before the question: the ledger's count began later.
            Ok(Some(lease)) => {
                crash_point!("F12");
                self.held = Some((lease, asked));
            }
            Ok(None) => self.held = None,
            Err(error) => {
                tracing::error!(%error, lease = self.name, "a lease could not be taken");
                let over = |since: &Instant| since.elapsed() >= self.ttl * 2 / 3;
                if self.held.as_ref().is_some_and(|(_, since)| over(since)) {
                    self.held = None;
                }
            }
        }
        self.held.as_ref().map(|(lease, _)| lease.clone())
    }

    /// A write said that the lease is lost.
    pub(crate) fn lost(&mut self) {
        self.held = None;
    }

    /// Lets the next holder begin at once.
    pub(crate) async fn give_up(&mut self) {
        if let Some((lease, _)) = self.held.take()
            && let Err(error) = self.store.give_up(&lease).await
        {
            tracing::debug!(%error, lease = self.name, "a lease runs out by itself");
        }
    }
}
