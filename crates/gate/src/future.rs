//! The future of a gated request.

use std::convert::Infallible;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

use futures::future::BoxFuture;
use http::Response;

use crate::body::GateBody;

/// Resolves to the answer of the resource, or of the gate in its place. Dropping it after a payment
/// was presented stops nothing but the grant.
pub struct GateFuture(BoxFuture<'static, Response<GateBody>>);

impl GateFuture {
    pub(crate) fn new(answer: impl Future<Output = Response<GateBody>> + Send + 'static) -> Self {
        Self(Box::pin(answer))
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
        self.0.as_mut().poll(cx).map(Ok)
    }
}
