//! One worker for each signer: it allocates nonces, signs, stores the signed bytes and sends them,
//! in this order. It never says whether a payment was made; that is the reconciler's.

use std::sync::Arc;
use std::time::Duration;

use faregate_chain::{Broadcast, ChainError, Inspection, Intent, Prepared, Slot};
use faregate_ledger::{Attempt, LedgerError, Settlement, SettlementState as State, SlotRow};
use faregate_protocol::PaymentKey;
use serde_json::json;
use tokio::sync::{mpsc, watch};

use crate::desk::Desk;

pub(crate) async fn run(
    desk: Arc<Desk>,
    signer: String,
    mut queue: mpsc::Receiver<PaymentKey>,
    mut stopped: watch::Receiver<bool>,
) {
    let lane = Lane { desk, signer, stopped: stopped.clone() };
    lane.recover().await;
    loop {
        let key = tokio::select! {
            biased;
            _ = stopped.changed() => return,
            key = queue.recv() => key,
        };
        let Some(key) = key else { return };
        if let Err(halt) = lane.carry(&key).await {
            tracing::debug!(payment = key.short(), ?halt, "the lane put a payment back");
        }
        lane.desk.dequeued(&key);
    }
}

/// Why a step was not finished. Nothing is lost: the ledger says where it stands.
#[derive(Debug)]
enum Halt {
    Stopping,
    NobodyWaits,
    Ledger,
    Chain,
}

struct Lane {
    desk: Arc<Desk>,
    signer: String,
    stopped: watch::Receiver<bool>,
}

impl Lane {
    /// Finishes what a crash left: a nonce without signed bytes holds up every later one.
    /// (Stored bytes are sent again by the reconciler's first sweep.)
    async fn recover(&self) {
        let mut pause = Pause::new(self);
        let slots = loop {
            match self.desk.store.open_slots(self.desk.network(), &self.signer).await {
                Ok(slots) => break slots,
                Err(error) => tracing::error!(%error, "lane recovery waits for the ledger"),
            }
            if pause.wait().await.is_err() {
                return;
            }
        };
        for slot in slots.into_iter().filter(|slot| slot.attempts.is_empty()) {
            let outcome = match slot.live_key {
                Some(key) => self.resume(slot, &key).await,
                None => self.fill(&slot, None).await,
            };
            if let Err(halt) = outcome {
                tracing::warn!(?halt, "lane recovery stopped");
                return;
            }
        }
    }

    async fn resume(&self, slot: SlotRow, key: &PaymentKey) -> Result<(), Halt> {
        // Counted before the try, so that a payment that kills the process is set aside.
        let tries = self.desk.store.count_try(key).await.map_err(ledger)?;
        match self.settlement(key).await? {
            Some(stored) if stored.state == State::Reserved && tries <= self.desk.limits.tries => {
                self.fill(&slot, Some(&stored)).await
            }
            stored => {
                if let Some(stored) = stored {
                    self.set_aside(&stored, tries).await?;
                }
                self.desk.store.make_no_op(&slot).await.map_err(ledger)?;
                self.fill(&slot, None).await
            }
        }
    }

    async fn set_aside(&self, stored: &Settlement, tries: i64) -> Result<(), Halt> {
        if stored.state != State::Reserved || tries <= self.desk.limits.tries {
            return Ok(());
        }
        let (from, to) = (State::Reserved, State::Quarantined);
        let evidence = json!({ "tries": tries });
        let key = &stored.new.key;
        self.desk.store.move_settlement(key, from, to, "lane", evidence).await.map_err(ledger)?;
        tracing::error!(payment = key.short(), tries, "payment quarantined");
        Ok(())
    }

    /// Carries one reserved payment from the queue onto the chain.
    async fn carry(&self, key: &PaymentKey) -> Result<(), Halt> {
        self.room(key).await?;
        let Some(stored) = self.settlement(key).await? else { return Ok(()) };
        if stored.state != State::Reserved || !self.in_time(&stored) {
            return Ok(());
        }
        if !stored.transactions.is_empty() && !self.worth_another(&stored).await? {
            return Ok(());
        }
        let lane = self.desk.chain.lane_state(&self.signer).await.map_err(chain)?;
        let slot = self
            .desk
            .store
            .allocate_slot(self.desk.network(), &self.signer, lane.mined_nonce, key)
            .await
            .map_err(ledger)?;
        if slot.attempts.is_empty() { self.fill(&slot, Some(&stored)).await } else { Ok(()) }
    }

    /// An own transaction was mined without effect. Each further one costs gas: only if the
    /// payment would settle now, and only so often.
    async fn worth_another(&self, stored: &Settlement) -> Result<bool, Halt> {
        let sent = stored.transactions.len();
        if sent >= self.desk.limits.transactions_per_payment {
            self.set_aside(stored, i64::MAX).await?;
            return Ok(false);
        }
        let now = self.desk.clock.now_unix();
        let seen = self.desk.chain.inspect(&stored.new.request, now).await.map_err(chain)?;
        Ok(matches!(seen, Inspection::Valid { .. }))
    }

    /// Waits until the lane has fewer transactions in flight than its limit.
    async fn room(&self, key: &PaymentKey) -> Result<(), Halt> {
        loop {
            let mined = self.desk.mined.notified();
            let open = self.desk.store.open_slots(self.desk.network(), &self.signer).await;
            if open.map_err(ledger)?.len() < self.desk.limits.in_flight {
                return Ok(());
            }
            if *self.stopped.borrow() {
                return Err(Halt::Stopping);
            }
            if !self.desk.wakers.anybody_waits(key) {
                return Err(Halt::NobodyWaits);
            }
            let _ = tokio::time::timeout(self.desk.limits.watch_every, mined).await;
        }
    }

