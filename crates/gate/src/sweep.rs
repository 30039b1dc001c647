//! The sweeper: looks after claims whose holder is gone. Any process may sweep for any other that
//! shares its ledger; who takes a claim over is in charge of it.
//!
//! Where nothing was sent (VERIFIED) the claim is released. Where the answer is kept and settle was
//! never asked (EXECUTED) it waits for the buyer, who gets that answer for the asking, and is
//! released when there is too little time left to settle; so does one whose money is on the books
//! (DEFERRED). Where a handler was interrupted that must not run again and is paid for (EXECUTING),
//! the payer is owed. Where settle was asked (SETTLING,
//! UNRESOLVED) the question is repeated as it was kept, under the same settle id, and the outcome
//! is recorded. It never grants: only a request can take an answer away.
//!
//! It also forgets kept answers whose time is over.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use faregate_ledger::{Claim, ClaimState, LedgerError};
use faregate_protocol::Reason;
use futures::{StreamExt, stream};
use serde_json::json;
use tokio::task::JoinHandle;
use tokio::time::Instant;

use crate::flow::settle;
use crate::gate::{Gate, now_unix_secs};
use crate::limits;

impl Gate {
    /// Sweeps now and every few seconds, and forgets old answers every few minutes, until
    /// `shutdown` resolves.
    pub fn spawn_sweeper(
        self: &Arc<Self>,
        shutdown: impl Future<Output = ()> + Send + 'static,
    ) -> JoinHandle<()> {
        let gate = Arc::clone(self);
        tokio::spawn(async move {
            let work = async { tokio::join!(gate.keep_sweeping(), gate.keep_forgetting()) };
            tokio::select! {
                biased;
                () = shutdown => {}
                _ = work => {}
            }
        })
    }

    async fn keep_sweeping(self: &Arc<Self>) {
        loop {
            self.sweep().await;
            tokio::time::sleep(self.limits.sweep_every).await;
        }
    }

    async fn keep_forgetting(&self) {
        loop {
            if let Err(error) = self.forget_old_answers().await {
                tracing::warn!(%error, "old answers could not be forgotten");
            }
            tokio::time::sleep(limits::FORGET_EVERY).await;
        }
    }

    /// One round.
    pub async fn sweep(self: &Arc<Self>) {
        if let Err(error) = self.release_abandoned().await {
            tracing::warn!(%error, "abandoned claims could not be released");
        }
        if let Err(error) = self.owe_interrupted().await {
            tracing::warn!(%error, "interrupted handlers could not be looked after");
        }
        match self.due_settlements().await {
            Ok(due) => {
                let ask = |claim| self.ask_about(claim);
                stream::iter(due).for_each_concurrent(limits::SWEEP_AT_ONCE, ask).await;
            }
            Err(error) => tracing::warn!(%error, "open settlements could not be read"),
        }
    }

    /// Forgets the answers of payments that have ended and whose authorization ended longer ago
    /// than [`GateConfig::answer_retention`](crate::GateConfig::answer_retention), and parts of
    /// answers that were not sold, in bounded steps. Returns how many answers and parts.
    ///
    /// # Errors
    /// [`LedgerError`]; some may have been forgotten.
    pub async fn forget_old_answers(&self) -> Result<u64, LedgerError> {
        let after_ms = u64::try_from(self.answer_retention.as_millis()).unwrap_or(u64::MAX);
        let mut total = 0_u64;
        for _ in 0..limits::FORGET_BATCHES {
            let forgotten = self.store.forget_answers(after_ms, limits::FORGET_BATCH).await?;
            total = total.saturating_add(forgotten);
            if forgotten < u64::from(limits::FORGET_BATCH) {
                break;
            }
        }
        Ok(total)
    }

