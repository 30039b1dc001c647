//! What of an endpoint's URL goes into every request, made once.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use http::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, HOST};
use http::{HeaderMap, HeaderValue, Method, Request, Uri};
use http_body_util::Full;
use percent_encoding::percent_decode_str;
use url::{Position, Url};

/// Where requests go. It holds what the URL may keep secret, so it has no `Debug`.
pub(super) struct Target {
    /// Scheme, host and port.
    pub(super) origin: Uri,
    path_and_query: Uri,
    headers: HeaderMap,
}

impl Target {
    /// Splits a URL; `None` when its parts cannot stand in a request.
    pub(super) fn of(url: &Url) -> Option<Self> {
        let host = &url[Position::BeforeHost..Position::AfterPort];
        let path = &url[Position::BeforePath..Position::AfterQuery];
        let mut headers = HeaderMap::new();
        headers.insert(HOST, HeaderValue::from_str(host).ok()?);
        headers.insert(ACCEPT, HeaderValue::from_static("*/*"));
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        if let Some(credentials) = credentials(url) {
            headers.insert(AUTHORIZATION, credentials);
        }
        Some(Self {
            origin: format!("{}://{host}/", url.scheme()).parse().ok()?,
            path_and_query: path.parse().ok()?,
            headers,
        })
    }

    /// A request with this body.
    pub(super) fn request(&self, body: Bytes) -> Request<Full<Bytes>> {
        let mut request = Request::new(Full::new(body));
        *request.method_mut() = Method::POST;
        request.uri_mut().clone_from(&self.path_and_query);
        request.headers_mut().clone_from(&self.headers);
        request
    }
}

/// User and password of a URL as HTTP basic credentials.
fn credentials(url: &Url) -> Option<HeaderValue> {
    let user = percent_decode_str(url.username()).decode_utf8().ok()?;
    let password = match url.password() {
        Some(password) => percent_decode_str(password).decode_utf8().ok()?,
        None if user.is_empty() => return None,
        None => "".into(),
    };
    let encoded = STANDARD.encode(format!("{user}:{password}"));
    let mut value = HeaderValue::from_str(&format!("Basic {encoded}")).ok()?;
    value.set_sensitive(true);
    Some(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(url: &str) -> Request<Full<Bytes>> {
        Target::of(&Url::parse(url).unwrap()).unwrap().request(Bytes::new())
    }

    #[test]
    fn the_url_is_split_between_connection_and_request() {
        for (url, origin, host, path) in [
            ("http://127.0.0.1:4104", "http://127.0.0.1:4104/", "127.0.0.1:4104", "/"),
            (
                "https://rpc.example:443/v2/key?a=b#c",
                "https://rpc.example/",
                "rpc.example",
                "/v2/key?a=b",
            ),
            ("http://u:p@[::1]:80/a%20b", "http://[::1]/", "[::1]", "/a%20b"),
        ] {
            let target = Target::of(&Url::parse(url).unwrap()).unwrap();
            assert_eq!(target.origin, origin);
            let request = request(url);
            assert_eq!(request.uri(), path);
            assert_eq!(request.headers()[HOST], host);
            assert_eq!(request.method(), Method::POST);
        }
    }

    #[test]
    fn credentials_go_into_a_header_that_debug_hides() {
        let shown = |url: &str| request(url).headers().get(AUTHORIZATION).cloned();
        for (url, want) in [
            ("http://user:pass@a/", "user:pass"),
            ("http://user@a/", "user:"),
            ("http://:pass@a/", ":pass"),
            ("http://us%20er:p%40ss@a/", "us er:p@ss"),
        ] {
            let value = shown(url).unwrap();
            assert_eq!(value, format!("Basic {}", STANDARD.encode(want)), "{url}");
            assert_eq!(format!("{value:?}"), "Sensitive");
        }
        assert_eq!(shown("http://a/"), None);
    }
}
