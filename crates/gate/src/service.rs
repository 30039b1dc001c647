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
use crate::route::Route;
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
        let given = request.extensions().get::<RequestId>().cloned();
        let id = given.unwrap_or_else(|| RequestId::of(request.headers()));
        let span = id.span();
        match span.in_scope(|| way(&self.gate, &request)) {
            Way::Answered(mut answer) => {
                id.end_in(answer.headers_mut());
                GateFuture::known(answer)
            }
            Way::Free { near_price } => {
                let request = told(request.map(GateBody::new), &id);
                let answer = pass(self.inner.clone(), request, near_price);
                GateFuture::new(answer.instrument(span), id)
            }
            Way::Paid(route) => {
                let request = told(request.map(GateBody::new), &id);
                let (gate, inner) = (Arc::clone(&self.gate), self.inner.clone());
                let run: Run = Box::new(move |request| Box::pin(reach(inner, request)));
                let answer = async move { flow::priced(&gate, route, request, run).await };
                GateFuture::new(answer.instrument(span), id)
            }
        }
    }
}

/// Where a request goes.
enum Way {
    /// Nowhere: the gate has answered it.
    Answered(Response<GateBody>),
    /// To the application.
    Free { near_price: bool },
    /// To the application, if the payment that it brings is good.
    Paid(Arc<Route>),
}

/// Judges a request by its head. Whatever can be said without waiting is said here, where the
/// request is not moved and the future of a payment is not built: most requests at a gate are asked
/// for money for the first time.
fn way<B>(gate: &Gate, request: &Request<B>) -> Way {
    let refused = |reason| Way::Answered(Refusal::of(reason).into_response());
    match gate.table.decide(request) {
        Decision::Priced(route) => match flow::unpaid(gate, &route, request) {
            Some(challenge) => Way::Answered(challenge),
            None => Way::Paid(route),
        },
        Decision::Free { near_price } => Way::Free { near_price },
        Decision::Denied => refused(Reason::NotFound),
        Decision::Preflight => Way::Answered(cors::preflight()),
        Decision::Ambiguous => refused(Reason::AmbiguousPath),
        Decision::Upgrade => refused(Reason::UpgradeNotPriced),
    }
}

/// Tells the application the id of the request, which is also on the answer and in every log line.
fn told(mut request: Request<GateBody>, id: &RequestId) -> Request<GateBody> {
    request_headers::tell_id(request.headers_mut(), id);
    request.extensions_mut().insert(id.clone());
    request
}

/// A free request: it streams both ways.
async fn pass<S, R>(
    inner: S,
    mut request: Request<GateBody>,
    near_price: bool,
) -> Response<GateBody>
where
    S: Service<Request<GateBody>, Response = Response<R>>,
    S::Error: Into<BoxError>,
    R: Body<Data = Bytes> + Send + 'static,
    R::Error: Into<BoxError>,
{
    let headers = request.headers_mut();
    request_headers::strip_always(headers);
    if near_price {
        request_headers::strip_method_overrides(headers);
    }
    match reach(inner, request).await {
        Ok(response) => response,
        Err(_) => Refusal::of(Reason::InternalError).into_response(),
    }
}

/// The answer of the service behind the gate.
async fn reach<S, R>(inner: S, request: Request<GateBody>) -> Result<Response<GateBody>, BoxError>
where
    S: Service<Request<GateBody>, Response = Response<R>>,
    S::Error: Into<BoxError>,
    R: Body<Data = Bytes> + Send + 'static,
    R::Error: Into<BoxError>,
{
    let response = inner.oneshot(request).await.map_err(Into::into)?;
    Ok(response.map(GateBody::new))
}
