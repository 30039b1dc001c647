//! One round of a lane: close what was mined, heal, fill, send again, replace, take new work.

use std::time::Duration;

use faregate_chain::{Broadcast, ChainError, Fees, Inspection, Intent, LaneState, Prepared, Slot};
use faregate_ledger::{
    Attempt, LaneRows, Lease, Settlement, SettlementState as State, SlotKind, SlotRow,
};
use faregate_protocol::PaymentKey;
use faregate_telemetry::crash_point;
use serde_json::json;
use tokio::time::Instant;

use super::{Halt, Lane, Next, Sent};

pub(super) async fn round(lane: &mut Lane, lease: &Lease) -> Result<Next, Halt> {
    let rows = lane.desk.store.lane(lane.desk.network(), &lane.signer).await?;
    let wanted = lane.wanted(&rows).await?;
    lane.sent.retain(|nonce, _| rows.open.iter().any(|slot| slot.nonce == *nonce));
    if rows.open.is_empty() && wanted.is_empty() {
        return Ok(Next::Idle);
    }
    let chain = lane.desk.chain.lane_state(&lane.signer).await?;
    lane.desk.metrics.signer_balance(lane.desk.network(), &lane.signer, chain.balance_wei);
    lane.close_mined(lease, &rows, chain).await?;
    let open: Vec<&SlotRow> =
        rows.open.iter().filter(|slot| slot.nonce >= chain.mined_nonce).collect();
    if lane.heal(lease, &rows, chain).await? {
        return Ok(Next::Again);
    }
    let mut sent = false;
    for slot in &open {
        sent |= if slot.attempts.is_empty() {
            lane.fill(lease, slot).await?
        } else {
            lane.nurse(lease, slot, chain).await?
        };
    }
    let mut in_flight = open.len();
    let wanted = if lane.can_pay_for_gas(chain) { wanted } else { Vec::new() };
    for stored in wanted {
        if in_flight >= lane.desk.limits.in_flight {
            break;
        }
        if lane.take(lease, &rows, &stored, chain).await? {
            in_flight += 1;
            sent = true;
        }
    }
    Ok(if sent {
        Next::Again
    } else if in_flight > 0 {
        Next::Soon
    } else {
        Next::Idle
    })
}

impl Lane {
    /// An empty signer would only collect nonces that nobody mines.
    fn can_pay_for_gas(&self, chain: LaneState) -> bool {
        let enough = chain.balance_wei >= self.desk.limits.min_balance_wei;
        if !enough {
            let (signer, balance_wei) = (&self.signer, chain.balance_wei);
            tracing::error!(signer, %balance_wei, "the signer's balance is too low for new work");
        }
        enough
    }

    /// New work, as far as the lane has room for it.
    async fn wanted(&self, rows: &LaneRows) -> Result<Vec<Settlement>, Halt> {
        let room = self.desk.limits.in_flight.saturating_sub(rows.open.len());
        // One more than fits, because a nonce may have been mined meanwhile.
        let limit = u32::try_from(room.saturating_add(1)).unwrap_or(u32::MAX);
        Ok(self.desk.store.wanted(self.desk.network(), limit).await?)
    }

    async fn close_mined(
        &mut self,
        lease: &Lease,
        rows: &LaneRows,
        chain: LaneState,
    ) -> Result<(), Halt> {
        let mined: Vec<u64> = rows
            .open
            .iter()
            .map(|slot| slot.nonce)
            .filter(|nonce| *nonce < chain.mined_nonce)
            .collect();
        if mined.is_empty() {
            return Ok(());
        }
        // Somebody else used a nonce before anything was signed for it: its payment, which would
        // stay bound to the closed slot, needs another.
        let unsigned = |slot: &&SlotRow| slot.kind == SlotKind::Single && slot.attempts.is_empty();
        for slot in rows.open.iter().filter(|slot| mined.contains(&slot.nonce)).filter(unsigned) {
            self.desk.store.make_no_op(lease, slot).await?;
        }
        let network = self.desk.network();
        self.desk.store.close_slots(lease, network, &self.signer, &mined).await?;
        self.desk.seen.notify_one();
        Ok(())
    }

