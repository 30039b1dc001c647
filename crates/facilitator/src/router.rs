//! The routes, and what every request passes: its id, its span, and the net under a panic.

use std::future::poll_fn;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;

use axum::Router;
use axum::extract::{Request, State};
use axum::middleware::{Next, from_fn};
use axum::response::{IntoResponse as _, Response};
use axum::routing::get;
use faregate_protocol::Facilitator;
use faregate_protocol::settlement_status::SettlementLookup;
use faregate_telemetry::{Metrics, Readiness, ops, readiness, request_id};
use http::StatusCode;
use serde_json::{Value, json};
use tokio::sync::Semaphore;

use crate::answer::{Refusal, json_answer};
use crate::callers::Callers;
use crate::limits::Limits;
use crate::{openapi, settle, settlement, supported, verify};

/// What the API stands on.
#[derive(Clone)]
pub struct FacilitatorState {
    /// Who verifies and settles.
    pub facilitator: Arc<dyn Facilitator>,
    /// Who knows what became of settlements.
    pub settlements: Arc<dyn SettlementLookup>,
    /// Where requests are counted.
    pub metrics: Metrics,
    /// Whether work can be taken up.
    pub readiness: Arc<dyn Readiness>,
    /// Limits.
    pub limits: Limits,
    /// Who may verify, settle and look settlements up; nobody named: everybody.
    pub callers: Callers,
}

/// The API's parts, shared as one: each layer of the router clones them for each request.
pub(crate) type Api = Arc<Parts>;

pub(crate) struct Parts {
    pub(crate) facilitator: Arc<dyn Facilitator>,
    pub(crate) settlements: Arc<dyn SettlementLookup>,
    pub(crate) metrics: Metrics,
    pub(crate) readiness: Arc<dyn Readiness>,
    pub(crate) limits: Limits,
    pub(crate) callers: Callers,
    pub(crate) verifying: Semaphore,
    pub(crate) settling: Arc<Semaphore>,
}

/// The HTTP API: `POST /verify`, `POST /settle`, `GET /settlements/{payment_key}`, `/supported`,
/// `/openapi.json`, `/health`, `/healthz`, `/readyz`.
pub fn router(state: FacilitatorState) -> Router {
    let api = Arc::new(Parts {
        verifying: Semaphore::new(state.limits.max_verifying),
        settling: Arc::new(Semaphore::new(state.limits.max_settling)),
        facilitator: state.facilitator,
        settlements: state.settlements,
        metrics: state.metrics,
        readiness: state.readiness,
        limits: state.limits,
        callers: state.callers,
    });
    Router::new()
        .route("/verify", get(|| async { usage("/verify") }).post(verify::post))
        .route("/settle", get(|| async { usage("/settle") }).post(settle::post))
        .route("/settlements/{payment_key}", get(settlement::get))
        .route("/supported", get(supported::get))
        .route("/openapi.json", get(openapi::get))
        .route("/health", get(health))
        .route("/healthz", get(ops::alive))
        .route("/readyz", get(ready))
        .fallback(|| async { Refusal::NotFound })
        .method_not_allowed_fallback(|| async { Refusal::MethodNotAllowed })
        .with_state(api)
        .layer(from_fn(guard))
}

fn usage(path: &str) -> Response {
    let body: Value = json!({
        "endpoint": path,
        "method": "POST",
        "body": ["x402Version", "paymentPayload", "paymentRequirements"],
    });
    json_answer(StatusCode::OK, &body)
}

async fn health(State(api): State<Api>) -> Response {
    if api.readiness.not_ready().await.is_empty() {
        json_answer(StatusCode::OK, &json!({"status": "ok"}))
    } else {
        json_answer(StatusCode::SERVICE_UNAVAILABLE, &json!({"status": "unavailable"}))
    }
}

async fn ready(State(api): State<Api>) -> Response {
    readiness::answer(&*api.readiness).await
}

/// What every request passes. One layer for all of it: each further one would cost a request
/// several allocations.
async fn guard(request: Request, next: Next) -> Response {
    request_id::carry(request, |request| catch_panic(next.run(request))).await
}

/// A panic is a 500 without details; what is known of it went to the panic hook.
async fn catch_panic(answer: impl Future<Output = Response>) -> Response {
    let mut work = pin!(answer);
    let caught =
        poll_fn(|context| match catch_unwind(AssertUnwindSafe(|| work.as_mut().poll(context))) {
            Ok(Poll::Pending) => Poll::Pending,
            Ok(Poll::Ready(response)) => Poll::Ready(Ok(response)),
            Err(_) => Poll::Ready(Err(Refusal::Internal)),
        })
        .await;
    caught.unwrap_or_else(|refusal| {
        tracing::error!("a request panicked");
        refusal.into_response()
    })
}
