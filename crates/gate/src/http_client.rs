//! The HTTP client of the proxy and of the remote facilitator: a pool of kept connections, TLS only
//! where the URL asks for it, no redirects.

use std::time::Duration;

use http::{Request, Response};
use hyper::body::Incoming;
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::client::legacy::{Client, Error};
use hyper_util::rt::{TokioExecutor, TokioTimer};

use crate::body::GateBody;
use crate::limits;
use crate::writes_last::ToWriteLast;

/// Why a client could not be made.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ClientError {
    /// Neither http nor https, or without a host, or with user information, query or fragment.
    #[error("{url:?} is not an http(s) URL of a host")]
    Url {
        /// As configured.
        url: String,
    },
    /// An upstream that is more or less than an origin.
    #[error("the upstream {url:?} is not http(s)://host[:port] without a path")]
    Upstream {
        /// As configured, without user information and query.
        url: String,
    },
    /// The machine's root certificates could not be read.
    #[error("the root certificates of this machine could not be read: {0}")]
    Roots(#[source] std::io::Error),
}

#[derive(Clone)]
pub(crate) enum HttpClient {
    Plain(Client<ToWriteLast<HttpConnector>, GateBody>),
    Tls(Client<HttpsConnector<ToWriteLast<HttpConnector>>, GateBody>),
}

impl HttpClient {
    pub(crate) fn new(tls: bool, connect_timeout: Duration) -> Result<Self, ClientError> {
        let mut connector = HttpConnector::new();
        connector.set_connect_timeout(Some(connect_timeout));
        connector.set_nodelay(true);
        let mut builder = Client::builder(TokioExecutor::new());
        builder
            .pool_timer(TokioTimer::new())
            .pool_idle_timeout(limits::POOL_IDLE_TIMEOUT)
            .pool_max_idle_per_host(limits::POOL_MAX_IDLE);
        if !tls {
            return Ok(Self::Plain(builder.build(ToWriteLast(connector))));
        }
        connector.enforce_http(false);
        let connector = HttpsConnectorBuilder::new()
            .with_native_roots()
            .map_err(ClientError::Roots)?
            .https_only()
            .enable_http1()
            .wrap_connector(ToWriteLast(connector));
        Ok(Self::Tls(builder.build(connector)))
    }

    pub(crate) async fn send(
        &self,
        request: Request<GateBody>,
    ) -> Result<Response<Incoming>, Error> {
        match self {
            Self::Plain(client) => client.request(request).await,
            Self::Tls(client) => client.request(request).await,
        }
    }
}