    /// A reorganisation can take back nonces that the ledger has closed, and a crash can leave a
    /// hole. Later nonces are never mined before these, so they open again. An endpoint that lags
    /// looks the same for a while, hence the wait.
    async fn heal(
        &mut self,
        lease: &Lease,
        rows: &LaneRows,
        chain: LaneState,
    ) -> Result<bool, Halt> {
        let expected = rows.open.first().map_or(rows.next_nonce, |slot| slot.nonce);
        let mined = chain.mined_nonce;
        if mined >= expected || rows.next_nonce == 0 {
            self.denied = None;
            return Ok(false);
        }
        let since = match self.denied {
            Some((nonce, since)) if nonce == mined => since,
            _ => {
                let now = Instant::now();
                self.denied = Some((mined, now));
                now
            }
        };
        if since.elapsed() < self.desk.limits.heal_after {
            return Ok(false);
        }
        self.denied = None;
        if expected.saturating_sub(mined) > self.desk.limits.heal_span {
            let signer = &self.signer;
            tracing::error!(signer, mined, expected, "chain and ledger disagree on the nonce");
            return Err(Halt::Chain);
        }
        let network = self.desk.network();
        let healed =
            self.desk.store.reopen_slots(lease, network, &self.signer, mined, expected).await?;
        tracing::warn!(signer = self.signer, healed, from = mined, "nonces opened again");
        Ok(healed > 0)
    }

    /// Takes a wanted payment up: nonce, signature, bytes, send.
    async fn take(
        &mut self,
        lease: &Lease,
        rows: &LaneRows,
        stored: &Settlement,
        chain: LaneState,
    ) -> Result<bool, Halt> {
        if !self.in_time(stored) || !self.worth_it(lease, stored).await? {
            return Ok(false);
        }
        let floor = self.floor(rows, chain).await?;
        let network = self.desk.network();
        let key = &stored.new.key;
        let slot = self.desk.store.allocate_slot(lease, network, &self.signer, floor, key).await?;
        crash_point!("F3");
        match slot {
            Some(slot) => self.fill(lease, &slot).await,
            None => Ok(false),
        }
    }

    /// The chain's nonce where it is ahead of the ledger's: somebody used the key, or the ledger
    /// is an older copy. One high answer would leave a gap that nobody fills, so it is confirmed.
    async fn floor(&self, rows: &LaneRows, chain: LaneState) -> Result<u64, Halt> {
        if chain.mined_nonce <= rows.next_nonce {
            return Ok(chain.mined_nonce);
        }
        let again = self.desk.chain.lane_state(&self.signer).await?;
        Ok(chain.mined_nonce.min(again.mined_nonce))
    }

    fn in_time(&self, stored: &Settlement) -> bool {
        let end = self.desk.clock.now_unix().saturating_add(self.desk.limits.min_seconds_left);
        stored.new.valid_before > end
    }

    /// An own transaction was mined without effect. Each further one costs gas: only if the
    /// payment would settle now, and only so often.
    async fn worth_it(&self, lease: &Lease, stored: &Settlement) -> Result<bool, Halt> {
        if stored.transactions.is_empty() {
            return Ok(true);
        }
        if stored.transactions.len() >= self.desk.limits.transactions_per_payment {
            self.set_aside(lease, stored, "too many transactions").await?;
            return Ok(false);
        }
        let now = self.desk.clock.now_unix();
        let seen = self.desk.chain.inspect(&stored.new.request, now).await?;
        Ok(matches!(seen, Inspection::Valid { .. }))
    }

