//! The application behind the gate of `faregate dev`: it knows nothing of payments.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use axum::extract::State;
use axum::routing::get;
use axum::{Json, Router};
use serde_json::{Value, json};

#[derive(Clone, Default)]
struct Served(Arc<AtomicU64>);

/// `/weather` and `/forecast` are priced by the gate, `/about` is free, `/served` (not reachable
/// through the gate) tells how often the priced ones ran.
pub(crate) fn router() -> Router {
    let served = Served::default();
    Router::new()
        .route("/weather", get(weather).post(weather))
        .route("/forecast", get(forecast))
        .route("/about", get(about))
        .route("/served", get(count))
        .with_state(served)
}

async fn weather(State(served): State<Served>) -> Json<Value> {
    let number = served.0.fetch_add(1, Ordering::SeqCst).saturating_add(1);
    Json(json!({ "report": { "weather": "sunny", "temperature": 21 }, "served": number }))
}

async fn forecast(State(served): State<Served>) -> Json<Value> {
    let number = served.0.fetch_add(1, Ordering::SeqCst).saturating_add(1);
    Json(json!({ "forecast": ["sunny", "cloudy", "rain"], "served": number }))
}

async fn about() -> Json<Value> {
    Json(json!({ "name": "the demo API of faregate", "free": true }))
}

async fn count(State(served): State<Served>) -> Json<Value> {
    Json(json!({ "served": served.0.load(Ordering::SeqCst) }))
}
