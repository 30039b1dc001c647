//! `GET /supported`: every kind under its version 2 name, and under its version 1 name if its
//! network has one.

use axum::extract::State;
use axum::response::{IntoResponse as _, Response};
use faregate_protocol::{Reason, SupportedKind, SupportedResponse, X402_VERSION, v1};
use http::StatusCode;

use crate::answer::{Refusal, json_answer};
use crate::router::Api;

const OPERATION: &str = "supported";

pub(crate) async fn get(State(api): State<Api>) -> Response {
    let asked = tokio::time::timeout(api.limits.supported_timeout, api.facilitator.supported());
    if let Ok(Ok(supported)) = asked.await {
        api.metrics.facilitator_request(OPERATION, "ok");
        return json_answer(StatusCode::OK, &with_v1_names(supported));
    }
    let refusal = Refusal::Busy(Reason::FacilitatorUnavailable);
    api.metrics.facilitator_request(OPERATION, refusal.metric());
    refusal.into_response()
}

fn with_v1_names(mut supported: SupportedResponse) -> SupportedResponse {
    let named: Vec<_> = supported.kinds.iter().filter_map(v1_kind).collect();
    for kind in named {
        if !supported.kinds.contains(&kind) {
            supported.kinds.push(kind);
        }
    }
    supported
}

fn v1_kind(kind: &SupportedKind) -> Option<SupportedKind> {
    let network = kind.network.parse().ok().filter(|_| kind.x402_version == X402_VERSION)?;
    let name = v1::network_name(&network)?;
    let (x402_version, network) = (v1::X402_VERSION, name.to_owned());
    Some(SupportedKind { x402_version, network, ..kind.clone() })
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn kinds(supported: &SupportedResponse) -> Value {
        serde_json::to_value(&supported.kinds).unwrap()
    }

    #[test]
    fn a_kind_whose_network_has_a_name_is_listed_under_both() {
        let own = [
            json!({"x402Version": 2, "scheme": "exact", "network": "eip155:84532"}),
            json!({"x402Version": 2, "scheme": "exact", "network": "eip155:31337"}),
            json!({"x402Version": 2, "scheme": "exact", "network": "solana:5eykt4UsFv8P8NJdTREpY1vzqKqZKvdp"}),
            json!({"x402Version": 2, "scheme": "exact", "network": "eip155:8453", "extra": {"a": 1}}),
        ];
        let listed = with_v1_names(SupportedResponse {
            kinds: own.iter().map(|kind| serde_json::from_value(kind.clone()).unwrap()).collect(),
            ..SupportedResponse::default()
        });
        let mut want = own.to_vec();
        want.push(json!({"x402Version": 1, "scheme": "exact", "network": "base-sepolia"}));
        want.push(
            json!({"x402Version": 1, "scheme": "exact", "network": "base", "extra": {"a": 1}}),
        );
        assert_eq!(kinds(&listed), json!(want));
        assert_eq!(kinds(&with_v1_names(listed.clone())), kinds(&listed), "and only once");
    }
}