    async fn set_aside(
        &self,
        lease: &Lease,
        stored: &Settlement,
        why: &'static str,
    ) -> Result<(), Halt> {
        let key = &stored.new.key;
        let evidence = json!({ "why": why });
        let (from, to) = (stored.state, State::Quarantined);
        self.desk.store.move_settlement(lease, key, from, to, evidence).await?;
        tracing::error!(payment = key.short(), why, "payment quarantined");
        Ok(())
    }

    /// Signs for an EMPTY slot, stores the bytes, sends them. A payment that nobody waits for any
    /// more, or that has no time left, gives its nonce to a no-op. `true`: something was sent.
    async fn fill(&mut self, lease: &Lease, slot: &SlotRow) -> Result<bool, Halt> {
        let stored = match slot.key.filter(|_| slot.kind == SlotKind::Single) {
            Some(key) => self.desk.store.find_settlement(&key).await?,
            None => None,
        };
        let usable = stored.as_ref().is_some_and(|stored| {
            slot.live && stored.state == State::Reserved && stored.wanted && self.in_time(stored)
        });
        if slot.kind == SlotKind::Single && !usable {
            self.desk.store.make_no_op(lease, slot).await?;
            return Ok(true);
        }
        let intent = match &stored {
            Some(stored) => Intent::Transfer(&stored.new.request),
            None => Intent::NoOp,
        };
        match self.desk.chain.prepare(intent, &self.place(slot), None).await {
            Ok(prepared) => self.store_and_send(lease, slot, &prepared).await,
            Err(error @ ChainError::Unsupported { .. }) => {
                self.cannot_sign(lease, stored.as_ref()).await?;
                Err(error.into())
            }
            Err(error) => Err(error.into()),
        }
    }

    /// The adapter will never sign this. Counted, so that it does not hold up the lane for ever.
    async fn cannot_sign(&self, lease: &Lease, stored: Option<&Settlement>) -> Result<(), Halt> {
        let Some(stored) = stored else { return Ok(()) };
        let tries = self.desk.store.count_try(&stored.new.key).await?;
        if tries >= self.desk.limits.tries {
            self.set_aside(lease, stored, "it cannot be signed").await?;
        }
        Ok(())
    }

    fn place(&self, slot: &SlotRow) -> Slot {
        Slot { signer: self.signer.clone(), nonce: slot.nonce }
    }

    /// A slot with stored bytes: sent again when the endpoint does not know them, replaced with
    /// higher fees when its turn has come and it is not mined. `true`: something new was sent.
    async fn nurse(
        &mut self,
        lease: &Lease,
        slot: &SlotRow,
        chain: LaneState,
    ) -> Result<bool, Halt> {
        let Some(newest) = slot.attempts.last() else { return Ok(false) };
        let limits = &self.desk.limits;
        let is_known = slot.nonce < chain.pending_nonce;
        let sent = self.sent.get(&slot.nonce).copied();
        let mut sent = sent.filter(|sent| sent.attempts == slot.attempts.len());
        if sent.is_none() && is_known {
            // Sent by a process before this one. The ledger knows how long they may have waited.
            let (waits_since, last) = (signed_at(slot), Instant::now());
            let found = Sent { attempts: slot.attempts.len(), waits_since, last };
            self.sent.insert(slot.nonce, found);
            sent = Some(found);
        }
        let its_turn = slot.nonce == chain.mined_nonce;
        let is_stuck = sent.is_some_and(|sent| sent.waits_since.elapsed() >= limits.bump_after);
        if its_turn && is_stuck && slot.attempts.len() < limits.attempts_per_slot {
            return self.replace(lease, slot).await;
        }
        if !is_known && sent.is_none_or(|sent| sent.last.elapsed() >= limits.resend_after) {
            self.send(lease, slot, &newest.raw, slot.attempts.len()).await?;
        }
        Ok(false)
    }

