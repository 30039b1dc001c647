//! Asks the facilitator to move the money, and records what it said. "Asked" is on disk before the
//! question leaves; silence is unknown, never a failure.

use std::panic::AssertUnwindSafe;
use std::time::{Duration, Instant};

use faregate_ledger::{Claim, ClaimState, DeferralState, Due};
use faregate_protocol::receipt::SettleMeaning;
use faregate_protocol::{
    FacilitatorError, Network, PaymentRequest, Reason, SettleResponse, SettleTerms,
};
use faregate_telemetry::crash_point;
use futures::FutureExt;
use http::StatusCode;
use serde_json::json;
use uuid::Uuid;

use crate::answers::Refusal;
use crate::gate::{Gate, now_unix_ms, now_unix_secs};
use crate::lease::{Lease, Stop};
use crate::{facilitator_calls, limits, receipt};

/// What the facilitator's answer means.
pub(crate) enum Reply {
    Paid(SettleResponse),
    /// The money reached the payee, by a transaction that is not the facilitator's: another ledger
    /// may have sold it, so nothing is given for it here.
    Elsewhere(SettleResponse),
    /// Refused, without proof about the authorization.
    Refused(SettleResponse),
    /// Proven that nobody was or will be charged.
    NotCharged(SettleResponse),
    /// Nothing was taken up by this call.
    NotBegun,
    Unknown {
        /// It said so itself, so asking once more may help.
        said_pending: bool,
        transaction: String,
    },
}

/// A question to settle, as often as it is asked.
struct Question<'a> {
    gate: &'a Gate,
    request: &'a PaymentRequest,
    settle_id: Uuid,
    payer: &'a str,
    /// Nobody waits for the money.
    patient: bool,
}

/// There is too little time left for a question that was never asked.
pub(crate) fn is_too_late(claim: &Claim) -> bool {
    let left = claim.new.valid_before.saturating_sub(now_unix_secs());
    left <= limits::SETTLE_MARGIN.as_secs()
}

/// EXECUTED to SETTLING, then the question, then what came of it. `Ok`: SETTLED.
pub(super) async fn first(
    gate: &Gate,
    lease: &mut Lease,
    request: &PaymentRequest,
    payer: &str,
) -> Result<SettleResponse, Refusal> {
    use ClaimState::{Executed, Settling};
    lease.step(Executed, Settling, None, json!({})).await.map_err(super::nothing_sent)?;
    asked_first(gate, lease, request, payer).await
}

/// The same from VERIFIED, before anything ran.
pub(super) async fn before_run(
    gate: &Gate,
    lease: &mut Lease,
    request: &PaymentRequest,
    payer: &str,
) -> Result<SettleResponse, Refusal> {
    lease.settle_first(request).await.map_err(super::nothing_sent)?;
    asked_first(gate, lease, request, payer).await
}

async fn asked_first(
    gate: &Gate,
    lease: &mut Lease,
    request: &PaymentRequest,
    payer: &str,
) -> Result<SettleResponse, Refusal> {
    crash_point!("G8");
    let question = Question { gate, request, settle_id: lease.settle_id(), payer, patient: false };
    let reply = lease.while_held(question.ask_and_once_more()).await;
    let reply = reply.map_err(|_| Refusal::pending(question.pending("")))?;
    record(&question, lease, ClaimState::Settling, reply).await
}

/// Asks once about money that follows its answer, under the settle id of its claim.
pub(crate) async fn about_deferred(gate: &Gate, request: &PaymentRequest, due: &Due) -> Reply {
    let (settle_id, payer) = (due.settle_id, &due.payer);
    // Of what is not paid by its end somebody wants to know at once.
    let patient = due.state != DeferralState::BadDebt;
    let question = Question { gate, request, settle_id, payer, patient };
    question.ask(gate.limits.settle_timeout).await
}

