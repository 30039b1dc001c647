//! Reserve the key, hand it to a lane, wait for the outcome. This task signs and sends nothing,
//! and it declares nothing: it reads what the workers have recorded.

use std::time::Duration;

use faregate_chain::{Inspection, SendTime};
use faregate_ledger::{LedgerError, NewSettlement, Reserved, Settlement, SettlementState as State};
use faregate_protocol::{
    FacilitatorError, PaymentKey, PaymentRequest, Reason, SettleResponse, SettleTerms,
};
use faregate_telemetry::crash_point;
use tokio::sync::futures::Notified;
use tokio::time::Instant;
use uuid::Uuid;

use crate::Engine;
use crate::desk::Desk;
use crate::verify::CHAIN_DOWN;
use crate::wake::Waiting;

/// A wait looks at the ledger this often even if nobody wakes it, and ever more rarely: a look
/// costs as much as a step of the payment does.
const FIRST_LOOK: Duration = Duration::from_secs(1);
const SELDOM: Duration = Duration::from_secs(2);

const LEDGER_DOWN: FacilitatorError =
    FacilitatorError::Unavailable(Reason::LedgerUnavailable.code());
const QUEUE_FULL: FacilitatorError = FacilitatorError::Unavailable(Reason::QueueFull.code());
const QUIET: FacilitatorError = FacilitatorError::Unavailable(Reason::QuietHours.code());

pub(crate) async fn settle(
    engine: &Engine,
    request: &PaymentRequest,
    terms: &SettleTerms,
) -> Result<SettleResponse, FacilitatorError> {
    let network = &request.payment_requirements.network;
    let refuse = |reason, payer| Ok(SettleResponse::failed(reason, network, None, payer));
    // A known payment is answered from its row, whatever has become of its chain or asset since.
    let key = PaymentKey::of(&request.payment_payload, &request.payment_requirements);
    let stored = match &key {
        Ok((key, _)) => match engine.store.find_settlement(key).await {
            Ok(stored) => stored,
            Err(error) => {
                // It may be known and paid: nothing may be promised.
                tracing::error!(%error, payment = key.short(), "asked without the ledger");
                return refuse(Reason::SettlementPending, None);
            }
        },
        Err(_) => None,
    };
    match (stored, engine.desk(network)) {
        (Some(stored), Some(desk)) => Call::new(desk, request, terms).join(stored).await,
        (Some(stored), None) => Ok(SettleResponse::failed(
            Reason::SettlementPending,
            network,
            stored.transactions.last().cloned(),
            Some(stored.new.payer),
        )),
        (None, Some(desk)) => Call::new(desk, request, terms).begin().await,
        (None, None) => refuse(Reason::InvalidNetwork, None),
    }
}

fn ledger_down(error: &LedgerError) -> FacilitatorError {
    tracing::error!(%error, "not settled: the ledger gave no answer");
    LEDGER_DOWN
}

/// One call of settle.
struct Call<'a> {
    desk: &'a Desk,
    request: &'a PaymentRequest,
    /// Its settle id, or a name made for this one call.
    caller: Uuid,
    has_key: bool,
    /// The caller's ledger, if it has one of our kind.
    deployment: Option<Uuid>,
    /// Nobody waits for the money.
    patient: bool,
    deadline: Instant,
}

impl<'a> Call<'a> {
    fn new(desk: &'a Desk, request: &'a PaymentRequest, terms: &SettleTerms) -> Self {
        let limits = &desk.limits;
        let wait = terms.deadline_unix_ms.map_or(limits.settle_wait, |end| {
            Duration::from_millis(end.saturating_sub(desk.clock.now_unix_ms()))
                .min(limits.settle_wait_max)
        });
        Self {
            desk,
            request,
            caller: terms.settle_id.unwrap_or_else(Uuid::new_v4),
            has_key: terms.settle_id.is_some(),
            deployment: terms.deployment,
            patient: terms.patient,
            deadline: Instant::now() + wait,
        }
    }