    fn in_time(&self, stored: &Settlement) -> bool {
        let end = self.desk.clock.now_unix().saturating_add(self.desk.limits.min_seconds_left);
        stored.new.valid_before > end
    }

    /// Signs for a slot that is empty, stores the bytes, sends them. The nonce is taken, so this
    /// goes on until it is done; a payment that runs out of time meanwhile becomes a no-op.
    async fn fill(&self, slot: &SlotRow, stored: Option<&Settlement>) -> Result<(), Halt> {
        let mut slot = slot.clone();
        let mut stored = stored;
        let mut pause = Pause::new(self);
        loop {
            if stored.is_some_and(|stored| !self.in_time(stored)) {
                self.desk.store.make_no_op(&slot).await.map_err(ledger)?;
                (slot.live_key, stored) = (None, None);
                slot.kind = faregate_ledger::SlotKind::NoOp;
            }
            let intent = stored.map_or(Intent::NoOp, |s| Intent::Transfer(&s.new.request));
            let place = Slot { signer: slot.signer.clone(), nonce: slot.nonce };
            match self.desk.chain.prepare(intent, &place).await {
                Ok(prepared) => {
                    self.store(&slot, &prepared).await?;
                    self.send(&prepared.raw, slot.live_key).await;
                    return Ok(());
                }
                Err(error) => self.prepare_failed(&slot, &error).await?,
            }
            pause.wait().await?;
        }
    }

    async fn prepare_failed(&self, slot: &SlotRow, error: &ChainError) -> Result<(), Halt> {
        tracing::warn!(%error, nonce = slot.nonce, "the lane waits: nothing signed");
        let passing = !matches!(error, ChainError::Unsupported { .. });
        let Some(key) = slot.live_key.filter(|_| !passing) else { return Ok(()) };
        let tries = self.desk.store.count_try(&key).await.map_err(ledger)?;
        match self.settlement(&key).await? {
            Some(stored) if tries > self.desk.limits.tries => self.set_aside(&stored, tries).await,
            _ => Ok(()),
        }
    }

    /// Commits signed bytes. Until this returns `Ok` nothing may leave.
    async fn store(&self, slot: &SlotRow, prepared: &Prepared) -> Result<(), Halt> {
        let attempt = Attempt {
            transaction: prepared.transaction.clone(),
            raw: prepared.raw.clone(),
            max_fee_wei: prepared.max_fee_wei,
            tip_wei: prepared.tip_wei,
        };
        let mut pause = Pause::new(self);
        loop {
            let Err(error) = self.desk.store.record_attempt(slot, &attempt).await else {
                return Ok(());
            };
            tracing::error!(%error, nonce = slot.nonce, "signed bytes are not stored, not sent");
            // A lost answer to COMMIT: look before trying again.
            let open = self.desk.store.open_slots(&slot.network, &slot.signer).await;
            let stored = open.is_ok_and(|open| {
                open.iter().any(|s| s.nonce == slot.nonce && s.attempts.contains(&attempt))
            });
            if stored {
                return Ok(());
            }
            pause.wait().await?;
        }
    }

    async fn send(&self, raw: &[u8], key: Option<PaymentKey>) {
        let said = self.desk.chain.broadcast(raw).await;
        let payment = key.as_ref().map(PaymentKey::short).unwrap_or_default();
        match said {
            Broadcast::Accepted | Broadcast::AlreadyKnown => {
                tracing::debug!(payment, ?said, "sent");
                if let Some(key) = key {
                    mark_sent(&self.desk, &key).await;
                }
            }
            // Unknown, or refused for now. The bytes are stored and are sent again; whether the
            // payment was made is for the reconciler to see.
            _ => tracing::warn!(payment, ?said, signer = self.signer, "not acknowledged"),
        }
        self.desk.sent.notify_one();
    }

    async fn settlement(&self, key: &PaymentKey) -> Result<Option<Settlement>, Halt> {
        self.desk.store.find_settlement(key).await.map_err(ledger)
    }
}

/// SIGNED to BROADCAST. If the ledger fails here nothing is lost: the bytes are sent once more.
pub(crate) async fn mark_sent(desk: &Desk, key: &PaymentKey) {
    let (from, to) = (State::Signed, State::Broadcast);
    if let Err(error) = desk.store.move_settlement(key, from, to, "lane", json!({})).await {
        tracing::warn!(%error, payment = key.short(), "sent, and not recorded as sent");
    }
}

#[allow(clippy::needless_pass_by_value)] // the shape `map_err` wants
fn ledger(error: LedgerError) -> Halt {
    tracing::error!(%error, "the lane has no ledger");
    Halt::Ledger
}

#[allow(clippy::needless_pass_by_value)] // the shape `map_err` wants
fn chain(error: ChainError) -> Halt {
    tracing::warn!(%error, "the lane has no chain");
    Halt::Chain
}

/// Doubling pauses that end early when the engine stops.
struct Pause {
    next: Duration,
    max: Duration,
    stopped: watch::Receiver<bool>,
}

impl Pause {
    fn new(lane: &Lane) -> Self {
        let limits = &lane.desk.limits;
        Self { next: limits.retry_first, max: limits.retry_max, stopped: lane.stopped.clone() }
    }

    async fn wait(&mut self) -> Result<(), Halt> {
        tokio::select! {
            biased;
            _ = self.stopped.wait_for(|stop| *stop) => Err(Halt::Stopping),
            () = tokio::time::sleep(self.next) => {
                self.next = self.next.saturating_mul(2).min(self.max);
                Ok(())
            }
        }
    }
}