/// Repeats the question for a claim in SETTLING or UNRESOLVED that was taken over. `Ok`: SETTLED.
pub(crate) async fn again(
    gate: &Gate,
    lease: &mut Lease,
    claim: &Claim,
    request: &PaymentRequest,
) -> Result<SettleResponse, Refusal> {
    let payer = claim.new.payer.as_str();
    let question =
        Question { gate, request, settle_id: claim.new.settle_id, payer, patient: false };
    let asking = question.ask(gate.limits.settle_timeout);
    let reply = lease.while_held(asking).await;
    let reply = reply.map_err(|_| Refusal::pending(question.pending(&claim.transaction)))?;
    let believed = believed(gate, claim, reply);
    record(&question, lease, claim.state, believed).await
}

/// The receipt of a payment that cannot be granted now, as one that is still to be proven.
pub(super) fn unproven(paid: &SettleResponse) -> SettleResponse {
    SettleResponse {
        success: false,
        error_reason: Some(Reason::SettlementPending.code().to_owned()),
        error_message: Some(Reason::SettlementPending.help().to_owned()),
        ..paid.clone()
    }
}

/// A refusal of a repeated question says nothing about the first one, unless the same facilitator
/// was asked both times, keeps its replies, and had never spoken of a transaction.
fn believed(gate: &Gate, claim: &Claim, reply: Reply) -> Reply {
    let transaction = || claim.transaction.clone();
    let remembers = gate.facilitator_remembers && claim.new.facilitator == gate.facilitator.name();
    match reply {
        Reply::Refused(_) if !remembers || !claim.transaction.is_empty() => {
            Reply::Unknown { said_pending: false, transaction: transaction() }
        }
        Reply::NotBegun => Reply::Unknown { said_pending: false, transaction: transaction() },
        Reply::Unknown { said_pending, transaction: none } if none.is_empty() => {
            Reply::Unknown { said_pending, transaction: transaction() }
        }
        other => other,
    }
}

impl Question<'_> {
    fn network(&self) -> &Network {
        &self.request.payment_requirements.network
    }

    fn pending(&self, transaction: &str) -> SettleResponse {
        receipt::pending(self.network(), transaction, self.payer)
    }

    /// Asks, and exactly once more if the answer was "pending" with a transaction.
    async fn ask_and_once_more(&self) -> Reply {
        let limits = &self.gate.limits;
        let reply = self.ask(limits.settle_timeout).await;
        let Reply::Unknown { said_pending: true, transaction } = &reply else { return reply };
        if transaction.is_empty() {
            return reply;
        }
        match self.ask(limits.settle_again_timeout).await {
            proven @ (Reply::Paid(_) | Reply::Elsewhere(_) | Reply::NotCharged(_)) => proven,
            // Something was broadcast: without proof nothing else is believed.
            _ => reply,
        }
    }

    async fn ask(&self, wait: Duration) -> Reply {
        let wait_ms = u64::try_from(wait.as_millis()).unwrap_or(u64::MAX);
        let terms = SettleTerms {
            settle_id: Some(self.settle_id),
            deadline_unix_ms: Some(now_unix_ms().saturating_add(wait_ms)),
            deployment: Some(self.gate.store.deployment()),
            patient: self.patient,
        };
        let started = Instant::now();
        let asking =
            AssertUnwindSafe(self.gate.facilitator.settle(self.request, &terms)).catch_unwind();
        let patience = wait.saturating_add(limits::SETTLE_GRACE);
        let answer = tokio::time::timeout(patience, asking).await;
        // A panic tells as little as silence.
        let answer = answer.ok().and_then(Result::ok);
        let (network, scheme) =
            (self.network().as_str(), &self.request.payment_requirements.scheme);
        let metrics = &self.gate.metrics;
        metrics.payment_duration(network, scheme, "settle", started.elapsed());
        metrics.facilitator_request("settle", facilitator_calls::settled(answer.as_ref()));
        match answer {
            Some(Ok(answer)) => self.reply(answer),
            Some(Err(FacilitatorError::Unavailable(_))) => Reply::NotBegun,
            Some(Err(error)) => {
                tracing::warn!(%error, "the outcome of a settlement is not known");
                Reply::Unknown { said_pending: false, transaction: String::new() }
            }
            None => Reply::Unknown { said_pending: false, transaction: String::new() },
        }
    }

    fn reply(&self, answer: SettleResponse) -> Reply {
        let meaning = answer.meaning();
        let shown = receipt::shown(answer, self.network());
        let reason = shown.error_reason.as_deref().and_then(Reason::from_code);
        match meaning {
            SettleMeaning::Paid => Reply::Paid(shown),
            _ if reason == Some(Reason::SettledElsewhere) && !shown.transaction.is_empty() => {
                Reply::Elsewhere(shown)
            }
            SettleMeaning::Refused if reason == Some(Reason::PaymentNotCharged) => {
                Reply::NotCharged(shown)
            }
            SettleMeaning::Refused => Reply::Refused(shown),
            SettleMeaning::Unknown => Reply::Unknown {
                said_pending: reason == Some(Reason::SettlementPending),
                transaction: shown.transaction,
            },
        }
    }
}

