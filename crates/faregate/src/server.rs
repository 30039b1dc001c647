//! Listeners, signals and the runtime: what every role of this process shares.

use std::net::SocketAddr;
use std::time::Duration;

use anyhow::Context as _;
use tokio::net::TcpListener;

/// Time that open requests have after a signal to stop.
pub(crate) const DRAIN: Duration = Duration::from_secs(10);

/// Runs `work` on a runtime of its own.
pub(crate) fn block_on<T>(work: impl Future<Output = anyhow::Result<T>>) -> anyhow::Result<T> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .context("the runtime could not be started")?;
    let outcome = runtime.block_on(work);
    // Whatever still runs has been told to stop and may not hold up the exit.
    runtime.shutdown_timeout(Duration::from_millis(100));
    outcome
}

/// Takes a port; the error names it and what to change.
pub(crate) async fn bind(
    what: &str,
    address: SocketAddr,
    change: &str,
) -> anyhow::Result<TcpListener> {
    TcpListener::bind(address).await.map_err(|error| {
        if error.kind() == std::io::ErrorKind::AddrInUse {
            let port = address.port();
            anyhow::anyhow!("port {port} for the {what} is in use; choose another with {change}")
        } else {
            anyhow::anyhow!("{what}: cannot listen on {address}: {error}")
        }
    })
}

/// Resolves with the name of the signal. Signals are heeded from the call on, not from the first
/// poll: one that comes between must not end the process without its farewell.
pub(crate) fn until_told_to_stop() -> impl Future<Output = &'static str> {
    use tokio::signal::unix::{SignalKind, signal};
    let terminate = signal(SignalKind::terminate());
    let interrupt = signal(SignalKind::interrupt());
    async move {
        match (terminate, interrupt) {
            (Ok(mut terminate), Ok(mut interrupt)) => tokio::select! {
                _ = interrupt.recv() => "SIGINT",
                _ = terminate.recv() => "SIGTERM",
            },
            _ => {
                let _ = tokio::signal::ctrl_c().await;
                "SIGINT"
            }
        }
    }
}