    /// A payment that was not seen before.
    async fn begin(&self) -> Result<SettleResponse, FacilitatorError> {
        let network = &self.request.payment_requirements.network;
        let refuse = |reason, payer| Ok(SettleResponse::failed(reason, network, None, payer));
        let authorization = match self.desk.chain.read(self.request) {
            Ok(authorization) => authorization,
            Err(reason) => return refuse(reason, None),
        };
        let now = self.desk.clock.now_unix();
        if self.patient
            && let SendTime::NotBefore(time) =
                self.desk.chain.send_time(now, authorization.valid_before).await
        {
            tracing::debug!(payment = authorization.key.short(), time, "kept for a quiet hour");
            return Err(QUIET);
        }
        // What verify found may have changed, and nothing is sent that cannot settle.
        let head = match self.desk.chain.inspect_afresh(self.request, now).await {
            Ok(Inspection::Valid { head, .. }) => head,
            Ok(Inspection::Invalid { reason, payer }) => {
                return self.refused(&authorization.key, reason, payer).await;
            }
            Err(error) => {
                let network = self.desk.network();
                tracing::warn!(network, %error, "not settled: the chain is silent");
                return Err(CHAIN_DOWN);
            }
        };
        let count = self.desk.store.unresolved(self.desk.network());
        let has_room = self.desk.backlog.has_room(self.desk.limits.queue, count).await;
        if !has_room.map_err(|error| ledger_down(&error))? {
            return Err(QUEUE_FULL);
        }
        if let Some(deployment) = self.deployment {
            let pay_to = &authorization.pay_to;
            let owner = self.desk.store.enrol(self.desk.network(), pay_to, deployment).await;
            if owner.map_err(|error| ledger_down(&error))? != deployment {
                tracing::error!(%deployment, pay_to, "not settled: the payee is another ledger's");
                return refuse(Reason::PayeeEnrolledElsewhere, Some(authorization.payer));
            }
        }
        let requirements_hash = self.request.payment_requirements.hash();
        let payload_hash = self.request.payment_payload.signed_hash();
        let (Ok(requirements_hash), Ok(payload_hash)) = (requirements_hash, payload_hash) else {
            return refuse(Reason::InvalidPayload, Some(authorization.payer));
        };
        let new = NewSettlement {
            key: authorization.key,
            settle_id: self.caller,
            caller_has_key: self.has_key,
            requirements_hash,
            payload_hash,
            request: self.request.clone(),
            network: network.to_string(),
            payer: authorization.payer,
            pay_to: authorization.pay_to,
            asset: authorization.asset,
            amount: authorization.amount,
            valid_before: authorization.valid_before,
            head_at_claim: head.saturating_sub(self.desk.limits.reorg_blocks),
        };
        self.reserve(&new).await
    }

    /// Stores the payment, if nobody has, and waits for its outcome.
    async fn reserve(&self, new: &NewSettlement) -> Result<SettleResponse, FacilitatorError> {
        // Before it can have an outcome, so that none is missed.
        let waiting = self.desk.wakers.wait(new.key);
        let woken = waiting.notified();
        // If the row is stored and this answer is lost, it is signed only while wanted.
        crash_point!("F1");
        let reserved = self.desk.store.reserve(new, self.wait_ms()).await;
        crash_point!("F2");
        match reserved.map_err(|error| self.reservation_unknown(&error)) {
            Ok(Reserved::New(stored)) => self.follow(*stored, &waiting, woken).await,
            Ok(Reserved::Exists(stored)) => self.join(*stored).await,
            Err(answer) => answer,
        }
    }

    /// The chain says no. Another call may have had it settled since it was looked for: to the chain
    /// it is a used authorization, and here it has an outcome.
    async fn refused(
        &self,
        key: &PaymentKey,
        reason: Reason,
        payer: Option<String>,
    ) -> Result<SettleResponse, FacilitatorError> {
        let network = &self.request.payment_requirements.network;
        let stored = self.desk.store.find_settlement(key).await;
        match stored.map_err(|error| ledger_down(&error))? {
            Some(stored) => self.join(stored).await,
            None => Ok(SettleResponse::failed(reason, network, None, payer)),
        }
    }

    fn reservation_unknown(&self, error: &LedgerError) -> Result<SettleResponse, FacilitatorError> {
        tracing::error!(%error, "a reservation may or may not be stored");
        let network = &self.request.payment_requirements.network;
        Ok(SettleResponse::failed(Reason::SettlementPending, network, None, None))
    }

    /// How long the payment counts as wanted.
    fn wait_ms(&self) -> u64 {
        let left = self.deadline.saturating_duration_since(Instant::now());
        let left = left.saturating_add(self.desk.limits.want_grace);
        u64::try_from(left.as_millis()).unwrap_or(u64::MAX)
    }