    /// Settle was never asked for these.
    async fn release_abandoned(&self) -> Result<(), LedgerError> {
        // Apart, so that those that wait for their buyer leave the others their share of a round.
        let verified = self.unheld(ClaimState::Verified).await?;
        let mut kept = self.unheld(ClaimState::Executed).await?;
        kept.extend(self.unheld(ClaimState::Deferred).await?);
        let late = kept.into_iter().filter(settle::is_too_late);
        for claim in verified.into_iter().chain(late) {
            let Some(mut lease) = self.take_over(&claim.new.key, claim.state).await? else {
                continue;
            };
            let evidence = json!({ "reason": "holder gone" });
            // Whoever has moved it meanwhile is in charge of it.
            let _ = lease.step(claim.state, ClaimState::Released, None, evidence).await;
        }
        Ok(())
    }

    /// They are paid for, their handler was interrupted, and it must not run again. One that may
    /// run again waits for its buyer.
    async fn owe_interrupted(&self) -> Result<(), LedgerError> {
        let once = |claim: &Claim| {
            self.table.routes().any(|route| route.name == claim.new.route && !route.rerun)
        };
        let executing = self.unheld(ClaimState::Executing).await?;
        for claim in executing.into_iter().filter(once) {
            let Some(mut lease) = self.take_over(&claim.new.key, claim.state).await? else {
                continue;
            };
            let evidence = json!({ "reason": Reason::HandlerInterrupted.code() });
            let owed = lease.step(claim.state, ClaimState::Credit, None, evidence).await;
            if owed.is_ok() {
                let payment = claim.new.key.short();
                tracing::error!(payment, "paid, and not served; the payer is owed");
            }
        }
        Ok(())
    }

    async fn unheld(&self, state: ClaimState) -> Result<Vec<Claim>, LedgerError> {
        self.store.unheld_claims(&[state], limits::SWEEP_BATCH).await
    }

    /// Claims whose settlement was asked for, is not proven, and is to be asked about now.
    async fn due_settlements(&self) -> Result<Vec<Claim>, LedgerError> {
        let states = [ClaimState::Settling, ClaimState::Unresolved];
        let open = self.store.unheld_claims(&states, limits::SWEEP_OPEN).await?;
        let now = Instant::now();
        self.backoff.forget_stale(now);
        let is_due = |claim: &Claim| self.backoff.is_due(claim.new.key, longest_pause(claim), now);
        Ok(open.into_iter().filter(is_due).take(limits::SWEEP_ASKS).collect())
    }

    async fn ask_about(self: &Arc<Self>, claim: Claim) {
        // Buyers go first: without a free seat the question waits for another round.
        let Some(working) = self.working() else { return };
        let gate = Arc::clone(self);
        // A panic in there leaves the claim as it was.
        let asking = tokio::spawn(async move {
            let _working = working;
            if let Err(error) = gate.repeat(&claim).await {
                let payment = claim.new.key.short();
                tracing::warn!(%error, payment, "a settlement was not asked about");
            }
        });
        let _ = asking.await;
    }

    async fn repeat(&self, claim: &Claim) -> Result<(), LedgerError> {
        let key = &claim.new.key;
        let Some(mut lease) = self.take_over(key, claim.state).await? else { return Ok(()) };
        let Some(request) = self.store.find_request(key).await? else {
            tracing::warn!(payment = key.short(), "only the buyer can ask about this settlement");
            return Ok(());
        };
        if let Err(refusal) = settle::again(self, &mut lease, claim, &request).await {
            tracing::debug!(code = refusal.code(), "a settlement was asked about again");
        }
        Ok(())
    }
}

/// The outcome has to be proven soon after the authorization has ended; what is not is asked about
/// for ever, but rarely.
fn longest_pause(claim: &Claim) -> Duration {
    let fresh_until = claim.new.valid_before.saturating_add(limits::ASKED_OFTEN_AFTER_SECS);
    if now_unix_secs() <= fresh_until {
        limits::MAX_SWEEP_BACKOFF
    } else {
        limits::MAX_OLD_SWEEP_BACKOFF
    }
}
