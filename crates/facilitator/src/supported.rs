//! `GET /supported`.

use axum::extract::State;
use axum::response::{IntoResponse as _, Response};
use faregate_protocol::Reason;
use http::StatusCode;

use crate::answer::{Refusal, json_answer};
use crate::router::Api;

const OPERATION: &str = "supported";

pub(crate) async fn get(State(api): State<Api>) -> Response {
    let asked = tokio::time::timeout(api.limits.supported_timeout, api.facilitator.supported());
    if let Ok(Ok(supported)) = asked.await {
        api.metrics.facilitator_request(OPERATION, "ok");
        return json_answer(StatusCode::OK, &supported);
    }
    let refusal = Refusal::Busy(Reason::FacilitatorUnavailable);
    api.metrics.facilitator_request(OPERATION, refusal.metric());
    refusal.into_response()
}
