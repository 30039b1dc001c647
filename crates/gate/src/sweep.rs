//! The sweeper: looks after claims whose holder is gone.
//!
//! Where settle was never asked (VERIFIED, EXECUTED) the claim is released. Where it was (SETTLING,
//! UNRESOLVED) the question is repeated under the same settle id and the outcome is recorded. It
//! never grants: only a request can take an answer away.
//!
//! To repeat a question it needs the signed payment, which the ledger does not hold yet. It
//! therefore repeats only those that this process still has in memory, a bounded number; all others
//! wait for the buyer's retry, which carries the payment, or for the facilitator's own reconciler.

use std::future::Future;
use std::sync::Arc;

use faregate_ledger::{Claim, ClaimState, LedgerError};
use faregate_protocol::PaymentKey;
use futures::{StreamExt, stream};
use serde_json::json;
use tokio::task::JoinHandle;
use tokio::time::Instant;

use crate::flow::settle;
use crate::gate::{Gate, now_unix_ms};
use crate::limits;
use crate::remembered::Asked;

const MS_PER_SEC: u64 = 1000;

impl Gate {
    /// Sweeps now and every few seconds until `shutdown` resolves.
    pub fn spawn_sweeper(
        self: &Arc<Self>,
        shutdown: impl Future<Output = ()> + Send + 'static,
    ) -> JoinHandle<()> {
        let gate = Arc::clone(self);
        tokio::spawn(async move {
            let mut shutdown = std::pin::pin!(shutdown);
            loop {
                let round = async {
                    gate.sweep().await;
                    tokio::time::sleep(gate.limits.sweep_every).await;
                };
                tokio::select! {
                    biased;
                    () = shutdown.as_mut() => return,
                    () = round => {}
                }
            }
        })
    }

    /// One round.
    pub async fn sweep(self: &Arc<Self>) {
        if let Err(error) = self.release_abandoned().await {
            tracing::warn!(%error, "abandoned claims could not be released");
        }
        let due = stream::iter(self.remembered.take_due(Instant::now()));
        let ask = |(key, asked): (PaymentKey, Asked)| async move {
            if let Err(error) = self.ask_about(&key, asked).await {
                tracing::warn!(%error, payment = key.short(), "a settlement was not asked about");
            }
        };
        due.for_each_concurrent(limits::SWEEP_AT_ONCE, ask).await;
    }

    /// Settle was never asked for these.
    async fn release_abandoned(&self) -> Result<(), LedgerError> {
        let states = [ClaimState::Verified, ClaimState::Executed];
        for claim in self.store.unheld_claims(&states, limits::SWEEP_BATCH).await? {
            let key = &claim.new.key;
            let Some(mut lease) = self.take_over(key, claim.state).await? else { continue };
            let evidence = json!({ "reason": "holder gone" });
            // Whoever has moved it meanwhile is in charge of it.
            let _ = lease.step(claim.state, ClaimState::Released, None, evidence).await;
        }
        Ok(())
    }

    async fn ask_about(
        self: &Arc<Self>,
        key: &PaymentKey,
        asked: Asked,
    ) -> Result<(), LedgerError> {
        let Some(claim) = self.store.find_claim(key).await? else { return Ok(()) };
        if claim.held {
            return Ok(());
        }
        let is_open = matches!(claim.state, ClaimState::Settling | ClaimState::Unresolved);
        let worth_until = claim.new.valid_before.saturating_add(limits::REMEMBERED_AFTER_SECS);
        if !is_open || now_unix_ms() / MS_PER_SEC > worth_until {
            self.remembered.forget(key);
            return Ok(());
        }
        self.repeat(claim, asked).await
    }

    async fn repeat(self: &Arc<Self>, claim: Claim, asked: Asked) -> Result<(), LedgerError> {
        let key = &claim.new.key;
        // Buyers go first: without a free seat the question waits for the next round.
        let Some(working) = self.working() else { return Ok(()) };
        let Some(mut lease) = self.take_over(key, claim.state).await? else { return Ok(()) };
        let gate = Arc::clone(self);
        let asking = tokio::spawn(async move {
            let _working = working;
            let outcome = settle::again(&gate, &mut lease, &claim, asked.request).await;
            if let Err(refusal) = outcome {
                tracing::debug!(code = refusal.code(), "a settlement was asked about again");
            }
        });
        // A panic in there leaves the claim as it was.
        let _ = asking.await;
        Ok(())
    }
}
