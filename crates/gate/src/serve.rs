//! The accept loop: bounded heads, bounded connections, and a drain with an end.

use std::convert::Infallible;
use std::future::Future;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use http::{Request, Response};
use hyper::body::Incoming;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use hyper_util::server::graceful::GracefulShutdown;
use hyper_util::service::TowerToHyperService;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tower::Service;

use crate::body::GateBody;
use crate::limits;
use crate::proxy::PeerAddr;
use crate::writes_last::WritesLast;

/// Pause after an accept error such as too many open files.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// How connections are served.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ServeConfig {
    /// Time that open requests have to end after shutdown was asked for.
    pub drain: Duration,
    /// Time a client has to send the head of a request.
    pub header_read_timeout: Duration,
    /// Open connections; more wait to be accepted.
    pub max_connections: usize,
}

impl Default for ServeConfig {
    fn default() -> Self {
        Self {
            drain: limits::DRAIN,
            header_read_timeout: limits::HEADER_READ_TIMEOUT,
            max_connections: limits::MAX_CONNECTIONS,
        }
    }
}

/// Serves HTTP/1.1 on `listener` until `shutdown` resolves, then lets open requests end for at most
/// `config.drain`. A request head above 64 KiB or 100 fields is answered 431. Each request carries
/// its client's address as [`PeerAddr`].
pub async fn serve<S>(
    listener: TcpListener,
    service: S,
    config: ServeConfig,
    shutdown: impl Future<Output = ()>,
) where
    S: Service<Request<Incoming>, Response = Response<GateBody>, Error = Infallible>
        + Clone
        + Send
        + 'static,
    S::Future: Send,
{
    let graceful = GracefulShutdown::new();
    let seats = Arc::new(Semaphore::new(config.max_connections));
    let mut shutdown = std::pin::pin!(shutdown);
    loop {
        let accepted = tokio::select! {
            biased;
            () = shutdown.as_mut() => break,
            accepted = accept(&listener, &seats) => accepted,
        };
        match accepted {
            Ok((stream, peer, seat)) => {
                connection(stream, peer, seat, service.clone(), config, &graceful);
            }
            Err(error) => {
                tracing::warn!(%error, "a connection could not be accepted");
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
    drop(listener);
    if tokio::time::timeout(config.drain, graceful.shutdown()).await.is_err() {
        tracing::warn!("connections were still open at the end of the drain");
    }
}

async fn accept(
    listener: &TcpListener,
    seats: &Arc<Semaphore>,
) -> io::Result<(TcpStream, PeerAddr, OwnedSemaphorePermit)> {
    let seat = Arc::clone(seats).acquire_owned().await.map_err(io::Error::other)?;
    let (stream, peer) = listener.accept().await?;
    stream.set_nodelay(true)?;
    Ok((stream, PeerAddr::from(peer), seat))
}

fn connection<S>(
    stream: TcpStream,
    peer: PeerAddr,
    seat: OwnedSemaphorePermit,
    service: S,
    config: ServeConfig,
    graceful: &GracefulShutdown,
) where
    S: Service<Request<Incoming>, Response = Response<GateBody>, Error = Infallible>
        + Clone
        + Send
        + 'static,
    S::Future: Send,
{
    let with_peer = tower::util::MapRequest::new(service, move |mut request: Request<Incoming>| {
        request.extensions_mut().insert(peer.clone());
        request
    });
    let mut builder = auto::Builder::new(TokioExecutor::new()).http1_only();
    builder
        .http1()
        .timer(TokioTimer::new())
        .header_read_timeout(config.header_read_timeout)
        .max_headers(limits::MAX_HEADER_FIELDS)
        .max_buf_size(faregate_protocol::header::MAX_LIST_BYTES);
    let serving = builder
        .serve_connection_with_upgrades(
            WritesLast::new(TokioIo::new(stream)),
            TowerToHyperService::new(with_peer),
        )
        .into_owned();
    let serving = graceful.watch(serving);
    tokio::spawn(async move {
        let _seat = seat;
        // Broken connections are the client's affair.
        let _ = serving.await;
    });
}