    /// Somebody reserved the key before: the same payment, or not.
    async fn join(&self, stored: Settlement) -> Result<SettleResponse, FacilitatorError> {
        let same_requirements =
            self.request.payment_requirements.hash().ok() == Some(stored.new.requirements_hash);
        let same_payload =
            self.request.payment_payload.signed_hash().ok() == Some(stored.new.payload_hash);
        if !same_requirements || !same_payload {
            return Ok(self.failed(&stored, Reason::RequirementsChanged, None));
        }
        if self.owns(&stored)
            && matches!(stored.state, State::Reserved | State::Dormant)
            && let Err(error) = self.desk.store.want(&stored.new.key, self.wait_ms()).await
        {
            tracing::error!(%error, "a waiting caller could not be recorded");
        }
        self.wait(stored).await
    }

    fn owns(&self, stored: &Settlement) -> bool {
        !stored.new.caller_has_key || (self.has_key && self.caller == stored.new.settle_id)
    }

    async fn wait(&self, stored: Settlement) -> Result<SettleResponse, FacilitatorError> {
        let waiting = self.desk.wakers.wait(stored.new.key);
        let woken = waiting.notified();
        let stored = self.read(&stored.new.key).await.unwrap_or(stored);
        self.follow(stored, &waiting, woken).await
    }

    /// From the settlement as it was read since `woken` was registered.
    async fn follow<'w>(
        &self,
        mut stored: Settlement,
        waiting: &'w Waiting<'_>,
        mut woken: Notified<'w>,
    ) -> Result<SettleResponse, FacilitatorError> {
        let mut pause = FIRST_LOOK;
        loop {
            if let Some(answer) = self.answer(&stored).await {
                return Ok(answer);
            }
            let now = Instant::now();
            if now >= self.deadline {
                return Ok(self.pending(&stored));
            }
            let look = self.deadline.min(now + pause);
            if tokio::time::timeout_at(look, woken).await.is_err() {
                pause = SELDOM.min(pause.saturating_mul(2));
            }
            woken = waiting.notified();
            stored = self.read(&stored.new.key).await.unwrap_or(stored);
        }
    }

    async fn read(&self, key: &PaymentKey) -> Option<Settlement> {
        match self.desk.store.find_settlement(key).await {
            Ok(stored) => stored,
            Err(error) => {
                tracing::warn!(%error, payment = key.short(), "waiting without the ledger");
                None
            }
        }
    }

    /// `None` while nothing is proven.
    async fn answer(&self, stored: &Settlement) -> Option<SettleResponse> {
        match stored.state {
            State::Mined | State::Final => self.paid(stored).await,
            State::Dead => Some(self.failed(stored, Reason::PaymentNotCharged, None)),
            State::Quarantined => Some(self.pending(stored)),
            State::Reserved | State::Signed | State::Broadcast | State::Dormant => None,
        }
    }

    /// One success for one settlement; `None` when the ledger cannot say whose it is.
    async fn paid(&self, stored: &Settlement) -> Option<SettleResponse> {
        let transaction = stored.evidence.as_ref().map(|proof| proof.transaction.clone())?;
        // Another ledger may have sold it already, and nothing here would show that.
        let elsewhere =
            !self.desk.limits.exclusive_pay_to && !stored.transactions.contains(&transaction);
        // Its caller owes from then on, so a reorganisation must not be able to take it back.
        if elsewhere && stored.state != State::Final {
            return None;
        }
        let theirs = if stored.new.caller_has_key {
            self.has_key && self.caller == stored.new.settle_id
        } else {
            self.desk.store.report_success(&stored.new.key, self.caller).await.ok()?
        };
        crash_point!("F9");
        let network = &stored.new.request.payment_requirements.network;
        Some(match (theirs, elsewhere) {
            (true, false) => SettleResponse::paid(network, transaction, stored.new.payer.clone()),
            (true, true) => self.failed(stored, Reason::SettledElsewhere, Some(transaction)),
            (false, _) => self.failed(stored, Reason::DuplicateSettlement, Some(transaction)),
        })
    }

    fn pending(&self, stored: &Settlement) -> SettleResponse {
        self.failed(stored, Reason::SettlementPending, stored.transactions.last().cloned())
    }

    fn failed(
        &self,
        stored: &Settlement,
        reason: Reason,
        transaction: Option<String>,
    ) -> SettleResponse {
        let network = &self.request.payment_requirements.network;
        SettleResponse::failed(reason, network, transaction, Some(stored.new.payer.clone()))
    }
}
