//! One worker for each chain, on whichever process holds the lease: it looks for proof and records
//! it. The only one who says that a payment was made, that it never will be, or that the chain
//! took it back. It signs and sends nothing.

mod blocks;
mod counted;
mod look;
mod pace;
mod proven;
mod together;

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use faregate_ledger::{Lease, LedgerError, Settlement, SettlementState};
use faregate_protocol::PaymentKey;
use futures::StreamExt as _;
use tokio::sync::watch;
use tokio::time::Instant;

use self::counted::Counted;
use crate::desk::Desk;
use crate::tenure::Tenure;

/// For so many blocks the watcher of blocks is trusted to find a payment that was sent.
const BLOCKS_LEFT_ALONE: u32 = 2;

pub(crate) async fn run(desk: Arc<Desk>, stopped: watch::Receiver<bool>) {
    let reconciler = Reconciler::new(desk);
    // The blocks are watched by whoever holds the lease.
    let (tell, held) = watch::channel(None);
    let watched = blocks::watch(&reconciler, held, stopped.clone());
    tokio::join!(rounds(&reconciler, tell, stopped), watched);
}

async fn rounds(
    reconciler: &Reconciler,
    holds: watch::Sender<Option<Lease>>,
    mut stopped: watch::Receiver<bool>,
) {
    let limits = reconciler.desk.limits;
    let mut tenure = tenure(&reconciler.desk);
    loop {
        let mut more = false;
        let lease = tenure.hold().await;
        holds.send_if_modified(|held| {
            let changed = *held != lease;
            held.clone_from(&lease);
            changed
        });
        if let Some(lease) = lease {
            match reconciler.round(&lease).await {
                Ok(full) => more = full,
                Err(LedgerError::LeaseLost { .. }) => tenure.lost(),
                Err(error) => no_ledger(&error),
            }
        }
        if more && !*stopped.borrow() {
            continue;
        }
        tokio::select! {
            biased;
            _ = stopped.wait_for(|stop| *stop) => break,
            () = reconciler.desk.seen.notified() => {}
            () = tokio::time::sleep(limits.idle_every) => {}
        }
    }
    tenure.give_up().await;
}

/// Name of the lease that makes one reconciler of a chain.
pub(crate) fn lease_name(network: &str) -> String {
    format!("reconciler {network}")
}

pub(crate) fn tenure(desk: &Desk) -> Tenure {
    Tenure::new(Arc::clone(&desk.store), lease_name(desk.network()), desk.limits.lease_ttl)
}

pub(crate) struct Reconciler {
    pub(crate) desk: Arc<Desk>,
    /// Payments whose nonce is used though none of our transactions is to be found, since when.
    missing: Mutex<HashMap<PaymentKey, Instant>>,
    /// Transactions whose gas was counted.
    counted: Counted,
}

impl Reconciler {
    pub(crate) fn new(desk: Arc<Desk>) -> Self {
        Self { desk, missing: Mutex::default(), counted: Counted::default() }
    }

    /// Looks at everything that is due. `true`: there may be more.
    async fn round(&self, lease: &Lease) -> Result<bool, LedgerError> {
        let limits = &self.desk.limits;
        let network = self.desk.network();
        // What is in flight is found in its block, mostly the next.
        let quiet = limits.look_quiet.max(self.desk.blocks.gap().saturating_mul(BLOCKS_LEFT_ALONE));
        let quiet_ms = u64::try_from(quiet.as_millis()).unwrap_or(u64::MAX);
        let due = self.desk.store.due(network, quiet_ms, limits.look_batch).await?;
        let full = due.len() >= usize::try_from(limits.look_batch).unwrap_or(usize::MAX);
        let is_proven = |stored: &Settlement| stored.state == SettlementState::Mined;
        let (proven, open) = due.into_iter().partition(is_proven);
        let looked = self.look_at_open(lease, open).await;
        let looked = looked.and(self.look_at_proven(lease, proven).await);
        self.desk.metrics.unresolved_payments(self.desk.store.unresolved(network).await?);
        looked.map(|()| full)
    }

    /// One settlement that cannot be looked at holds up no other.
    async fn look_at_each(&self, lease: &Lease, all: Vec<Settlement>) -> Result<(), LedgerError> {
        let looks =
            futures::stream::iter(all).map(|stored| async move { self.look(lease, &stored).await });
        let mut outcomes = looks.buffer_unordered(self.desk.limits.looks_at_once);
        let mut first_error = None;
        while let Some(outcome) = outcomes.next().await {
            if let Err(error) = outcome {
                first_error.get_or_insert(error);
            }
        }
        first_error.map_or(Ok(()), Err)
    }
}

fn no_ledger(error: &LedgerError) {
    tracing::error!(%error, "the reconciler has no ledger");
}
