//! The reverse proxy: the service that stands behind the gate when the application is another
//! process. It forwards exactly the path and query that were judged.

use std::convert::Infallible;
use std::future::Future;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use faregate_protocol::Reason;
use faregate_telemetry::RequestId;
use http::uri::{Authority, Scheme};
use http::{HeaderMap, HeaderName, HeaderValue, Request, Response, StatusCode, Uri, header};
use tower::Service;
use url::Url;

use crate::answers::Refusal;
use crate::body::GateBody;
use crate::http_client::{ClientError, HttpClient};
use crate::origin::Origin;
use crate::{hop_by_hop, limits, request_headers};

mod tunnel;

const FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
const FORWARDED_HOST: HeaderName = HeaderName::from_static("x-forwarded-host");
const FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");
/// What a client says about these is not believed and not passed on.
const UNTRUSTED: &[&str] = &["forwarded", "x-real-ip"];
const UNTRUSTED_PREFIX: &str = "x-forwarded-";

/// Address of the client, put into a request's extensions by [`crate::serve`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PeerAddr(HeaderValue);

impl From<SocketAddr> for PeerAddr {
    fn from(address: SocketAddr) -> Self {
        // Said once for all requests of a connection. No address has a byte that no header has.
        let text = HeaderValue::try_from(address.ip().to_string());
        Self(text.unwrap_or_else(|_| HeaderValue::from_static("unknown")))
    }
}

/// How the proxy reaches the application.
#[derive(Clone, Debug)]
pub struct ProxyConfig {
    /// The gate's origin, for `X-Forwarded-Host` and `X-Forwarded-Proto`.
    pub origin: Origin,
    /// Time to connect.
    pub connect_timeout: Duration,
    /// Time until the application begins to answer; 504 after it. On priced routes the route's own
    /// timeout over the whole answer comes on top.
    pub head_timeout: Duration,
}

impl ProxyConfig {
    /// Defaults for all but the origin.
    #[must_use]
    pub const fn new(origin: Origin) -> Self {
        Self {
            origin,
            connect_timeout: limits::CONNECT_TIMEOUT,
            head_timeout: limits::UPSTREAM_HEAD_TIMEOUT,
        }
    }
}

/// Forwards requests to one application over HTTP/1.1, and WebSocket upgrades on free routes.
#[derive(Clone)]
pub struct ReverseProxy(Arc<Inner>);

struct Inner {
    client: HttpClient,
    /// Of the application.
    scheme: Scheme,
    authority: Authority,
    /// What it is told in `Host`, `X-Forwarded-Host` and `X-Forwarded-Proto`.
    told: [(HeaderName, HeaderValue); 3],
    head_timeout: Duration,
}

/// Future of a forwarded request.
pub type ProxyFuture = Pin<Box<dyn Future<Output = Result<Response<GateBody>, Infallible>> + Send>>;

impl ReverseProxy {
    /// A proxy to the application at `upstream`, an origin such as `http://127.0.0.1:3000`.
    ///
    /// # Errors
    /// [`ClientError::Upstream`] for anything but an origin, [`ClientError::Roots`] for https without
    /// readable root certificates.
    pub fn new(upstream: &Url, config: ProxyConfig) -> Result<Self, ClientError> {
        let origin = Self::check_upstream(upstream)?;
        let fail = || unusable(upstream);
        let client = HttpClient::new(origin.scheme() == "https", config.connect_timeout)?;
        let value = |text: &str| HeaderValue::from_str(text).map_err(|_| fail());
        let told = [
            (header::HOST, value(origin.authority())?),
            (FORWARDED_HOST, value(config.origin.authority())?),
            (FORWARDED_PROTO, value(config.origin.scheme())?),
        ];
        Ok(Self(Arc::new(Inner {
            client,
            scheme: origin.scheme().parse().map_err(|_| fail())?,
            authority: origin.authority().parse().map_err(|_| fail())?,
            told,
            head_timeout: config.head_timeout,
        })))
    }

    /// Reads the URL of an application without connecting to it.
    ///
    /// # Errors
    /// [`ClientError::Upstream`] for anything but an origin: a path would be put before the one that
    /// was judged.
    pub fn check_upstream(upstream: &Url) -> Result<Origin, ClientError> {
        upstream.as_str().parse().map_err(|_| unusable(upstream))
    }
}

fn unusable(upstream: &Url) -> ClientError {
    // The rest may hold a password or a key.
    let host = upstream.host_str().unwrap_or_default();
    let port = upstream.port().map(|port| format!(":{port}")).unwrap_or_default();
    let url = format!("{}://{host}{port}{}", upstream.scheme(), upstream.path());
    ClientError::Upstream { url }
}