/// Stores what the facilitator said. What cannot be stored is not acted upon.
async fn record(
    question: &Question<'_>,
    lease: &mut Lease,
    from: ClaimState,
    reply: Reply,
) -> Result<SettleResponse, Refusal> {
    use ClaimState::{Credit, NotCharged, Released, Settled, Unresolved};
    match reply {
        Reply::Paid(receipt) => {
            crash_point!("G9");
            let transaction = Some(receipt.transaction.clone());
            let stored = lease.step(from, Settled, transaction, json!({ "paid": true })).await;
            stored.map_err(|stop| unrecorded(question, &receipt.transaction, &stop))?;
            Ok(receipt)
        }
        Reply::Elsewhere(receipt) => {
            let transaction = receipt.transaction.as_str();
            tracing::error!(transaction, "paid by a stranger's transaction; the payer is owed");
            let evidence = json!({ "reason": Reason::SettledElsewhere.code() });
            let stored = lease.step(from, Credit, Some(transaction.to_owned()), evidence).await;
            stored.map_err(|stop| unrecorded(question, transaction, &stop))?;
            Err(Refusal::of(Reason::SettledElsewhere).with_transaction(transaction))
        }
        Reply::NotCharged(receipt) => {
            let evidence = json!({ "reason": receipt.error_reason });
            let stored = lease.step(from, NotCharged, None, evidence).await;
            stored.map_err(|stop| unrecorded(question, &receipt.transaction, &stop))?;
            Err(Refusal::settle_refused(receipt, true))
        }
        // The claim keeps its settle id: whoever presents the payment again asks under the same
        // one, after a verification that says the payment would settle now.
        Reply::Refused(receipt) => {
            let evidence = json!({ "reason": receipt.error_reason });
            let stored = lease.step(from, Released, None, evidence).await;
            stored.map_err(|stop| unrecorded(question, "", &stop))?;
            Err(Refusal::settle_refused(receipt, false))
        }
        Reply::NotBegun => {
            let evidence = json!({ "reason": "not taken up" });
            let stored = lease.step(from, Released, None, evidence).await;
            stored.map_err(|stop| unrecorded(question, "", &stop))?;
            let refusal = Refusal::of(Reason::FacilitatorUnavailable);
            Err(refusal.with_status(StatusCode::SERVICE_UNAVAILABLE))
        }
        Reply::Unknown { transaction, .. } => {
            if from != Unresolved {
                let known = Some(transaction.clone()).filter(|hash| !hash.is_empty());
                let evidence = json!({ "reason": "unknown" });
                let stored = lease.step(from, Unresolved, known, evidence).await;
                stored.map_err(|stop| unrecorded(question, &transaction, &stop))?;
            }
            Err(Refusal::pending(question.pending(&transaction)))
        }
    }
}

/// The facilitator answered and the ledger did not take it: to the buyer that is "not proven yet".
fn unrecorded(question: &Question<'_>, transaction: &str, stop: &Stop) -> Refusal {
    if let Stop::Ledger(error) = stop {
        tracing::error!(%error, "the outcome of a settlement could not be stored");
    }
    Refusal::pending(question.pending(transaction))
}
