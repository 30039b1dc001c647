//! The one body type on both sides of the gate: a stream for free routes, bytes for paid ones.

use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Full};

/// Why a body broke off.
pub type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// A request or response body.
pub struct GateBody(Kind);

enum Kind {
    /// At hand: nothing is put behind a pointer for it.
    Full(Full<Bytes>),
    Stream(UnsyncBoxBody<Bytes, BoxError>),
}

impl GateBody {
    /// Passes a body on as it streams; one that has ended already is dropped.
    pub fn new<B>(body: B) -> Self
    where
        B: Body<Data = Bytes> + Send + 'static,
        B::Error: Into<BoxError>,
    {
        if body.is_end_stream() {
            return Self::empty();
        }
        Self(Kind::Stream(body.map_err(Into::into).boxed_unsync()))
    }

    /// These bytes.
    #[must_use]
    pub fn full(bytes: impl Into<Bytes>) -> Self {
        Self(Kind::Full(Full::new(bytes.into())))
    }

    /// No bytes.
    #[must_use]
    pub fn empty() -> Self {
        Self::full(Bytes::new())
    }
}

impl std::fmt::Debug for GateBody {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("GateBody").finish_non_exhaustive()
    }
}

impl Body for GateBody {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        match &mut self.0 {
            Kind::Full(body) => Pin::new(body).poll_frame(cx).map_err(|never| match never {}),
            Kind::Stream(body) => Pin::new(body).poll_frame(cx),
        }
    }

    fn is_end_stream(&self) -> bool {
        match &self.0 {
            Kind::Full(body) => body.is_end_stream(),
            Kind::Stream(body) => body.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.0 {
            Kind::Full(body) => body.size_hint(),
            Kind::Stream(body) => body.size_hint(),
        }
    }
}

/// What became of a body that was to be held in memory.
#[derive(Debug)]
pub(crate) enum Collected {
    /// All of it.
    Whole(Bytes),
    /// More than the limit; the part up to the limit.
    TooLarge(Bytes),
    /// It broke off.
    Broken,
}

/// Reads up to `limit` bytes. Trailers are dropped.
pub(crate) async fn collect(body: GateBody, limit: usize) -> Collected {
    let mut body = body;
    let mut held = bytes::BytesMut::new();
    loop {
        let data = match body.frame().await {
            None => return Collected::Whole(held.freeze()),
            Some(Err(_)) => return Collected::Broken,
            Some(Ok(frame)) => frame.into_data().unwrap_or_default(),
        };
        let room = limit.saturating_sub(held.len());
        if data.len() > room {
            held.extend_from_slice(data.get(..room).unwrap_or_default());
            return Collected::TooLarge(held.freeze());
        }
        held.extend_from_slice(&data);
    }
}
