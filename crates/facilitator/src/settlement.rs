//! `GET /settlements/{payment_key}`: for those who lost the answer of settle. Without known
//! callers it tells only what the chain tells everybody.

use axum::extract::{Path, State};
use axum::response::{IntoResponse as _, Response};
use faregate_protocol::settlement_status::SettlementStatus;
use faregate_protocol::{PaymentKey, Reason};
use http::StatusCode;

use crate::answer::{Refusal, json_answer};
use crate::callers::Admitted;
use crate::router::Api;

const OPERATION: &str = "settlement";

pub(crate) async fn get(
    _: Admitted,
    State(api): State<Api>,
    Path(named): Path<String>,
) -> Response {
    match look(&api, &named).await {
        Ok(status) => {
            api.metrics.facilitator_request(OPERATION, "ok");
            json_answer(StatusCode::OK, &status)
        }
        Err(refusal) => {
            api.metrics.facilitator_request(OPERATION, refusal.metric());
            refusal.into_response()
        }
    }
}

async fn look(api: &Api, named: &str) -> Result<SettlementStatus, Refusal> {
    let key: PaymentKey = named
        .parse()
        .map_err(|_| Refusal::Malformed("a payment key is 64 hex digits".to_owned()))?;
    let unavailable = || Refusal::Busy(Reason::LedgerUnavailable);
    let asked = tokio::time::timeout(api.limits.lookup_timeout, api.settlements.settlement(&key));
    let found = asked.await.map_err(|_| unavailable())?.map_err(|_| unavailable())?;
    let mut status = found.ok_or(Refusal::NoSettlement)?;
    if api.callers.0.is_empty() {
        status.payment = None;
    }
    Ok(status)
}