    /// The same intent with higher fees, in the same nonce.
    async fn replace(&mut self, lease: &Lease, slot: &SlotRow) -> Result<bool, Halt> {
        let stored = match slot.key {
            Some(key) => self.desk.store.find_settlement(&key).await?,
            None => None,
        };
        let intent = match &stored {
            Some(stored) => Intent::Transfer(&stored.new.request),
            None => Intent::NoOp,
        };
        let Some(last) = slot.attempts.last() else { return Ok(false) };
        let replaced = Fees { max_fee_wei: last.max_fee_wei, tip_wei: last.tip_wei };
        match self.desk.chain.prepare(intent, &self.place(slot), Some(replaced)).await {
            Ok(prepared) => {
                crash_point!("F10");
                self.store_and_send(lease, slot, &prepared).await
            }
            Err(error) => {
                // Above the ceiling, or no answer: the old bytes get another chance, and as much time.
                tracing::warn!(%error, nonce = slot.nonce, "not replaced, sent again");
                self.send(lease, slot, &last.raw, slot.attempts.len()).await?;
                if let Some(sent) = self.sent.get_mut(&slot.nonce) {
                    sent.waits_since = sent.last;
                }
                Ok(false)
            }
        }
    }

    /// Commits signed bytes; until the ledger says yes nothing leaves.
    async fn store_and_send(
        &mut self,
        lease: &Lease,
        slot: &SlotRow,
        prepared: &Prepared,
    ) -> Result<bool, Halt> {
        let attempt = Attempt {
            transaction: prepared.transaction.clone(),
            raw: prepared.raw.clone(),
            max_fee_wei: prepared.max_fee_wei,
            tip_wei: prepared.tip_wei,
        };
        crash_point!("F4");
        // On an error the next round reads whether they are stored, and sends them if they are.
        if !self.desk.store.record_attempt(lease, slot, &attempt).await? {
            return Ok(true);
        }
        crash_point!("F5");
        self.send(lease, slot, &prepared.raw, slot.attempts.len().saturating_add(1)).await?;
        Ok(true)
    }

    /// Sends the newest bytes of a slot for which so many transactions are signed.
    async fn send(
        &mut self,
        lease: &Lease,
        slot: &SlotRow,
        raw: &[u8],
        attempts: usize,
    ) -> Result<(), Halt> {
        crash_point!("F6");
        let said = self.desk.chain.broadcast(raw).await;
        crash_point!("F7");
        let last = Instant::now();
        let before = self.sent.get(&slot.nonce).filter(|sent| sent.attempts == attempts);
        let waits_since = match before {
            Some(sent) => sent.waits_since,
            // Too cheap ever since they were signed, whoever sent them then.
            None if said == Broadcast::Underpriced && attempts == slot.attempts.len() => {
                signed_at(slot)
            }
            None => last,
        };
        self.sent.insert(slot.nonce, Sent { attempts, waits_since, last });
        let payment = slot.key.as_ref().map(PaymentKey::short).unwrap_or_default();
        match said {
            Broadcast::Accepted | Broadcast::AlreadyKnown => {
                tracing::debug!(payment, nonce = slot.nonce, ?said, "sent");
                if let Some(key) = slot.key.filter(|_| slot.live) {
                    let (from, to) = (State::Signed, State::Broadcast);
                    let store = &self.desk.store;
                    store.move_settlement(lease, &key, from, to, json!({})).await?;
                }
            }
            // Unknown, or refused for now. The bytes are stored and are sent again; whether the
            // payment was made is for the reconciler to see.
            _ => {
                let signer = &self.signer;
                tracing::warn!(payment, nonce = slot.nonce, ?said, signer, "not acknowledged");
            }
        }
        Ok(())
    }
}

/// When the newest bytes of a slot were stored, as nearly as this process's clock can say.
fn signed_at(slot: &SlotRow) -> Instant {
    let now = Instant::now();
    now.checked_sub(Duration::from_millis(slot.age_ms)).unwrap_or(now)
}