impl std::fmt::Debug for ReverseProxy {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let upstream = format_args!("{}://{}", self.0.scheme, self.0.authority);
        f.debug_struct("ReverseProxy").field("upstream", &upstream).finish_non_exhaustive()
    }
}

impl Service<Request<GateBody>> for ReverseProxy {
    type Response = Response<GateBody>;
    type Error = Infallible;
    type Future = ProxyFuture;

    fn poll_ready(&mut self, _cx: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<GateBody>) -> ProxyFuture {
        let inner = Arc::clone(&self.0);
        Box::pin(async move { Ok(inner.forward(request).await) })
    }
}

impl Inner {
    async fn forward(&self, mut request: Request<GateBody>) -> Response<GateBody> {
        let tunnel = tunnel::wanted(&mut request);
        let peer = request.extensions().get::<PeerAddr>().cloned();
        let id = request.extensions().get::<RequestId>().cloned();
        let Some(uri) = self.target(request.uri()) else {
            return Refusal::of(Reason::AmbiguousPath).into_response();
        };
        *request.uri_mut() = uri;
        *request.version_mut() = http::Version::HTTP_11;
        self.prepare(request.headers_mut(), peer);
        // `Connection` could have named it.
        if let Some(id) = id {
            id.mark(request.headers_mut());
        }
        if let Some(tunnel) = &tunnel {
            tunnel.ask(request.headers_mut());
        }
        let sending = self.client.send(request);
        let answer = match tokio::time::timeout(self.head_timeout, sending).await {
            Ok(Ok(answer)) => answer,
            Ok(Err(error)) => {
                tracing::warn!(connect = error.is_connect(), "the application did not answer");
                return Refusal::of(Reason::UpstreamUnavailable).into_response();
            }
            Err(_) => return Refusal::of(Reason::UpstreamTimedOut).into_response(),
        };
        match (answer.status(), tunnel) {
            (StatusCode::SWITCHING_PROTOCOLS, Some(tunnel)) => tunnel.open(answer),
            (StatusCode::SWITCHING_PROTOCOLS, None) => {
                Refusal::of(Reason::UpstreamUnavailable).into_response()
            }
            _ => {
                let mut answer = answer.map(GateBody::new);
                hop_by_hop::remove(answer.headers_mut());
                answer
            }
        }
    }

    /// The application's URL with the path and query that were judged, byte for byte.
    fn target(&self, uri: &Uri) -> Option<Uri> {
        let path = uri.path_and_query()?;
        let path = match path.as_str() {
            text if text.starts_with('/') => path.clone(),
            // An absolute target without a path, which is judged as that of the root.
            text if text.starts_with('?') => format!("/{text}").parse().ok()?,
            _ => return None,
        };
        let mut parts = http::uri::Parts::default();
        parts.scheme = Some(self.scheme.clone());
        parts.authority = Some(self.authority.clone());
        parts.path_and_query = Some(path);
        Uri::from_parts(parts).ok()
    }

    fn prepare(&self, headers: &mut HeaderMap, peer: Option<PeerAddr>) {
        hop_by_hop::remove(headers);
        headers.remove(header::EXPECT);
        request_headers::remove(headers, |name| {
            UNTRUSTED.contains(&name) || name.starts_with(UNTRUSTED_PREFIX)
        });
        for (name, value) in &self.told {
            headers.insert(name, value.clone());
        }
        if let Some(PeerAddr(value)) = peer {
            headers.insert(FORWARDED_FOR, value);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_judged_is_what_is_asked_for() {
        let config = ProxyConfig::new("https://api.example.com".parse().unwrap());
        let upstream = Url::parse("http://127.0.0.1:3000").unwrap();
        let proxy = ReverseProxy::new(&upstream, config).unwrap();
        for (given, want) in [
            ("/a%2Fb//c?d=%20&e", Some("/a%2Fb//c?d=%20&e")),
            ("/", Some("/")),
            ("/?", Some("/?")),
            ("https://api.example.com/a?b", Some("/a?b")),
            ("https://api.example.com", Some("/")),
            ("https://api.example.com?b=1", Some("/?b=1")),
            ("*", None),
            ("api.example.com:443", None),
        ] {
            let given: Uri = given.parse().unwrap();
            let found = proxy.0.target(&given).map(|uri| uri.to_string());
            let want = want.map(|path| format!("http://127.0.0.1:3000{path}"));
            assert_eq!(found, want, "{given}");
        }
    }
}
