//! The future of a gated request.

use std::convert::Infallible;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

use faregate_telemetry::RequestId;
use futures::future::BoxFuture;
use http::Response;

use crate::body::GateBody;

/// Resolves to the answer of the resource, or of the gate in its place. Dropping it after a payment
/// was presented stops nothing but the grant.
pub struct GateFuture(State);

enum State {
    /// What the gate says without waiting; none once it was given away.
    Known(Option<Response<GateBody>>),
    /// With the id that goes on the answer.
    Waiting(BoxFuture<'static, Response<GateBody>>, RequestId),
}

impl GateFuture {
    pub(crate) const fn known(answer: Response<GateBody>) -> Self {
        Self(State::Known(Some(answer)))
    }

    pub(crate) fn new(
        answer: impl Future<Output = Response<GateBody>> + Send + 'static,
        id: RequestId,
    ) -> Self {
        Self(State::Waiting(Box::pin(answer), id))
    }
}

impl std::fmt::Debug for GateFuture {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("GateFuture").finish_non_exhaustive()
    }
}

impl Future for GateFuture {
    type Output = Result<Response<GateBody>, Infallible>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        match &mut self.0 {
            // Nobody polls it again after its end; who does waits.
            State::Known(answer) => answer.take().map_or(Poll::Pending, |it| Poll::Ready(Ok(it))),
            State::Waiting(answer, id) => answer.as_mut().poll(cx).map(|mut answer| {
                id.mark(answer.headers_mut());
                Ok(answer)
            }),
        }
    }
}
