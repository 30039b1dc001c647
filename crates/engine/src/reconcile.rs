//! One worker for each chain: it looks for proof and records it. The only one who says that a
//! payment was made, that it never will be, or that the chain took it back.

use std::collections::HashMap;
use std::sync::Arc;

use faregate_chain::{Evidence, Observation, Outcome, Watch};
use faregate_ledger::{EvidenceRow, LedgerError, Settlement, SettlementState as State, SlotRow};
use faregate_protocol::PaymentKey;
use serde_json::json;
use tokio::sync::watch;
use tokio::time::Instant;

use crate::desk::Desk;
use crate::lane::mark_sent;

pub(crate) async fn run(desk: Arc<Desk>, mut stopped: watch::Receiver<bool>) {
    let limits = desk.limits;
    let mut reconciler = Reconciler { desk, missing: HashMap::new() };
    let mut sweep_at = Instant::now();
    let mut in_flight = true;
    loop {
        if Instant::now() >= sweep_at {
            reconciler.sweep().await;
            sweep_at = Instant::now() + limits.sweep_every;
        }
        let look_at = if in_flight { Instant::now() + limits.watch_every } else { sweep_at };
        tokio::select! {
            biased;
            _ = stopped.changed() => return,
            () = reconciler.desk.sent.notified() => {}
            () = tokio::time::sleep_until(look_at.min(sweep_at)) => {}
        }
        in_flight = reconciler.look_at_mined_nonces().await;
    }
}

/// What became of an open settlement at one look.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Look {
    /// Decided, or back in the queue: its slot is done with.
    Moved,
    /// Nothing is proven; the endpoint knows of a transaction of ours.
    InPool,
    /// Nothing is proven and the endpoint knows of none.
    Missing,
    /// The chain or the ledger gave no answer.
    NoAnswer,
}

struct Reconciler {
    desk: Arc<Desk>,
    /// Payments whose nonce is used though none of our transactions is to be found, since when.
    missing: HashMap<PaymentKey, Instant>,
}

impl Reconciler {
    /// The fast path: a lane's mined nonce tells which of its transactions to look at. Returns
    /// whether anything is in flight.
    async fn look_at_mined_nonces(&mut self) -> bool {
        let mut in_flight = false;
        for signer in self.desk.chain.signers() {
            let open = self.desk.store.open_slots(self.desk.network(), &signer).await;
            let Ok(open) = open.inspect_err(no_ledger) else {
                in_flight = true;
                continue;
            };
            if open.is_empty() {
                continue;
            }
            in_flight = true;
            match self.desk.chain.lane_state(&signer).await {
                Ok(lane) => {
                    let network = self.desk.network();
                    self.desk.metrics.signer_balance(network, &signer, lane.balance_wei);
                    self.close_mined(&signer, &open, lane.mined_nonce).await;
                }
                Err(error) => tracing::warn!(%error, "the reconciler has no chain"),
            }
        }
        in_flight
    }

    async fn close_mined(&mut self, signer: &str, open: &[SlotRow], mined_nonce: u64) {
        let mut done_below = mined_nonce;
        for slot in open.iter().filter(|slot| slot.nonce < mined_nonce) {
            let done = match slot.live_key {
                Some(key) => self.look_at_mined(slot, &key).await,
                None => true,
            };
            if !done {
                done_below = done_below.min(slot.nonce);
            }
        }
        if open.iter().all(|slot| slot.nonce >= done_below) {
            return;
        }
        match self.desk.store.close_slots_below(self.desk.network(), signer, done_below).await {
            Ok(_) => self.desk.mined.notify_waiters(),
            Err(error) => no_ledger(&error),
        }
    }

