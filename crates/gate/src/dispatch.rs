//! The dispatcher: asks for the money of answers that have left, those first whose authorization
//! ends first, and says what came of it. Any process may dispatch for any other that shares its
//! ledger and its facilitator; a row belongs to one of them at a time.
//!
//! A question is asked under the settle id of the claim, so to ask twice charges once. What is not
//! proven when the authorization ends becomes a debt of the payer and is watched on, rarely.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use faregate_ledger::{DeferralState, Due, LedgerError, Tried};
use faregate_protocol::Reason;
use faregate_telemetry::crash_point;
use tokio::task::{JoinHandle, JoinSet};
use tokio::time::Instant;

use crate::books::Books;
use crate::flow::settle::{self, Reply};
use crate::gate::{Gate, now_unix_ms};
use crate::limits;

const MS_PER_SEC: u64 = 1000;

impl Gate {
    /// Dispatches until `shutdown` resolves and for at most
    /// [`DeferredConfig::drain`](crate::DeferredConfig::drain) after it, or until nothing is due.
    /// A gate without books has nothing to dispatch.
    pub fn spawn_dispatcher(
        self: &Arc<Self>,
        shutdown: impl Future<Output = ()> + Send + 'static,
    ) -> JoinHandle<()> {
        let gate = Arc::clone(self);
        tokio::spawn(async move {
            let Some(books) = &gate.books else { return };
            let mut asking = JoinSet::new();
            let mut measured = None;
            let mut shutdown = std::pin::pin!(shutdown);
            loop {
                // Never dropped in the middle: what was taken has to be asked for.
                gate.dispatch(books, &mut asking, &mut measured).await;
                tokio::select! {
                    biased;
                    () = shutdown.as_mut() => break,
                    () = wait(books, &mut asking) => {}
                }
            }
            let left = gate.drain(books, &mut asking);
            if tokio::time::timeout(books.config.drain, left).await.is_err() {
                tracing::warn!("deferred settlements were still due at the end of the drain");
            }
        })
    }

    /// One round: everything that is due now is asked for once, and the answers are stored.
    pub async fn dispatch_once(self: &Arc<Self>) {
        let Some(books) = &self.books else { return };
        let mut asking = JoinSet::new();
        self.dispatch(books, &mut asking, &mut None).await;
        while asking.join_next().await.is_some() {}
    }

    async fn drain(self: &Arc<Self>, books: &Books, asking: &mut JoinSet<()>) {
        loop {
            let taken = self.take(books, asking).await.unwrap_or_default();
            if taken == 0 && asking.is_empty() {
                return;
            }
            asking.join_next().await;
        }
    }

    async fn dispatch(
        self: &Arc<Self>,
        books: &Books,
        asking: &mut JoinSet<()>,
        measured: &mut Option<Instant>,
    ) {
        match books.store.expire_deferrals(limits::EXPIRE_BATCH).await {
            Ok(0) => {}
            Ok(count) => tracing::error!(count, "served, and not paid in time: bad debts"),
            Err(error) => tracing::warn!(%error, "deferred payments could not be looked through"),
        }
        if measured.is_none_or(|at| at.elapsed() >= limits::MEASURE_EVERY) {
            *measured = Some(Instant::now());
            if let Err(error) = self.measure(books).await {
                tracing::warn!(%error, "the books could not be read");
            }
        }
        if let Err(error) = self.take(books, asking).await {
            tracing::warn!(%error, "deferred payments could not be taken from the queue");
        }
    }

    /// Fills the free seats from the queue. Returns how many were taken.
    async fn take(
        self: &Arc<Self>,
        books: &Books,
        asking: &mut JoinSet<()>,
    ) -> Result<usize, LedgerError> {
        while asking.try_join_next().is_some() {}
        let lease = self.limits.settle_timeout + limits::SETTLE_GRACE + limits::DISPATCH_MARGIN;
        let lease_ms = u64::try_from(lease.as_millis()).unwrap_or(u64::MAX);
        let mut total = 0;
        loop {
            let free = books.config.at_once.saturating_sub(asking.len());
            let wanted = free.min(limits::DISPATCH_BATCH);
            if wanted == 0 {
                return Ok(total);
            }
            let batch = u32::try_from(wanted).unwrap_or(u32::MAX);
            let due = books.store.take_due(self.facilitator.name(), batch, lease_ms).await?;
            let taken = due.len();
            total += taken;
            for due in due {
                let gate = Arc::clone(self);
                asking.spawn(async move {
                    // A panic in there leaves the row as it was, and its lease runs out.
                    let Some(books) = &gate.books else { return };
                    gate.settle_due(books, &due).await;
                });
            }
            if taken < wanted {
                return Ok(total);
            }
        }
    }

