//! The line to the server, with an upper limit on what comes over it: the client reads an answer
//! whole before anybody can look at its size, and a server may send as much as it likes.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Instant;

use redis::aio::MultiplexedConnection;
use redis::{AsyncConnectionConfig, Client, ConnectionAddr, RedisError};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::task::JoinHandle;
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::crypto::aws_lc_rs;
use tokio_rustls::rustls::pki_types::ServerName;
use tokio_rustls::rustls::{ClientConfig, RootCertStore};

use crate::limits::{CONNECT_BUDGET, READ_AT_ONCE_BYTES, READ_PER_SEC_BYTES};

/// A connection and the task that drives it, which ends with the last clone.
#[derive(Clone)]
pub(crate) struct Line {
    pub(crate) connection: MultiplexedConnection,
    _driver: Arc<Driver>,
}

struct Driver(JoinHandle<()>);

impl Drop for Driver {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// Opens a line. Whoever calls it bounds the time.
///
/// # Errors
/// Whatever went wrong on the way.
pub(crate) async fn open(client: &Client) -> Result<Line, RedisError> {
    let info = client.get_connection_info();
    match info.addr() {
        ConnectionAddr::Tcp(host, port) => over(client, dial(host, *port).await?).await,
        ConnectionAddr::TcpTls { host, port, .. } => {
            let name = ServerName::try_from(host.clone()).map_err(io::Error::other)?;
            let socket = dial(host, *port).await?;
            over(client, TlsConnector::from(tls()?).connect(name, socket).await?).await
        }
        _ => Err(io::Error::from(io::ErrorKind::Unsupported).into()),
    }
}

async fn dial(host: &str, port: u16) -> io::Result<Metered<TcpStream>> {
    let socket = TcpStream::connect((host, port)).await?;
    socket.set_nodelay(true)?;
    Ok(Metered { stream: socket, left: READ_AT_ONCE_BYTES, since: Instant::now() })
}

/// The system's roots, as for endpoints.
fn tls() -> io::Result<Arc<ClientConfig>> {
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    // Named, so that no other part of the program can make this a question.
    let provider = Arc::new(aws_lc_rs::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(io::Error::other)?;
    Ok(Arc::new(config.with_root_certificates(roots).with_no_client_auth()))
}

async fn over<S>(client: &Client, stream: S) -> Result<Line, RedisError>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let config = AsyncConnectionConfig::new()
        .set_connection_timeout(Some(CONNECT_BUDGET))
        .set_response_timeout(Some(CONNECT_BUDGET));
    let settings = client.get_connection_info().redis_settings();
    let (connection, driver) =
        MultiplexedConnection::new_with_config(settings, stream, config).await?;
    Ok(Line { connection, _driver: Arc::new(Driver(tokio::spawn(driver))) })
}

/// Ends when more comes than any honest answer needs.
struct Metered<S> {
    stream: S,
    /// Bytes that may still come now.
    left: usize,
    since: Instant,
}

impl<S> Metered<S> {
    fn take(&mut self, bytes: usize, now: Instant) -> io::Result<()> {
        let millis = usize::try_from(now.duration_since(self.since).as_millis());
        let earned = millis.unwrap_or(usize::MAX).saturating_mul(READ_PER_SEC_BYTES) / 1000;
        if earned > 0 {
            self.left = self.left.saturating_add(earned).min(READ_AT_ONCE_BYTES);
            self.since = now;
        }
        self.left = self.left.checked_sub(bytes).ok_or(io::ErrorKind::QuotaExceeded)?;
        Ok(())
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Metered<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        let read = Pin::new(&mut self.stream).poll_read(cx, buf);
        if matches!(read, Poll::Ready(Ok(()))) {
            let bytes = buf.filled().len().saturating_sub(before);
            self.take(bytes, Instant::now())?;
        }
        read
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Metered<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn so_much_may_come_at_once_and_so_much_each_second() {
        let began = Instant::now();
        let mut line = Metered { stream: (), left: READ_AT_ONCE_BYTES, since: began };
        assert!(line.take(READ_AT_ONCE_BYTES, began).is_ok());
        assert!(line.take(1, began).is_err());
        let later = began + Duration::from_secs(1);
        assert!(line.take(READ_PER_SEC_BYTES, later).is_ok());
        assert!(line.take(READ_AT_ONCE_BYTES, later + Duration::from_secs(3600)).is_ok());
        assert!(line.take(1, later + Duration::from_secs(3600)).is_err());
    }
}
