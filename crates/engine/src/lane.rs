//! One worker for each signer: it allocates nonces, signs, stores the signed bytes and sends them,
//! in this order. It never says whether a payment was made; that is the reconciler's.
//!
//! It works in rounds over what the ledger says, so that a crash, a lost answer or another process
//! that held the lane before leave nothing behind in memory that matters.

mod group;
mod round;
mod take_up;

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use faregate_chain::{ChainError, LaneState};
use faregate_ledger::{LaneRows, Lease, LedgerError};
use faregate_protocol::PaymentKey;
use tokio::sync::watch;
use tokio::time::Instant;

use crate::desk::Desk;
use crate::tenure::Tenure;

pub(crate) async fn run(desk: Arc<Desk>, signer: String, mut stopped: watch::Receiver<bool>) {
    let limits = desk.limits;
    let name = format!("lane {} {signer}", desk.network());
    let mut tenure = Tenure::new(Arc::clone(&desk.store), name, limits.lease_ttl);
    let mut lane = Lane {
        desk,
        signer,
        sent: HashMap::new(),
        unfit: HashMap::new(),
        denied: None,
        known: None,
        mined: None,
        asked: None,
        asked_before: None,
    };
    loop {
        let work = Arc::clone(&lane.desk);
        let told = work.work.notified();
        let next = match tenure.hold().await {
            Some(lease) => lane.round(&lease).await,
            None => Ok(Next::Idle),
        };
        let pause = match next {
            Ok(Next::Again) => Duration::ZERO,
            Ok(Next::Gather(wait)) => wait.min(limits.gather_look),
            Ok(Next::Soon) | Err(Halt::Chain | Halt::Ledger) => limits.watch_every,
            Ok(Next::Idle) => limits.idle_every,
            Err(Halt::LeaseLost) => {
                tenure.lost();
                limits.watch_every
            }
        };
        // A chain or ledger that failed is not asked again at every hint, and each payment that
        // joins a group is one.
        let waits_for_hints = !matches!(next, Err(_) | Ok(Next::Gather(_)));
        tokio::select! {
            biased;
            _ = stopped.wait_for(|stop| *stop) => break,
            () = told, if waits_for_hints => {}
            () = tokio::time::sleep(pause) => {}
        }
    }
    tenure.give_up().await;
}

/// When the next round is due.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Next {
    /// At once: something was sent and may be mined already.
    Again,
    /// After this time: payments wait for companions.
    Gather(Duration),
    /// Transactions are in flight.
    Soon,
    /// Nothing is open.
    Idle,
}

/// Why a round was not finished. Nothing is lost: the ledger says where it stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Halt {
    Ledger,
    LeaseLost,
    Chain,
}

struct Lane {
    desk: Arc<Desk>,
    signer: String,
    /// What this process knows of the newest bytes of a nonce. It outlives a lost lease: a lane
    /// that changes hands often must not begin to wait anew each time.
    sent: HashMap<u64, Sent>,
    /// Payments that would not settle just now, since when.
    unfit: HashMap<PaymentKey, Instant>,
    /// Since when the chain denies nonces from here on that the ledger has closed.
    denied: Option<(u64, Instant)>,
    /// What the chain last said of the signer.
    known: Option<Known>,
    /// When the chain first said that the open nonces below this one are mined.
    mined: Option<Mined>,
    /// The last block that was looked into when the chain was last asked, and the time before.
    asked: Option<u64>,
    asked_before: Option<u64>,
}

/// What the chain said of a signer, and when: nothing but a block or a send of ours changes it.
#[derive(Clone, Copy, Debug)]
struct Known {
    state: LaneState,
    at: Instant,
    /// The last block that was noticed then.
    block: Option<u64>,
}

/// When nonces were first known to be mined.
#[derive(Clone, Copy, Debug)]
struct Mined {
    below: u64,
    at: Instant,
    /// The last block that was looked into when the chain did not say so yet.
    block: Option<u64>,
}

/// The newest bytes of one nonce, as this process sent or found them.
#[derive(Clone, Copy, Debug)]
struct Sent {
    /// How many transactions were signed for the nonce; with another number these are not the
    /// newest any more.
    attempts: usize,
    /// Since when they wait to be mined.
    waits_since: Instant,
    /// When this process sent them last, or found them sent.
    last: Instant,
}

impl From<LedgerError> for Halt {
    fn from(error: LedgerError) -> Self {
        match error {
            LedgerError::LeaseLost { name } => {
                tracing::warn!(lease = name, "another process holds the lane");
                Self::LeaseLost
            }
            error => {
                tracing::error!(%error, "the lane has no ledger");
                Self::Ledger
            }
        }
    }
}

impl From<ChainError> for Halt {
    fn from(error: ChainError) -> Self {
        tracing::warn!(%error, "the lane waits for its chain");
        Self::Chain
    }
}

impl Lane {
    async fn round(&mut self, lease: &Lease) -> Result<Next, Halt> {
        round::round(self, lease).await
    }

    /// Nonces and balance of the signer. Hints come often, so the chain is asked again only after
    /// a send, after a block, or after a while. What would close a nonce is never old news: a
    /// reorganisation may have opened it again since.
    async fn state(&mut self, rows: &LaneRows) -> Result<LaneState, Halt> {
        let block = self.desk.blocks.watched();
        let limits = &self.desk.limits;
        let good_for = if block.is_some() { limits.block_time_max } else { limits.watch_every };
        if let Some(known) = self.known
            && known.block == block
            && known.at.elapsed() < good_for.min(limits.resend_after)
            && rows.open.first().is_none_or(|slot| slot.nonce >= known.state.mined_nonce)
        {
            return Ok(known.state);
        }
        let state = self.desk.chain.lane_state(&self.signer).await?;
        self.asked_before = std::mem::replace(&mut self.asked, block);
        self.known = Some(Known { state, at: Instant::now(), block });
        Ok(state)
    }
}
