//! One look at one settlement, and what it changes.

use std::collections::HashSet;
use std::sync::PoisonError;
use std::time::Duration;

use faregate_chain::{Evidence, Observation, Outcome, Watch};
use faregate_ledger::{
    EvidenceRow, Lease, LedgerError, Proven, Settlement, SettlementState as State,
};
use faregate_protocol::PaymentKey;
use faregate_telemetry::crash_point;
use serde_json::{Value, json};
use tokio::time::Instant;

use super::Reconciler;
use super::together::Sight;

impl Reconciler {
    pub(crate) async fn look(
        &self,
        lease: &Lease,
        stored: &Settlement,
    ) -> Result<Sight, LedgerError> {
        let (sight, moved) = match self.desk.chain.observe(watch_of(stored)).await {
            Ok(seen) => (sight(stored, &seen.outcome), self.record(lease, stored, seen).await?),
            Err(error) => {
                tracing::warn!(%error, payment = stored.new.key.short(), "not observed");
                (Sight::Alone, false)
            }
        };
        if !moved {
            let next_in = u64::try_from(self.next_look(stored).as_millis()).unwrap_or(u64::MAX);
            self.desk.store.looked(lease, &[stored.new.key], next_in).await?;
        }
        Ok(sight)
    }

    pub(super) fn next_look(&self, stored: &Settlement) -> Duration {
        let limits = &self.desk.limits;
        let most =
            if stored.state == State::Mined { limits.look_proven_max } else { limits.look_max };
        // A payment whose nonce is used and whose transaction is missing is not let out of sight.
        let lost = matches!(stored.state, State::Signed | State::Broadcast) && !stored.in_open_slot;
        if lost {
            return limits.look_first;
        }
        const MOST_DOUBLINGS: u32 = 16;
        let factor = 1_u32.checked_shl(stored.looks.min(MOST_DOUBLINGS)).unwrap_or(u32::MAX);
        limits.look_first.saturating_mul(factor).min(most)
    }

    /// `true`: the settlement moved.
    async fn record(
        &self,
        lease: &Lease,
        stored: &Settlement,
        seen: Observation,
    ) -> Result<bool, LedgerError> {
        let Observation { head, finalized, outcome } = seen;
        match (stored.state, outcome) {
            (State::Mined, Outcome::Paid(proof)) => {
                self.confirm(lease, stored, &proof, finalized).await
            }
            (State::Mined, _) => self.doubt(lease, stored, head).await,
            (_, Outcome::Paid(proof)) => self.prove(lease, stored, &proof).await,
            (_, Outcome::Dead(proof)) => {
                let evidence = json!({ "cause": proof.cause.name(), "at_block": proof.at_block });
                self.go(lease, stored, State::Dead, evidence).await
            }
            (state, Outcome::Unknown { in_pool, reverted }) => {
                if !in_pool.is_empty() {
                    return Ok(false);
                }
                if reverted.is_empty() {
                    return self.missing(lease, stored).await;
                }
                if !matches!(state, State::Signed | State::Broadcast) {
                    return self.rest(lease, stored).await;
                }
                for own in reverted.iter().filter(|own| self.counted.is_new(&own.transaction)) {
                    self.desk.metrics.gas_used(self.desk.network(), own.gas_used);
                }
                let hashes: Vec<_> = reverted.iter().map(|own| &own.transaction).collect();
                self.go(lease, stored, State::Reserved, json!({ "reverted": hashes })).await
            }
        }
    }

    async fn prove(
        &self,
        lease: &Lease,
        stored: &Settlement,
        proof: &Evidence,
    ) -> Result<bool, LedgerError> {
        let row = evidence_row(proof);
        crash_point!("F8");
        let key = &stored.new.key;
        if !self.desk.store.record_mined(lease, key, stored.state, &row).await? {
            return Ok(false);
        }
        self.proven(stored, proof);
        if proof.payments > 1 {
            crash_point!("B2");
        }
        Ok(true)
    }

    /// As [`Reconciler::prove`] for many, in one transaction of the ledger.
    pub(super) async fn prove_all(
        &self,
        lease: &Lease,
        all: &[(Settlement, Evidence)],
    ) -> Result<(), LedgerError> {
        if all.is_empty() {
            return Ok(());
        }
        let proofs: Vec<Proven> = all
            .iter()
            .map(|(stored, proof)| Proven {
                key: stored.new.key,
                from: stored.state,
                evidence: evidence_row(proof),
            })
            .collect();
        crash_point!("F8");
        let moved = self.desk.store.record_all_mined(lease, &proofs).await?;
        let moved: HashSet<PaymentKey> = moved.into_iter().collect();
        for (stored, proof) in all.iter().filter(|(stored, _)| moved.contains(&stored.new.key)) {
            self.proven(stored, proof);
            if proof.payments > 1 {
                crash_point!("B2");
            }
        }
        Ok(())
    }

    fn proven(&self, stored: &Settlement, proof: &Evidence) {
        let key = &stored.new.key;
        if stored.transactions.contains(&proof.transaction) {
            let (metrics, network) = (&self.desk.metrics, self.desk.network());
            metrics.gas_per_payment(network, proof.gas_used / proof.payments.max(1));
            if self.counted.is_new(&proof.transaction) {
                metrics.gas_used(network, proof.gas_used);
                metrics.payments_per_transaction(network, proof.payments);
            }
        }
        let (transaction, block) = (&proof.transaction, proof.block_number);
        tracing::info!(payment = key.short(), transaction, block, "settled");
        self.desk.wakers.wake(key);
    }

