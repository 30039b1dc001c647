//! A claim that this process holds. The lease is renewed behind the flow's back; whoever loses it
//! stops, because somebody else may have taken the payment over.

use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use faregate_ledger::{ClaimMove, ClaimState, ClaimStore, Hold, LedgerError, StoredAnswer};
use faregate_protocol::PaymentRequest;
use faregate_telemetry::crash_point;
use http::Response;
use serde_json::Value;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::Instant;
use tracing::Instrument;
use uuid::Uuid;

use crate::body::GateBody;
use crate::kept_answer::{self, Unreadable};

/// Renewals in one life of a lease.
const RENEWALS: u32 = 3;

/// Why a step was not made. Nothing may be granted or sent on the strength of it.
#[derive(Debug)]
pub(crate) enum Stop {
    /// Somebody else holds the claim now.
    Lost,
    /// The ledger failed; the step may or may not be stored.
    Ledger(LedgerError),
}

/// A claim with its renewal. Dropping it ends the lease early, so that a retry need not wait.
pub(crate) struct Lease {
    store: Arc<dyn ClaimStore>,
    hold: Hold,
    lost: watch::Receiver<bool>,
    renewal: JoinHandle<()>,
    /// The claim has reached an end: there is nothing left to let go.
    ended: bool,
    /// Parts of an answer were stored under it.
    has_parts: AtomicBool,
}

impl Lease {
    /// `asked_at` is a moment before the hold was asked for: the lease is counted from there.
    pub(crate) fn start(
        store: Arc<dyn ClaimStore>,
        hold: Hold,
        lease_ms: u64,
        asked_at: Instant,
    ) -> Self {
        let (tell, lost) = watch::channel(false);
        let renewal = renew(Arc::clone(&store), hold, lease_ms, asked_at, tell);
        let renewal = tokio::spawn(renewal.in_current_span());
        Self { store, hold, lost, renewal, ended: false, has_parts: AtomicBool::new(false) }
    }

    pub(crate) const fn settle_id(&self) -> Uuid {
        self.hold.settle_id
    }

    /// How often the payment was claimed; its answers are told apart by it.
    pub(crate) const fn epoch(&self) -> i64 {
        self.hold.epoch
    }

    /// Runs `work` for as long as the claim is held.
    pub(crate) async fn while_held<T>(&self, work: impl Future<Output = T>) -> Result<T, Stop> {
        let mut lost = self.lost.clone();
        tokio::select! {
            biased;
            _ = lost.wait_for(|lost| *lost) => Err(Stop::Lost),
            done = work => Ok(done),
        }
    }

    /// Moves the claim.
    pub(crate) async fn step(
        &mut self,
        from: ClaimState,
        to: ClaimState,
        transaction: Option<String>,
        evidence: Value,
    ) -> Result<(), Stop> {
        let step = ClaimMove { from, to, transaction, evidence };
        held(self.store.move_claim(&self.hold, step).await)?;
        self.ended = matches!(to, ClaimState::Released | ClaimState::NotCharged);
        if to == ClaimState::Released && self.has_parts.load(Ordering::Relaxed) {
            // Where it fails the sweeper comes to them.
            let _ = self.store.forget_parts(&self.hold.key).await;
        }
        Ok(())
    }

    /// Stores a part of the answer while the claim is VERIFIED.
    ///
    /// A resource that runs out of time meanwhile does not break it off: a statement that is dropped
    /// half-way can cost the ledger its connection.
    pub(crate) async fn keep_part(&self, number: u32, part: Vec<u8>) -> Result<(), Stop> {
        self.has_parts.store(true, Ordering::Relaxed);
        let (store, hold) = (Arc::clone(&self.store), self.hold);
        let keeping = async move { held(store.keep_part(&hold, number, part).await) };
        tokio::spawn(keeping.in_current_span()).await.unwrap_or(Err(Stop::Lost))
    }

    /// The mark of a handler that must not run twice. `false`: it was started before.
    pub(crate) async fn start_handler(&self) -> Result<bool, Stop> {
        self.store.start_handler(&self.hold).await.map_err(Stop::Ledger)?.ok_or(Stop::Lost)
    }

    /// VERIFIED to SETTLING before anything ran, with the payment as it is asked to be settled.
    pub(crate) async fn settle_first(&mut self, request: &PaymentRequest) -> Result<(), Stop> {
        held(self.store.settle_first(&self.hold, request).await)
    }