    async fn settle_due(&self, books: &Books, due: &Due) {
        crash_point!("A3");
        let payment = due.hold.key.short();
        let started = Instant::now();
        let tried = match books.store.find_request(&due.hold.key).await {
            Ok(Some(request)) => {
                let reply = settle::about_deferred(self, &request, due).await;
                crash_point!("A4");
                tried(due, reply)
            }
            Ok(None) => {
                tracing::error!(payment, "a deferred payment was not kept; it cannot be settled");
                again(due, true, None, "not kept".to_owned())
            }
            // The lease runs out by itself.
            Err(error) => {
                tracing::warn!(%error, payment, "a deferred payment could not be read");
                return;
            }
        };
        match &tried {
            Tried::Settled { .. } => books.forecast.settled(started.elapsed()),
            Tried::NotCharged => {
                tracing::error!(payment, "served, and never to be paid: a bad debt");
            }
            Tried::Again { .. } => {}
        }
        if let Err(error) = books.store.record_try(&due.hold, &tried).await {
            tracing::warn!(%error, payment, "what a deferred settlement came to was not stored");
        }
    }

    async fn measure(&self, books: &Books) -> Result<(), LedgerError> {
        let figures = books.store.queue_figures().await?;
        books.forecast.queue_is(figures.depth);
        self.metrics.deferred_queue(figures.depth, figures.quarantined, figures.oldest_ms);
        for exposure in &figures.exposure {
            let units = units(exposure.unsettled);
            self.metrics.exposure(&exposure.network, &exposure.asset, units);
        }
        let open = books.store.open_debts().await?;
        let debts = open.iter().map(|debts| {
            let of = (debts.debtor.name(), &*debts.network, &*debts.asset);
            (of, debts.count, units(debts.amount))
        });
        self.metrics.open_debts(debts);
        Ok(())
    }
}

/// As far as a gauge goes.
fn units(amount: faregate_protocol::Amount) -> i64 {
    amount.to_string().parse().unwrap_or(i64::MAX)
}

async fn wait(books: &Books, asking: &mut JoinSet<()>) {
    let idle = asking.is_empty();
    // Without a deferred route there is only what an earlier configuration has left.
    let every = if books.config.assets.is_empty() {
        limits::DISPATCH_LEFTOVERS_EVERY
    } else {
        limits::DISPATCH_EVERY
    };
    tokio::select! {
        () = books.wake.notified() => {}
        Some(_) = asking.join_next(), if !idle => {}
        () = tokio::time::sleep(every) => {}
    }
}

fn tried(due: &Due, reply: Reply) -> Tried {
    match reply {
        Reply::Paid(receipt) => Tried::Settled { transaction: receipt.transaction },
        // The payer has paid for what was served. Whether the money is for this answer or for one
        // of another ledger is for the operator to find out.
        Reply::Elsewhere(receipt) => {
            let (payment, transaction) = (due.hold.key.short(), receipt.transaction);
            tracing::error!(payment, transaction, "deferred, and paid by a stranger's transaction");
            Tried::Settled { transaction }
        }
        Reply::NotCharged(_) => Tried::NotCharged,
        // No proof: a payer who has the money again tomorrow is charged tomorrow.
        Reply::Refused(receipt) => again(due, true, None, receipt.error_reason.unwrap_or_default()),
        Reply::NotBegun => again(due, false, None, "not taken up".to_owned()),
        Reply::Unknown { transaction, .. } => {
            let transaction = Some(transaction).filter(|hash| !hash.is_empty());
            again(due, false, transaction, Reason::SettlementPending.code().to_owned())
        }
    }
}

fn again(due: &Due, refused: bool, transaction: Option<String>, reason: String) -> Tried {
    let pause_ms = u64::try_from(pause(due).as_millis()).unwrap_or(u64::MAX);
    Tried::Again { refused, transaction, reason, pause_ms }
}

/// Twice as long each time; a debt is watched ever more rarely.
fn pause(due: &Due) -> Duration {
    let longest = if due.state != DeferralState::BadDebt {
        limits::MAX_DISPATCH_PAUSE
    } else if now_unix_ms().saturating_sub(due.settle_by_unix_ms)
        <= limits::ASKED_OFTEN_AFTER_SECS.saturating_mul(MS_PER_SEC)
    {
        limits::MAX_SWEEP_BACKOFF
    } else {
        limits::MAX_OLD_SWEEP_BACKOFF
    };
    let doubled = 2_u32.checked_pow(due.tries).unwrap_or(u32::MAX);
    limits::DISPATCH_PAUSE.saturating_mul(doubled).min(longest)
}
