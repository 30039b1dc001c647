//! One POST: bounded in time and size, no redirects, no proxy from the environment.

use std::error::Error;
use std::io;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use bytes::Bytes;
use http::header::RETRY_AFTER;
use http::{HeaderMap, Uri};
use http_body_util::BodyExt as _;
use hyper::body::{Body as _, Incoming};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder, MaybeHttpsStream};
use hyper_util::client::legacy::connect::HttpConnector;
use tokio::time::timeout;
use tower::ServiceExt as _;
use url::Url;

use super::connection::{Connection, Lost, Stream};
use super::target::Target;
use crate::limits::{
    CONNECT_TIMEOUT, CONNECTION_KEPT_FOR, MAX_ANSWER_BYTES, MAX_KEPT_CONNECTIONS, TCP_KEEPALIVE,
    TCP_KEEPALIVE_PROBES, TCP_UNACKNOWLEDGED,
};

/// HTTP status of a rate limit.
pub(super) const TOO_MANY_REQUESTS: u16 = 429;

/// Why there is no answer. Holds nothing of the endpoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Broken {
    Unreachable,
    TimedOut,
    Refused(u16),
    /// Asked too much, or for now; the time after which it wants to be asked again, if it names one.
    Limited(Option<Duration>),
    TooLarge,
}

/// Opens connections to the endpoints of one chain.
#[derive(Clone)]
pub(super) struct Connector {
    tcp: HttpConnector,
    /// Only if an endpoint asks for it, so that a machine without certificates reaches the others.
    tls: Option<HttpsConnector<HttpConnector>>,
}

impl Connector {
    /// For these URLs; `None` when one needs certificates and there are none.
    pub(super) fn for_all(urls: &[Url]) -> Option<Self> {
        let mut tcp = HttpConnector::new();
        tcp.set_nodelay(true);
        tcp.set_keepalive(Some(TCP_KEEPALIVE));
        tcp.set_keepalive_interval(Some(TCP_KEEPALIVE));
        tcp.set_keepalive_retries(Some(TCP_KEEPALIVE_PROBES));
        #[cfg(any(target_os = "android", target_os = "fuchsia", target_os = "linux"))]
        tcp.set_tcp_user_timeout(Some(TCP_UNACKNOWLEDGED));
        if urls.iter().all(|url| url.scheme() == "http") {
            return Some(Self { tcp, tls: None });
        }
        let mut below = tcp.clone();
        below.enforce_http(false);
        let tls = HttpsConnectorBuilder::new()
            .with_native_roots()
            .ok()?
            .https_only()
            .enable_http1()
            .wrap_connector(below);
        Some(Self { tcp, tls: Some(tls) })
    }

    async fn open(&self, origin: &Uri) -> Result<Stream, Broken> {
        match &self.tls {
            Some(tls) if origin.scheme_str() == Some("https") => {
                let opened = tls.clone().oneshot(origin.clone()).await;
                opened.map_err(|error| classify(&*error))
            }
            _ => {
                let opened = self.tcp.clone().oneshot(origin.clone()).await;
                opened.map(MaybeHttpsStream::Http).map_err(|error| classify(&error))
            }
        }
    }
}

/// The way to one endpoint, with the connections to it that are kept.
pub(super) struct Client {
    target: Target,
    connector: Connector,
    call_timeout: Duration,
    /// The one used last at the end.
    kept: Mutex<Vec<(Instant, Connection)>>,
}

impl Client {
    /// A client without connections; `None` when the URL cannot stand in a request.
    pub(super) fn new(url: &Url, connector: &Connector, call_timeout: Duration) -> Option<Self> {
        Some(Self {
            target: Target::of(url)?,
            connector: connector.clone(),
            call_timeout,
            kept: Mutex::default(),
        })
    }

    /// Sends `body` and reads the answer, in chunks, up to the limit.
    pub(super) async fn post(&self, body: Vec<u8>) -> Result<Vec<u8>, Broken> {
        timeout(self.call_timeout, self.exchange(body.into()))
            .await
            .unwrap_or(Err(Broken::TimedOut))
    }

    async fn exchange(&self, body: Bytes) -> Result<Vec<u8>, Broken> {
        loop {
            let kept = self.take();
            let fresh = kept.is_none();
            let mut connection = match kept {
                Some(connection) => connection,
                // Boxed: the space of a handshake is large, and seldom needed.
                None => Box::pin(self.open()).await?,
            };
            match connection.send(self.target.request(body.clone())).await {
                Ok(answer) => {
                    let status = answer.status();
                    let retry_after = retry_after(answer.headers());
                    let body = read(&mut connection, answer.into_body(), status.is_success()).await;
                    if body.is_ok() {
                        self.keep(connection);
                    }
                    return match status.as_u16() {
                        _ if status.is_success() => body,
                        TOO_MANY_REQUESTS => Err(Broken::Limited(retry_after)),
                        refused => Err(Broken::Refused(refused)),
                    };
                }
                // The endpoint had closed a kept connection.
                Err(Lost::Unsent) if !fresh => {}
                Err(Lost::Unsent) => return Err(Broken::Unreachable),
                Err(Lost::Sent(error)) => return Err(classify(&error)),
            }
        }
    }

    async fn open(&self) -> Result<Connection, Broken> {
        let stream = timeout(CONNECT_TIMEOUT, self.connector.open(&self.target.origin))
            .await
            .unwrap_or(Err(Broken::TimedOut))?;
        Connection::over(stream).await.map_err(|error| classify(&error))
    }

    fn take(&self) -> Option<Connection> {
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        while let Some((since, mut connection)) = kept.pop() {
            if since.elapsed() < CONNECTION_KEPT_FOR && connection.is_free() {
                return Some(connection);
            }
        }
        None
    }

    fn keep(&self, mut connection: Connection) {
        if !connection.is_free() {
            return;
        }
        let now = Instant::now();
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        let too_old = |(since, _): &(Instant, _)| now - *since >= CONNECTION_KEPT_FOR;
        let old = kept.iter().take_while(|kept| too_old(kept)).count();
        kept.drain(..old);
        if kept.len() < MAX_KEPT_CONNECTIONS {
            kept.push((now, connection));
        }
    }
}

/// The rest of an answer. Of a refusal nothing is wanted but that the connection is free again.
async fn read(
    connection: &mut Connection,
    mut body: Incoming,
    wanted: bool,
) -> Result<Vec<u8>, Broken> {
    let mut answer = Vec::new();
    if !wanted {
        return Ok(answer);
    }
    while !body.is_end_stream() {
        let Some(frame) = connection.drive(body.frame()).await else { break };
        let Ok(chunk) = frame.map_err(|error| classify(&error))?.into_data() else { continue };
        if answer.len().saturating_add(chunk.len()) > MAX_ANSWER_BYTES {
            return Err(Broken::TooLarge);
        }
        answer.extend_from_slice(&chunk);
    }
    Ok(answer)
}

/// Seconds. A date says nothing that a clock of ours could be trusted with.
fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let seconds = headers.get(RETRY_AFTER)?.to_str().ok()?.trim().parse().ok()?;
    Some(Duration::from_secs(seconds))
}

fn classify(error: &(dyn Error + 'static)) -> Broken {
    let mut cause = Some(error);
    while let Some(error) = cause {
        let io = error.downcast_ref::<io::Error>();
        if io.is_some_and(|error| error.kind() == io::ErrorKind::TimedOut) {
            return Broken::TimedOut;
        }
        cause = error.source();
    }
    Broken::Unreachable
}

#[cfg(test)]
mod tests;