    /// A payment whose nonce was mined. `true`: the slot is done with.
    async fn look_at_mined(&mut self, slot: &SlotRow, key: &PaymentKey) -> bool {
        let Some(stored) = self.find(key).await else { return false };
        if stored.state.is_paid() || stored.state.is_end() {
            return true;
        }
        if slot.attempts.is_empty() {
            // Somebody else used a nonce that we had not signed for yet.
            return self.desk.store.make_no_op(slot).await.inspect_err(no_ledger).is_ok();
        }
        match self.look(&stored).await {
            Look::Moved => {
                self.missing.remove(key);
                true
            }
            Look::InPool | Look::NoAnswer => false,
            Look::Missing => self.used_by_somebody_else(&stored).await,
        }
    }

    /// The nonce is used and no transaction of ours is to be found. A lagging endpoint looks the
    /// same for a while, so this must hold for several sweeps. The payment then needs another
    /// nonce; its authorization can still move money only once.
    async fn used_by_somebody_else(&mut self, stored: &Settlement) -> bool {
        let limits = &self.desk.limits;
        let since = *self.missing.entry(stored.new.key).or_insert_with(Instant::now);
        if since.elapsed() < limits.sweep_every * limits.foreign_after {
            return false;
        }
        tracing::error!(payment = stored.new.key.short(), "the signer's nonce was used elsewhere");
        self.missing.remove(&stored.new.key);
        self.go(stored, State::Reserved, json!({ "nonce_used_elsewhere": true })).await
    }

    /// The slow path: everything that is open, whoever may have moved it.
    async fn sweep(&mut self) {
        let limits = self.desk.limits;
        let quiet_ms = u64::try_from(limits.sweep_quiet.as_millis()).unwrap_or(u64::MAX);
        let network = self.desk.network();
        let open = self.desk.store.open_settlements(network, quiet_ms, limits.sweep_batch).await;
        let Ok(open) = open.inspect_err(no_ledger) else { return };
        let unresolved = open.iter().filter(|stored| !stored.state.is_paid()).count();
        self.desk.metrics.unresolved_payments(unresolved as u64);
        for stored in &open {
            let look = self.look(stored).await;
            if look == Look::NoAnswer {
                break;
            }
            if look == Look::Missing && stored.state == State::Reserved {
                self.rest(stored).await;
            }
        }
        self.send_again().await;
    }

    /// Stored bytes that the endpoint does not know go out again, the same ones.
    async fn send_again(&self) {
        for signer in self.desk.chain.signers() {
            let open = self.desk.store.open_slots(self.desk.network(), &signer).await;
            let Ok(open) = open.inspect_err(no_ledger) else { return };
            if open.is_empty() {
                continue;
            }
            let Ok(lane) = self.desk.chain.lane_state(&signer).await else { return };
            let unknown = open.iter().filter(|slot| slot.nonce >= lane.pending_nonce);
            for (slot, bytes) in unknown.filter_map(|slot| Some((slot, slot.attempts.last()?))) {
                let said = self.desk.chain.broadcast(&bytes.raw).await;
                tracing::info!(nonce = slot.nonce, ?said, "sent again");
                use faregate_chain::Broadcast::{Accepted, AlreadyKnown};
                if let (Some(key), Accepted | AlreadyKnown) = (slot.live_key, said) {
                    mark_sent(&self.desk, &key).await;
                }
            }
            self.desk.sent.notify_one();
        }
    }

    /// Nothing was signed and nobody asks: from now on it is only watched.
    async fn rest(&self, stored: &Settlement) {
        let key = &stored.new.key;
        let dormant_ms = i64::try_from(self.desk.limits.dormant_after.as_millis());
        let now_ms = i64::try_from(self.desk.clock.now_unix_ms()).unwrap_or(i64::MAX);
        let old = dormant_ms.is_ok_and(|ms| now_ms.saturating_sub(stored.updated_unix_ms) > ms);
        if old && stored.transactions.is_empty() && !self.desk.wakers.anybody_waits(key) {
            self.go(stored, State::Dormant, json!({ "nobody_asks": true })).await;
        }
    }

    async fn look(&self, stored: &Settlement) -> Look {
        let watch = Watch {
            request: &stored.new.request,
            transactions: &stored.transactions,
            head_at_claim: stored.new.head_at_claim,
        };
        match self.desk.chain.observe(watch).await {
            Ok(seen) => self.record(stored, seen).await,
            Err(error) => {
                tracing::warn!(%error, payment = stored.new.key.short(), "not observed");
                Look::NoAnswer
            }
        }
    }

