//! One kept connection, moved by the task that asks.
//!
//! hyper leaves it to its user who polls a connection. A task of its own would have to be woken
//! for the request and would wake the asking one for the answer; here both are one task, so a
//! question to an endpoint costs one wake: that of the socket.

use std::future::poll_fn;
use std::pin::{Pin, pin};
use std::task::{Context, Poll, Waker};

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::client::conn::http1::{self, SendRequest};
use hyper_rustls::MaybeHttpsStream;
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tokio::task::unconstrained;

/// The bytes below HTTP.
pub(super) type Stream = MaybeHttpsStream<TokioIo<TcpStream>>;

/// A connection on which at most one request is under way.
pub(super) struct Connection {
    sender: SendRequest<Full<Bytes>>,
    io: http1::Connection<Stream, Full<Bytes>>,
    /// hyper's future must not be polled after its end.
    ended: bool,
}

/// Why a request has no answer.
pub(super) enum Lost {
    /// Nothing of the request was sent.
    Unsent,
    /// It may have arrived.
    Sent(hyper::Error),
}

impl Connection {
    /// Over an open stream.
    pub(super) async fn over(stream: Stream) -> Result<Self, hyper::Error> {
        let (sender, io) = http1::handshake(stream).await?;
        Ok(Self { sender, io, ended: false })
    }

    /// Whether it can take a request: it is open as far as the machine knows, and the answer to
    /// the last request was read to its end.
    ///
    /// Afterwards no task is registered with it, so what happens to it meanwhile wakes nobody,
    /// and the task that asks next is not woken by its own request.
    pub(super) fn is_free(&mut self) -> bool {
        let polled = poll_fn(|context| {
            self.advance(context);
            Poll::Ready(())
        });
        // Without a budget: a poll that it cut short would leave the task registered.
        let _ = pin!(unconstrained(polled)).poll(&mut Context::from_waker(Waker::noop()));
        !self.ended && self.sender.is_ready()
    }

    /// Sends a request and reads the head of its answer.
    pub(super) async fn send(
        &mut self,
        request: Request<Full<Bytes>>,
    ) -> Result<Response<Incoming>, Lost> {
        let answer = self.sender.try_send_request(request);
        self.drive(answer).await.map_err(|lost| match lost.message() {
            Some(_) => Lost::Unsent,
            None => Lost::Sent(lost.into_error()),
        })
    }

    /// Waits for `wanted`, which comes over this connection.
    ///
    /// `wanted` gets on only when the connection does, and is looked at each time; so it is given
    /// no waker. The task's own would be called from within the task, which schedules it again
    /// for nothing.
    pub(super) async fn drive<F: Future>(&mut self, wanted: F) -> F::Output {
        let mut wanted = pin!(unconstrained(wanted));
        poll_fn(|context| {
            let mut silent = Context::from_waker(Waker::noop());
            if let Poll::Ready(output) = wanted.as_mut().poll(&mut silent) {
                return Poll::Ready(output);
            }
            self.advance(context);
            wanted.as_mut().poll(&mut silent)
        })
        .await
    }

    fn advance(&mut self, context: &mut Context<'_>) {
        if !self.ended {
            // An error is also the outcome of whatever is waited for.
            self.ended = Pin::new(&mut self.io).poll(context).is_ready();
        }
    }
}
