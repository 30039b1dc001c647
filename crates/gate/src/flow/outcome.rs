//! What became of a payment: one line in the log and one count, exactly once for each request that
//! presented one, also when its client is gone or something broke down.

use std::time::Instant;

use faregate_protocol::PaymentKey;
use faregate_telemetry::Metrics;
use tracing::Span;

use super::End;
use super::present::Presented;
use crate::answers::Refusal;

/// Granted.
const SUCCESS: &str = "success";
/// Paid, and nobody was there to take the answer; the same payment gets it later.
const ABANDONED: &str = "abandoned";
/// It had bought its answer before, and got it again.
const DUPLICATE: &str = "duplicate";
/// The application failed; its own answer passed unpaid.
const HANDLER_FAILED: &str = "handler_failed";
/// Settlement was asked for and is not proven.
const PENDING: &str = "pending";
/// Anything else.
const ERROR: &str = "error";

/// Tells when it is dropped, wherever that happens.
pub(super) struct Outcome {
    metrics: Metrics,
    /// The request's: its id is on the line.
    span: Span,
    started: Instant,
    key: PaymentKey,
    route: String,
    network: String,
    scheme: String,
    status: &'static str,
    code: Option<String>,
    transaction: Option<String>,
}

impl Outcome {
    /// Of a payment whose work begins now.
    pub(super) fn of(presented: &Presented, metrics: &Metrics) -> Self {
        let option = &presented.asked.payment_requirements;
        Self {
            metrics: metrics.clone(),
            span: Span::current(),
            started: Instant::now(),
            key: presented.key,
            route: presented.route.name.clone(),
            network: option.network.to_string(),
            scheme: option.scheme.clone(),
            status: ERROR,
            code: None,
            transaction: None,
        }
    }

    /// What the work came to, if nothing follows.
    pub(super) fn worked(&mut self, ended: &Result<End, Refusal>) {
        match ended {
            Ok(End::Ready(ready)) => {
                self.status = ABANDONED;
                let transaction = ready.receipt.transaction.clone();
                self.transaction = Some(transaction).filter(|hash| !hash.is_empty());
            }
            Ok(End::Repeated { transaction, .. }) => {
                self.status = DUPLICATE;
                self.transaction = Some(transaction.clone()).filter(|hash| !hash.is_empty());
            }
            Ok(End::Failed(_)) => self.status = HANDLER_FAILED,
            Err(refusal) => self.refused(refusal),
        }
    }

    /// The grant is on disk.
    pub(super) fn granted(&mut self) {
        self.status = SUCCESS;
    }

    /// The request is answered with this.
    pub(super) fn refused(&mut self, refusal: &Refusal) {
        self.status = refusal.outcome();
        self.code = Some(refusal.code().to_owned());
        self.transaction = refusal.transaction().map(str::to_owned).or(self.transaction.take());
    }
}

impl Drop for Outcome {
    fn drop(&mut self) {
        self.metrics.payment_attempt(&self.network, &self.scheme, self.status);
        let duration_ms = u64::try_from(self.started.elapsed().as_millis()).unwrap_or(u64::MAX);
        // A macro, because an event's level has to be a constant.
        macro_rules! tell {
            ($level:ident) => {
                tracing::$level!(
                    parent: &self.span,
                    payment = self.key.short(),
                    route = self.route,
                    status = self.status,
                    code = self.code.as_deref(),
                    network = self.network,
                    transaction = self.transaction.as_deref(),
                    duration_ms,
                    "payment"
                )
            };
        }
        if self.status == PENDING { tell!(warn) } else { tell!(info) }
    }
}
