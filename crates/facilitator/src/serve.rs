//! Connections: how many, how long a head may take, how large it may be, and how they end.

use std::future::Future;
use std::io;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::{GracefulShutdown, Watcher};
use hyper_util::service::TowerToHyperService;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::own_wakes;

/// Limits of the listener.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServeLimits {
    /// A request head must be complete within this time; an idle connection is closed after it.
    pub header_read_timeout: Duration,
    /// Largest request head, in bytes; above it 431.
    pub max_header_bytes: usize,
    /// Connections at once; above it new ones wait.
    pub max_connections: usize,
    /// After the shutdown signal, requests in flight get this long.
    pub drain: Duration,
}

impl Default for ServeLimits {
    fn default() -> Self {
        Self {
            header_read_timeout: Duration::from_secs(10),
            max_header_bytes: faregate_protocol::header::MAX_LIST_BYTES,
            // Room for both kinds of question at their limits.
            max_connections: 4096,
            drain: Duration::from_secs(10),
        }
    }
}

/// After a failed accept (too many open files, for one) the listener rests this long.
const ACCEPT_REST: Duration = Duration::from_millis(100);

/// Serves `router` over HTTP/1.1 until `shutdown` completes, then drains.
///
/// # Errors
/// Never after the listener is bound; failures of single connections are not failures of the
/// server.
pub async fn serve(
    listener: TcpListener,
    router: Router,
    limits: ServeLimits,
    shutdown: impl Future<Output = ()>,
) -> io::Result<()> {
    let slots = Arc::new(Semaphore::new(limits.max_connections));
    let graceful = GracefulShutdown::new();
    let mut shutdown = pin!(shutdown);
    loop {
        let accepted = tokio::select! {
            biased;
            () = &mut shutdown => break,
            accepted = accept(&listener, &slots) => accepted,
        };
        let Some((stream, slot)) = accepted else { continue };
        tokio::spawn(connection(stream, router.clone(), limits.clone(), graceful.watcher(), slot));
    }
    drop(listener);
    if tokio::time::timeout(limits.drain, graceful.shutdown()).await.is_err() {
        tracing::warn!("requests were still in flight when the drain time ended");
    }
    Ok(())
}

async fn accept(
    listener: &TcpListener,
    slots: &Arc<Semaphore>,
) -> Option<(TcpStream, OwnedSemaphorePermit)> {
    // The semaphore is never closed.
    let slot = Arc::clone(slots).acquire_owned().await.ok()?;
    match listener.accept().await {
        Ok((stream, _)) => Some((stream, slot)),
        Err(error) => {
            tracing::warn!(%error, "accept failed");
            tokio::time::sleep(ACCEPT_REST).await;
            None
        }
    }
}

async fn connection(
    stream: TcpStream,
    router: Router,
    limits: ServeLimits,
    watcher: Watcher,
    _slot: OwnedSemaphorePermit,
) {
    // Answers are small: without this the kernel holds them back for the next one.
    let _ = stream.set_nodelay(true);
    let served = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(limits.header_read_timeout)
        .max_header_size(limits.max_header_bytes)
        .serve_connection(TokioIo::new(stream), TowerToHyperService::new(router));
    if let Err(error) = own_wakes::absorb(watcher.watch(served)).await {
        tracing::debug!(%error, "a connection broke off");
    }
}
