//! `POST /settle`: 200 with an outcome for everything that is well-formed.
//!
//! Once begun, a settlement runs in a task of its own: a client that goes away changes nothing.
//! Whatever leaves the outcome open is `settlement_pending`, because a seller who is told
//! "failed" tells the buyer to pay again.

use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use axum::extract::{Request, State};
use axum::response::{IntoResponse as _, Response};
use faregate_protocol::receipt::SettleMeaning;
use faregate_protocol::{
    FacilitatorError, Network, PaymentRequest, Reason, SettleResponse, SettleTerms,
};
use http::StatusCode;
use tokio::sync::OwnedSemaphorePermit;
use tracing::Instrument as _;

use crate::answer::{Refusal, json_answer};
use crate::callers::Admitted;
use crate::measure::Stopwatch;
use crate::message::{self, Message};
use crate::router::Api;
use crate::{body, terms};

const OPERATION: &str = "settle";

pub(crate) async fn post(_: Admitted, State(api): State<Api>, request: Request) -> Response {
    match outcome(&api, request).await {
        Ok(outcome) => {
            let status = match outcome.meaning() {
                SettleMeaning::Paid => "paid",
                SettleMeaning::Unknown => "pending",
                SettleMeaning::Refused => "refused",
            };
            api.metrics.facilitator_request(OPERATION, status);
            json_answer(StatusCode::OK, &outcome)
        }
        Err(refusal) => {
            api.metrics.facilitator_request(OPERATION, refusal.metric());
            refusal.into_response()
        }
    }
}

async fn outcome(api: &Api, request: Request) -> Result<SettleResponse, Refusal> {
    let terms = terms::read(request.headers())?;
    let body = body::read(request.into_body(), &api.limits).await?;
    let message = message::read(&body)?;
    let stopwatch = Stopwatch::start(&message);
    let outcome = match message {
        Message::Payment { version, request } => {
            version.outcome(within_wait(api, request, terms).await?)
        }
        Message::UnknownNetwork { network } => refused(Reason::EvmNetworkMismatch, network),
        Message::OtherVersion { network } => refused(Reason::InvalidX402Version, network),
    };
    stopwatch.stop(&api.metrics, OPERATION);
    Ok(outcome)
}

/// The outcome, or "pending" when the client has been kept waiting long enough.
async fn within_wait(
    api: &Api,
    request: Box<PaymentRequest>,
    terms: SettleTerms,
) -> Result<SettleResponse, Refusal> {
    let permit = Arc::clone(&api.settling)
        .try_acquire_owned()
        .map_err(|_| Refusal::Busy(Reason::QueueFull))?;
    let network = request.payment_requirements.network.clone();
    let wait = wait_for(api, &terms);
    let work = tokio::spawn(settle(api.clone(), request, terms, permit).in_current_span());
    match tokio::time::timeout(wait, work).await {
        Ok(Ok(Ok(outcome))) => Ok(outcome),
        Ok(Ok(Err(FacilitatorError::Unavailable(word)))) => Err(Refusal::unavailable(word)),
        Ok(Ok(Err(_))) | Err(_) => Ok(pending(&network)),
        Ok(Err(_)) => {
            tracing::error!("a settlement panicked");
            Err(Refusal::Internal)
        }
    }
}

async fn settle(
    api: Api,
    request: Box<PaymentRequest>,
    terms: SettleTerms,
    // Held until the work ends, not until its client goes.
    _permit: OwnedSemaphorePermit,
) -> Result<SettleResponse, FacilitatorError> {
    let outcome = api.facilitator.settle(&request, &terms).await;
    if let Err(error) = &outcome {
        tracing::warn!(%error, "a settlement without outcome");
    }
    outcome
}

/// How long the client is kept waiting: until its own deadline and a little, or the default.
fn wait_for(api: &Api, terms: &SettleTerms) -> Duration {
    let Some(deadline) = terms.deadline_unix_ms else { return api.limits.settle_timeout };
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Duration::from_millis(deadline)
        .saturating_sub(now)
        .saturating_add(api.limits.settle_grace)
        .min(api.limits.settle_timeout)
}

fn pending(network: &Network) -> SettleResponse {
    SettleResponse::failed(Reason::SettlementPending, network, None, None)
}

/// Refused at the door, with the network as the caller names it.
fn refused(reason: Reason, network: String) -> SettleResponse {
    SettleResponse {
        success: false,
        error_reason: Some(reason.code().to_owned()),
        error_message: Some(reason.help().to_owned()),
        payer: None,
        transaction: String::new(),
        network,
        amount: None,
        extensions: None,
        extra: None,
    }
}
