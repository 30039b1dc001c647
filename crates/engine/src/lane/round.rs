//! One round of a lane: close what was mined, heal, fill, send again, replace, take new work.

use std::time::Duration;

use faregate_chain::{Broadcast, ChainError, Fees, Intent, LaneState, Prepared, Slot};
use faregate_ledger::{
    Attempt, LaneRows, Lease, Settlement, SettlementState as State, SlotKind, SlotMember, SlotRow,
};
use faregate_protocol::PaymentRequest;
use faregate_telemetry::crash_point;
use tokio::time::Instant;

use super::take_up::TakenUp;
use super::{Halt, Lane, Mined, Next, Sent};

pub(super) async fn round(lane: &mut Lane, lease: &Lease) -> Result<Next, Halt> {
    let rows = lane.desk.store.lane(lane.desk.network(), &lane.signer).await?;
    lane.sent.retain(|nonce, _| rows.open.iter().any(|slot| slot.nonce == *nonce));
    if rows.open.is_empty() && !lane.anything_wanted().await? {
        return Ok(Next::Idle);
    }
    let chain = lane.state(&rows).await?;
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
    let floor = lane.floor(&rows, chain).await?;
    let can_pay = lane.can_pay_for_gas(chain);
    let mut lost = 0;
    // Like a group commit: what became wanted while the last transaction was sent shares the next.
    while can_pay && in_flight < lane.desk.limits.in_flight {
        match lane.take_up(lease, floor, in_flight).await? {
            // As they were read a moment ago: the ledger checks that they have not moved.
            TakenUp::Slot(slot, group) => {
                sent |= lane.sign(lease, &slot, &group).await?;
                in_flight += 1;
            }
            TakenUp::Lost if lost < lane.desk.limits.in_flight => lost += 1,
            TakenUp::Later(wait) => return Ok(Next::Gather(wait)),
            TakenUp::Lost | TakenUp::Nothing => break,
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

    async fn close_mined(
        &mut self,
        lease: &Lease,
        rows: &LaneRows,
        chain: LaneState,
    ) -> Result<(), Halt> {
        let nonces = |below| {
            let open = rows.open.iter().map(|slot| slot.nonce);
            open.filter(|nonce| *nonce < below).collect::<Vec<u64>>()
        };
        if nonces(chain.mined_nonce).is_empty() {
            return Ok(());
        }
        let mined = nonces(self.looked_into_below(chain.mined_nonce));
        if mined.is_empty() {
            return Ok(());
        }
        // Somebody else used a nonce before anything was signed for it: its payments, which would
        // stay bound to the closed slot, need another.
        let unsigned = |slot: &&SlotRow| slot.kind != SlotKind::NoOp && slot.attempts.is_empty();
        for slot in rows.open.iter().filter(|slot| mined.contains(&slot.nonce)).filter(unsigned) {
            self.desk.store.keep_members(lease, slot, &[]).await?;
        }
        let network = self.desk.network();
        self.desk.store.close_slots(lease, network, &self.signer, &mined).await?;
        self.desk.seen.notify_one();
        Ok(())
    }

    /// Closing a slot makes its payments due for a look. Whoever watches the blocks here is about to
    /// look into the one that holds them, for all of them at once, and says so after; that is waited
    /// for, for a while. Nonces below this one need no more waiting.
    fn looked_into_below(&mut self, mined_nonce: u64) -> u64 {
        let block = self.desk.blocks.watched();
        let known = self.mined.filter(|mined| mined.below <= mined_nonce);
        let new = Mined { below: mined_nonce, at: Instant::now(), block: self.asked_before };
        let since = known.unwrap_or(new);
        let waits = block.is_some()
            && since.block == block
            && since.at.elapsed() < self.desk.limits.close_after;
        // What is mined meanwhile waits by itself, or a busy lane would never close any.
        self.mined = waits.then_some(since);
        if waits { 0 } else { since.below }
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

    /// The chain's nonce where it is ahead of the ledger's: somebody used the key, or the ledger
    /// is an older copy. One high answer would leave a gap that nobody fills, so it is confirmed.
    async fn floor(&self, rows: &LaneRows, chain: LaneState) -> Result<u64, Halt> {
        if chain.mined_nonce <= rows.next_nonce {
            return Ok(chain.mined_nonce);
        }
        let again = self.desk.chain.lane_state(&self.signer).await?;
        Ok(chain.mined_nonce.min(again.mined_nonce))
    }

    /// A payment that ends by then, unix seconds, is not sent any more.
    pub(super) fn ends_after(&self) -> u64 {
        self.desk.clock.now_unix().saturating_add(self.desk.limits.min_seconds_left)
    }

    /// Signs for an EMPTY slot, stores the bytes, sends them. `true`: something was sent.
    async fn fill(&mut self, lease: &Lease, slot: &SlotRow) -> Result<bool, Halt> {
        let mut stored = self.members(slot).await?;
        if slot.kind == SlotKind::Batch {
            // Composed under another configuration, perhaps: one that cannot be signed here must
            // not be held against the others.
            stored.retain(|stored| self.desk.chain.share(&stored.new.request).is_some());
        }
        self.sign(lease, slot, &stored).await
    }

    async fn members(&self, slot: &SlotRow) -> Result<Vec<Settlement>, Halt> {
        let mut stored = Vec::with_capacity(slot.members.len());
        for member in &slot.members {
            stored.extend(self.desk.store.find_settlement(&member.key).await?);
        }
        Ok(stored)
    }

    /// As [`Self::fill`], with the payments that may be meant as the ledger has them. One that
    /// nobody waits for any more, or that has no time left, leaves the slot; a slot without
    /// payments is used up by a no-op.
    async fn sign(
        &mut self,
        lease: &Lease,
        slot: &SlotRow,
        candidates: &[Settlement],
    ) -> Result<bool, Halt> {
        let ends_after = self.ends_after();
        let find = |member: &SlotMember| {
            candidates.iter().find(|stored| stored.new.key == member.key).filter(|stored| {
                member.live
                    && stored.state == State::Reserved
                    && stored.wanted
                    && stored.new.valid_before > ends_after
            })
        };
        let stored: Vec<&Settlement> = slot.members.iter().filter_map(find).collect();
        if stored.len() < slot.members.len() {
            let keep: Vec<_> = stored.iter().map(|stored| stored.new.key).collect();
            self.desk.store.keep_members(lease, slot, &keep).await?;
            return Ok(true);
        }
        let requests: Vec<_> = stored.iter().map(|stored| &stored.new.request).collect();
        match self.desk.chain.prepare(intent(&requests), &self.place(slot), None).await {
            Ok(prepared) => self.store_and_send(lease, slot, &prepared).await,
            Err(error @ ChainError::Unsupported { .. }) => {
                for stored in stored {
                    self.cannot_sign(lease, stored).await?;
                }
                Err(error.into())
            }
            Err(error) => Err(error.into()),
        }
    }

    /// The adapter will never sign this. Counted, so that it does not hold up the lane for ever.
    async fn cannot_sign(&self, lease: &Lease, stored: &Settlement) -> Result<(), Halt> {
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
        let stored = self.members(slot).await?;
        let requests: Vec<_> = stored.iter().map(|stored| &stored.new.request).collect();
        let Some(last) = slot.attempts.last() else { return Ok(false) };
        if requests.len() < slot.members.len() {
            tracing::error!(nonce = slot.nonce, "a payment of a signed transaction is missing");
            return Err(Halt::Ledger);
        }
        let replaced = Fees { max_fee_wei: last.max_fee_wei, tip_wei: last.tip_wei };
        let place = self.place(slot);
        match self.desk.chain.prepare(intent(&requests), &place, Some(replaced)).await {
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
        self.known = None;
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
        let payments = slot.members.len();
        let payment = slot.members.first().map(|first| first.key.short()).unwrap_or_default();
        match said {
            Broadcast::Accepted | Broadcast::AlreadyKnown => {
                tracing::debug!(payment, payments, nonce = slot.nonce, ?said, "sent");
                if slot.members.iter().any(|member| member.live) {
                    self.desk.store.acknowledge(lease, slot).await?;
                }
            }
            // Unknown, or refused for now. The bytes are stored and are sent again; whether the
            // payment was made is for the reconciler to see.
            _ => {
                let signer = &self.signer;
                let nonce = slot.nonce;
                tracing::warn!(payment, payments, nonce, ?said, signer, "not acknowledged");
            }
        }
        Ok(())
    }
}

/// What a transaction for these payments is for.
fn intent<'a>(requests: &'a [&'a PaymentRequest]) -> Intent<'a> {
    match requests {
        [] => Intent::NoOp,
        [request] => Intent::Transfer(request),
        requests => Intent::Batch(requests),
    }
}

/// When the newest bytes of a slot were stored, as nearly as this process's clock can say.
fn signed_at(slot: &SlotRow) -> Instant {
    let now = Instant::now();
    now.checked_sub(Duration::from_millis(slot.age_ms)).unwrap_or(now)
}