    async fn record(&self, stored: &Settlement, seen: Observation) -> Look {
        let moved = match (stored.state, seen.outcome) {
            (State::Mined, Outcome::Paid(proof)) => {
                self.confirm(stored, &proof, seen.finalized).await
            }
            (State::Mined, _) => self.take_back(stored).await,
            (_, Outcome::Paid(proof)) => self.prove(stored, &proof).await,
            (_, Outcome::Dead(proof)) => {
                let evidence = json!({ "cause": proof.cause.name(), "at_block": proof.at_block });
                self.go(stored, State::Dead, evidence).await
            }
            (State::Signed | State::Broadcast, Outcome::Unknown { in_pool, reverted })
                if in_pool.is_empty() && !reverted.is_empty() =>
            {
                for own in &reverted {
                    self.desk.metrics.gas_used(self.desk.network(), own.gas_used);
                }
                let hashes: Vec<_> = reverted.iter().map(|own| &own.transaction).collect();
                self.go(stored, State::Reserved, json!({ "reverted": hashes })).await
            }
            (_, Outcome::Unknown { in_pool, .. }) if !in_pool.is_empty() => return Look::InPool,
            (_, Outcome::Unknown { .. }) => return Look::Missing,
        };
        if moved { Look::Moved } else { Look::NoAnswer }
    }

    async fn prove(&self, stored: &Settlement, proof: &Evidence) -> bool {
        let key = &stored.new.key;
        let row = EvidenceRow {
            transaction: proof.transaction.clone(),
            log_index: proof.log_index,
            block_number: proof.block_number,
            block_hash: proof.block_hash.clone(),
            gas_used: proof.gas_used,
        };
        match self.desk.store.record_mined(key, stored.state, &row).await {
            Ok(true) => {
                if stored.transactions.contains(&proof.transaction) {
                    self.desk.metrics.gas_used(self.desk.network(), proof.gas_used);
                }
                tracing::info!(
                    payment = key.short(),
                    transaction = proof.transaction,
                    block = proof.block_number,
                    "settled"
                );
                self.desk.wakers.wake(key);
                true
            }
            Ok(false) => false,
            Err(error) => {
                no_ledger(&error);
                false
            }
        }
    }

    /// The proof still stands; in a final block it stands for ever.
    async fn confirm(&self, stored: &Settlement, proof: &Evidence, finalized: u64) -> bool {
        let same = stored.evidence.as_ref().is_some_and(|known| {
            known.transaction == proof.transaction && known.block_hash == proof.block_hash
        });
        if !same {
            return self.take_back(stored).await;
        }
        if proof.block_number > finalized {
            return true;
        }
        self.go(stored, State::Final, json!({ "finalized": finalized })).await
    }

    /// The block is gone. The next look finds where the payment went, or sends it again.
    async fn take_back(&self, stored: &Settlement) -> bool {
        tracing::error!(payment = stored.new.key.short(), "a reorganisation undid a settlement");
        match self.desk.store.undo_mined(&stored.new.key).await {
            Ok(moved) => moved,
            Err(error) => {
                no_ledger(&error);
                false
            }
        }
    }

    async fn go(&self, stored: &Settlement, to: State, evidence: serde_json::Value) -> bool {
        let key = &stored.new.key;
        let from = stored.state;
        match self.desk.store.move_settlement(key, from, to, "reconciler", evidence).await {
            Ok(moved) => {
                self.desk.wakers.wake(key);
                moved
            }
            Err(error) => {
                no_ledger(&error);
                false
            }
        }
    }

    async fn find(&self, key: &PaymentKey) -> Option<Settlement> {
        self.desk.store.find_settlement(key).await.inspect_err(no_ledger).ok()?
    }
}

fn no_ledger(error: &LedgerError) {
    tracing::error!(%error, "the reconciler has no ledger");
}
