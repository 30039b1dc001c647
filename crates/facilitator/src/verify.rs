//! `POST /verify`: 200 with a verdict for everything that is well-formed.

use axum::extract::{Request, State};
use axum::response::{IntoResponse as _, Response};
use faregate_protocol::{PaymentRequest, Reason, VerifyResponse};
use http::StatusCode;

use crate::answer::{Refusal, json_answer};
use crate::body;
use crate::callers::Admitted;
use crate::measure::Stopwatch;
use crate::message::{self, Message};
use crate::router::Api;

const OPERATION: &str = "verify";

pub(crate) async fn post(_: Admitted, State(api): State<Api>, request: Request) -> Response {
    match verdict(&api, request).await {
        Ok(verdict) => {
            let status = if verdict.is_valid { "valid" } else { "invalid" };
            api.metrics.facilitator_request(OPERATION, status);
            json_answer(StatusCode::OK, &verdict)
        }
        Err(refusal) => {
            api.metrics.facilitator_request(OPERATION, refusal.metric());
            refusal.into_response()
        }
    }
}

async fn verdict(api: &Api, request: Request) -> Result<VerifyResponse, Refusal> {
    let body = body::read(request.into_body(), &api.limits).await?;
    let message = message::read(&body)?;
    let stopwatch = Stopwatch::start(&message);
    let verdict = match message {
        Message::Payment { version, request } => version.verdict(verify(api, &request).await?),
        Message::UnknownNetwork { .. } => VerifyResponse::invalid(Reason::EvmNetworkMismatch, None),
        Message::OtherVersion { .. } => VerifyResponse::invalid(Reason::InvalidX402Version, None),
    };
    stopwatch.stop(&api.metrics, OPERATION);
    Ok(verdict)
}

async fn verify(api: &Api, request: &PaymentRequest) -> Result<VerifyResponse, Refusal> {
    let _permit = api.verifying.try_acquire().map_err(|_| Refusal::Busy(Reason::QueueFull))?;
    let asked = api.facilitator.verify(request);
    match tokio::time::timeout(api.limits.verify_timeout, asked).await {
        Ok(Ok(verdict)) => Ok(verdict),
        Ok(Err(error)) => {
            tracing::warn!(%error, "no verdict");
            Err(Refusal::of_verify(&error))
        }
        Err(_) => {
            tracing::warn!("no verdict in time");
            Err(Refusal::Busy(Reason::FacilitatorUnavailable))
        }
    }
}