    /// The proof still stands; in a final block it stands for ever.
    async fn confirm(
        &self,
        lease: &Lease,
        stored: &Settlement,
        proof: &Evidence,
        finalized: u64,
    ) -> Result<bool, LedgerError> {
        if !is_of(proof, stored) {
            return self.take_back(lease, stored).await;
        }
        if proof.block_number > finalized {
            return Ok(false);
        }
        crash_point!("F11");
        self.go(lease, stored, State::Final, json!({ "finalized": finalized })).await
    }

    /// The proof is not to be found. Only an endpoint that has seen the proof's height can say
    /// that the block is gone; another one lags.
    async fn doubt(
        &self,
        lease: &Lease,
        stored: &Settlement,
        head: u64,
    ) -> Result<bool, LedgerError> {
        match &stored.evidence {
            Some(proof) if head < proof.block_number => Ok(false),
            _ => self.take_back(lease, stored).await,
        }
    }

    async fn take_back(&self, lease: &Lease, stored: &Settlement) -> Result<bool, LedgerError> {
        tracing::error!(payment = stored.new.key.short(), "a reorganisation undid a settlement");
        self.desk.store.undo_mined(lease, &stored.new.key).await
    }

    /// Nothing of ours is on the chain or on its way there, as far as the endpoint knows.
    async fn missing(&self, lease: &Lease, stored: &Settlement) -> Result<bool, LedgerError> {
        match stored.state {
            State::Signed | State::Broadcast if !stored.in_open_slot => {
                self.used_by_somebody_else(lease, stored).await
            }
            State::Signed | State::Broadcast => Ok(false),
            _ => self.rest(lease, stored).await,
        }
    }

    /// The nonce is used and no transaction of ours is to be found. A lagging endpoint looks the
    /// same for a while. The payment then needs another nonce; its authorization can still move
    /// money only once.
    async fn used_by_somebody_else(
        &self,
        lease: &Lease,
        stored: &Settlement,
    ) -> Result<bool, LedgerError> {
        let key = stored.new.key;
        let since = {
            let mut missing = self.missing.lock().unwrap_or_else(PoisonError::into_inner);
            *missing.entry(key).or_insert_with(Instant::now)
        };
        if since.elapsed() < self.desk.limits.foreign_after {
            return Ok(false);
        }
        self.missing.lock().unwrap_or_else(PoisonError::into_inner).remove(&key);
        tracing::error!(payment = key.short(), "the signer's nonce was used elsewhere");
        self.go(lease, stored, State::Reserved, json!({ "nonce_used_elsewhere": true })).await
    }

    /// Nothing of ours is alive and nobody asks: from now on it is only watched. One that stays
    /// without an outcome long after its end is shown to an operator.
    async fn rest(&self, lease: &Lease, stored: &Settlement) -> Result<bool, LedgerError> {
        let end = stored.new.valid_before;
        let overdue = end.saturating_add(self.desk.limits.unexplained_after_secs);
        if stored.state != State::Quarantined && self.desk.clock.now_unix() > overdue {
            tracing::error!(payment = stored.new.key.short(), "no outcome long after its end");
            return self
                .go(lease, stored, State::Quarantined, json!({ "unexplained": true }))
                .await;
        }
        if stored.state != State::Reserved || stored.wanted || stored.in_open_slot {
            return Ok(false);
        }
        self.go(lease, stored, State::Dormant, json!({ "nobody_asks": true })).await
    }

    async fn go(
        &self,
        lease: &Lease,
        stored: &Settlement,
        to: State,
        evidence: Value,
    ) -> Result<bool, LedgerError> {
        let key = &stored.new.key;
        let moved = self.desk.store.move_settlement(lease, key, stored.state, to, evidence).await?;
        self.desk.wakers.wake(key);
        Ok(moved)
    }
}

fn sight(stored: &Settlement, outcome: &Outcome) -> Sight {
    match outcome {
        Outcome::Paid(proof) => Sight::Proven(proof.clone()),
        Outcome::Unknown { in_pool, .. }
            if stored.transactions.last().is_some_and(|newest| in_pool.contains(newest)) =>
        {
            Sight::InPool
        }
        Outcome::Unknown { .. } | Outcome::Dead(_) => Sight::Alone,
    }
}

/// Whether this is the proof that is stored.
pub(super) fn is_of(proof: &Evidence, stored: &Settlement) -> bool {
    stored.evidence.as_ref().is_some_and(|known| {
        known.transaction == proof.transaction && known.block_hash == proof.block_hash
    })
}

/// The question about one settlement.
pub(super) fn watch_of(stored: &Settlement) -> Watch<'_> {
    Watch {
        request: &stored.new.request,
        transactions: &stored.transactions,
        head_at_claim: stored.new.head_at_claim,
    }
}

fn evidence_row(proof: &Evidence) -> EvidenceRow {
    EvidenceRow {
        transaction: proof.transaction.clone(),
        log_index: proof.log_index,
        block_number: proof.block_number,
        block_hash: proof.block_hash.clone(),
        gas_used: proof.gas_used,
    }
}
