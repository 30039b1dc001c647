//! An answer that waits for its grant: the compare-and-set on disk after which its first byte may
//! leave.
//!
//! One whose money is on the books is kept by the same write that grants it. If its client goes
//! away before, it is kept alone: the buyer's retry gets the answer of the one run.

use std::sync::Arc;

use faregate_ledger::StoredAnswer;
use faregate_protocol::{PaymentRequest, SettleResponse};
use faregate_telemetry::crash_point;
use http::Response;
use tokio::sync::Notify;

use super::{settle, with_receipt};
use crate::answers::Refusal;
use crate::body::GateBody;
use crate::lease::{Lease, Stop};
use crate::version::Version;

/// An answer that waits for its grant.
pub(super) struct Ready {
    /// None once it is over.
    held: Option<Held>,
    pub(super) receipt: SettleResponse,
    version: Version,
    /// Who asks for the money once the answer was granted.
    asks_later: Option<Arc<Notify>>,
}

struct Held {
    lease: Lease,
    answer: StoredAnswer,
    /// The payment, if the answer is not kept yet; its money is on the books.
    unkept: Option<Box<PaymentRequest>>,
}

impl Ready {
    /// Its answer is kept.
    pub(super) fn kept(
        lease: Lease,
        answer: StoredAnswer,
        receipt: SettleResponse,
        version: Version,
        asks_later: Option<Arc<Notify>>,
    ) -> Box<Self> {
        let held = Some(Held { lease, answer, unkept: None });
        Box::new(Self { held, receipt, version, asks_later })
    }

    /// Its money is on the books, and its answer is kept with the grant.
    pub(super) fn on_the_books(
        lease: Lease,
        (answer, asked): (StoredAnswer, PaymentRequest),
        receipt: SettleResponse,
        version: Version,
        asks_later: Option<Arc<Notify>>,
    ) -> Box<Self> {
        let held = Some(Held { lease, answer, unkept: Some(Box::new(asked)) });
        Box::new(Self { held, receipt, version, asks_later })
    }

    /// Nobody is there to be answered.
    pub(super) async fn keep(&mut self) {
        if let Some(held) = self.held.take() {
            held.keep().await;
        }
    }

    /// The answer as it leaves, granted.
    pub(super) async fn grant(mut self) -> Result<Response<GateBody>, Refusal> {
        let unproven = || Refusal::pending(settle::unproven(&self.receipt));
        let (answer, granted) = match self.held.take() {
            None => return Err(unproven()),
            Some(Held { lease, answer, unkept: None }) => {
                let opened = lease.open(answer).await;
                let answer = with_receipt(opened, &self.receipt, self.version)?;
                (answer, lease.grant().await)
            }
            Some(held) => {
                let copy = held.answer.clone();
                // It stays here until it was opened: what cannot be, or is dropped meanwhile, is
                // kept all the same.
                let held = self.held.insert(held);
                let opened = held.lease.open(copy).await;
                let answer = with_receipt(opened, &self.receipt, self.version)?;
                let Some(Held { lease, answer: unkept, .. }) = self.held.take() else {
                    return Err(unproven());
                };
                (answer, lease.grant_with(unkept).await)
            }
        };
        match granted {
            Ok(()) => {
                if let Some(dispatcher) = self.asks_later.take() {
                    dispatcher.notify_one();
                }
                crash_point!("G12", soon);
                Ok(answer)
            }
            Err(stop) => {
                if let Stop::Ledger(error) = stop {
                    tracing::error!(%error, "a grant could not be stored");
                }
                Err(unproven())
            }
        }
    }
}

impl Held {
    async fn keep(mut self) {
        let Some(asked) = self.unkept.take() else { return };
        if let Err(Stop::Ledger(error)) = self.lease.keep(&self.answer, &asked).await {
            tracing::warn!(%error, "an answer that nobody waited for could not be kept");
        }
    }
}

impl Drop for Ready {
    /// It was on its way to a request that was dropped.
    fn drop(&mut self) {
        let Some(held) = self.held.take() else { return };
        // Outside of a runtime the lease simply runs out.
        if let Ok(runtime) = tokio::runtime::Handle::try_current() {
            runtime.spawn(held.keep());
        }
    }
}
