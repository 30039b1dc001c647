//! The gate as a tower service: judges each request and sends it where it belongs.

use std::convert::Infallible;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use faregate_protocol::Reason;
use faregate_telemetry::RequestId;
use http::{Request, Response};
use http_body::Body;
use tower::{Service, ServiceExt};
use tracing::Instrument;

use crate::answers::Refusal;
use crate::body::{BoxError, GateBody};
use crate::flow::{self, Run};
use crate::future::GateFuture;
use crate::gate::Gate;
use crate::route_table::Decision;
use crate::{cors, request_headers};

/// A service behind a gate.
#[derive(Clone, Debug)]
pub struct GateService<S> {
    inner: S,
    gate: Arc<Gate>,
}

impl<S> GateService<S> {
    /// Puts `gate` before `inner`.
    pub const fn new(inner: S, gate: Arc<Gate>) -> Self {
        Self { inner, gate }
    }
}

impl<S, B, R> Service<Request<B>> for GateService<S>
where
    S: Service<Request<GateBody>, Response = Response<R>> + Clone + Send + 'static,
    S::Future: Send,
    S::Error: Into<BoxError>,
    B: Body<Data = Bytes> + Send + 'static,
    B::Error: Into<BoxError>,
    R: Body<Data = Bytes> + Send + 'static,
    R::Error: Into<BoxError>,
{
    type Response = Response<GateBody>;
    type Error = Infallible;
    type Future = GateFuture;

    fn poll_ready(&mut self, _cx: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        // Most requests never reach the inner service; those that do wait for it there.
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<B>) -> GateFuture {
        let inner = self.inner.clone();
        let gate = Arc::clone(&self.gate);
        let run: Run = Box::new(move |request| {
            Box::pin(async move {
                let response = inner.oneshot(request).await.map_err(Into::into)?;
                Ok(response.map(GateBody::new))
            })
        });
        GateFuture::new(identified(gate, request.map(GateBody::new), run))
    }
}

/// Gives the request its id: in every log line, on the answer, and towards the application. One
/// that was given further out is kept.
async fn identified(
    gate: Arc<Gate>,
    mut request: Request<GateBody>,
    run: Run,
) -> Response<GateBody> {
    let given = request.extensions().get::<RequestId>().cloned();
    let id = given.unwrap_or_else(|| RequestId::of(request.headers()));
    request_headers::tell_id(request.headers_mut(), &id);
    request.extensions_mut().insert(id.clone());
    let mut response = answer(gate, request, run).instrument(id.span()).await;
    id.mark(response.headers_mut());
    response
}

async fn answer(gate: Arc<Gate>, request: Request<GateBody>, run: Run) -> Response<GateBody> {
    let refused = |reason| Refusal::of(reason).into_response();
    match gate.table.decide(&request) {
        Decision::Priced(route) => flow::priced(&gate, route, request, run).await,
        Decision::Free { near_price } => pass(request, near_price, run).await,
        Decision::Denied => refused(Reason::NotFound),
        Decision::Preflight => cors::preflight(),
        Decision::Ambiguous => refused(Reason::AmbiguousPath),
        Decision::Upgrade => refused(Reason::UpgradeNotPriced),
    }
}

/// A free request: it streams both ways.
async fn pass(mut request: Request<GateBody>, near_price: bool, run: Run) -> Response<GateBody> {
    let headers = request.headers_mut();
    request_headers::strip_always(headers);
    if near_price {
        request_headers::strip_method_overrides(headers);
    }
    match run(request).await {
        Ok(response) => response,
        Err(_) => Refusal::of(Reason::InternalError).into_response(),
    }
}
