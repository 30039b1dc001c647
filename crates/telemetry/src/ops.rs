//! The operator's listener: metrics, alive, ready. It is never the listener of strangers.

use std::sync::Arc;

use axum::Json;
use axum::Router;
use axum::extract::State;
use axum::http::header::{CACHE_CONTROL, CONTENT_TYPE};
use axum::response::{IntoResponse as _, Response};
use axum::routing::get;
use serde_json::json;

use crate::metrics::{self, Metrics};
use crate::readiness::{self, Readiness};

#[derive(Clone)]
struct Ops {
    metrics: Metrics,
    readiness: Arc<dyn Readiness>,
}

/// `GET /metrics` (OpenMetrics), `GET /healthz` (the process is alive) and `GET /readyz` (200, or
/// 503 with the names of what is not ready).
pub fn router(metrics: Metrics, readiness: Arc<dyn Readiness>) -> Router {
    Router::new()
        .route("/metrics", get(scrape))
        .route("/healthz", get(alive))
        .route("/readyz", get(ready))
        .with_state(Ops { metrics, readiness })
}

async fn scrape(State(ops): State<Ops>) -> Response {
    let headers = [(CONTENT_TYPE, metrics::CONTENT_TYPE), (CACHE_CONTROL, "no-store")];
    (headers, ops.metrics.render()).into_response()
}

/// The answer of `/healthz`: the process runs and its event loop turns, nothing more.
pub async fn alive() -> Response {
    Json(json!({"status": "alive"})).into_response()
}

async fn ready(State(ops): State<Ops>) -> Response {
    readiness::answer(&*ops.readiness).await
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Checks;
    use axum::body::{Body, to_bytes};
    use axum::http::Request;
    use tower::ServiceExt as _;

    async fn ask(checks: Checks, path: &str) -> (u16, String, String) {
        let metrics = Metrics::new([]);
        metrics.facilitator_request("settle", "paid");
        let request = Request::get(path).body(Body::empty()).unwrap();
        let response = router(metrics, Arc::new(checks)).oneshot(request).await.unwrap();
        let status = response.status().as_u16();
        let kind = response.headers()[CONTENT_TYPE].to_str().unwrap().to_owned();
        let body = to_bytes(response.into_body(), 1 << 20).await.unwrap();
        (status, kind, String::from_utf8(body.to_vec()).unwrap())
    }

    #[tokio::test]
    async fn metrics_are_openmetrics() {
        let (status, kind, body) = ask(Checks::new(), "/metrics").await;
        assert_eq!((status, kind.as_str()), (200, metrics::CONTENT_TYPE));
        assert!(body.contains(r#"x402_facilitator_requests_total{operation="settle""#), "{body}");
        assert!(body.ends_with("# EOF\n"));
    }

    #[tokio::test]
    async fn alive_is_not_ready() {
        let down = || Checks::new().with("chain", || async { false });
        let (status, _, body) = ask(down(), "/healthz").await;
        assert_eq!((status, body.as_str()), (200, r#"{"status":"alive"}"#));
        let (status, _, body) = ask(down(), "/readyz").await;
        assert_eq!(
            (status, body.as_str()),
            (503, r#"{"status":"not_ready","not_ready":["chain"]}"#)
        );
        let (status, _, body) = ask(Checks::new(), "/readyz").await;
        assert_eq!((status, body.as_str()), (200, r#"{"status":"ready"}"#));
    }
}