    /// VERIFIED to EXECUTED or DEFERRED, or EXECUTING to ANSWERED, with the answer and the payment
    /// as it is asked to be settled.
    pub(crate) async fn keep(
        &mut self,
        answer: &StoredAnswer,
        request: &PaymentRequest,
    ) -> Result<(), Stop> {
        held(self.store.keep_answer(&self.hold, answer, request).await)
    }

    /// SETTLED, ANSWERED or DEFERRED to GRANTED, once for ever. Anything but `Ok` means: send
    /// nothing. Where the ledger stored it all the same, the buyer's retry gets the answer that was
    /// kept.
    ///
    /// A client that hangs up meanwhile does not break it off: a statement that is dropped half-way
    /// can cost the ledger its connection.
    pub(crate) async fn grant(self) -> Result<(), Stop> {
        let granting = tokio::spawn(self.granted().in_current_span());
        granting.await.unwrap_or(Err(Stop::Lost))
    }

    /// VERIFIED to GRANTED with the answer, of a claim on the books, in one write. As for
    /// [`grant`](Self::grant): anything but `Ok` means to send nothing.
    pub(crate) async fn grant_with(self, answer: StoredAnswer) -> Result<(), Stop> {
        let granting = tokio::spawn(self.granted_with(answer).in_current_span());
        granting.await.unwrap_or(Err(Stop::Lost))
    }

    async fn granted_with(mut self, answer: StoredAnswer) -> Result<(), Stop> {
        crash_point!("G6");
        let grant_id = Uuid::now_v7();
        let granted = held(self.store.grant_deferred(&self.hold, &answer, grant_id).await);
        crash_point!("G11");
        self.ended = granted.is_ok();
        granted
    }

    async fn granted(mut self) -> Result<(), Stop> {
        crash_point!("G10");
        let granted = held(self.store.grant(&self.hold, Uuid::now_v7()).await);
        crash_point!("G11");
        self.ended = granted.is_ok();
        granted
    }

    /// The kept answer as it is sent; see [`kept_answer::open`].
    pub(crate) async fn open(
        &self,
        answer: StoredAnswer,
    ) -> Result<Response<GateBody>, Unreadable> {
        kept_answer::open(&self.store, self.hold.key, answer).await
    }

    /// Ends the lease early and waits until that is stored; the state stays.
    pub(crate) async fn let_go(mut self) -> Result<(), LedgerError> {
        self.renewal.abort();
        self.ended = true;
        self.store.let_go(&self.hold).await
    }
}

/// What a compare-and-set under the hold came to.
fn held(stored: Result<bool, LedgerError>) -> Result<(), Stop> {
    match stored {
        Ok(true) => Ok(()),
        Ok(false) => Err(Stop::Lost),
        Err(error) => Err(Stop::Ledger(error)),
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        self.renewal.abort();
        if self.ended {
            return;
        }
        // Outside of a runtime the lease simply runs out.
        if let Ok(runtime) = tokio::runtime::Handle::try_current() {
            let (store, hold) = (Arc::clone(&self.store), self.hold);
            runtime.spawn(async move {
                // If it fails the lease runs out by itself.
                let _ = store.let_go(&hold).await;
            });
        }
    }
}

/// Renews every third of the lease, and gives up before the lease can have run out by the
/// database's clock: counted from before the last renewal that is known to have succeeded.
async fn renew(
    store: Arc<dyn ClaimStore>,
    hold: Hold,
    lease_ms: u64,
    asked_at: Instant,
    tell: watch::Sender<bool>,
) {
    let lease = Duration::from_millis(lease_ms);
    let pause = lease.checked_div(RENEWALS).unwrap_or(lease);
    let mut safe_until = asked_at + lease;
    loop {
        tokio::time::sleep(pause).await;
        let asked_at = Instant::now();
        match tokio::time::timeout_at(safe_until, store.renew(&hold, lease_ms)).await {
            Ok(Ok(true)) => safe_until = asked_at + lease,
            Ok(Ok(false)) => break,
            Ok(Err(_)) if Instant::now() < safe_until => {}
            Ok(Err(_)) | Err(_) => break,
        }
    }
    let _ = tell.send(true);
}
