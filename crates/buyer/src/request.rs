//! The logical request: what is bought. Its id names the journal's record.

use bytes::Bytes;
use reqwest::Method;
use reqwest::header::{HeaderMap, HeaderName};
use sha2::{Digest, Sha256};
use url::Url;

use faregate_protocol::header::{PAYMENT_SIGNATURE, X_PAYMENT};

use crate::error::BuyerError;

/// What is asked for. Method, URL and body make the logical request; headers do not.
#[derive(Clone)]
pub struct BuyerRequest {
    pub(crate) method: Method,
    pub(crate) url: Url,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
}

impl std::fmt::Debug for BuyerRequest {
    /// Headers, URL query and body can hold secrets.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("BuyerRequest")
            .field("method", &self.method)
            .field("host", &self.url.host_str())
            .finish_non_exhaustive()
    }
}

impl BuyerRequest {
    /// A request for `url`.
    ///
    /// # Errors
    /// [`BuyerError::Request`] when the URL is not http or https with a host, or when the headers
    /// already hold a payment.
    pub fn new(
        method: Method,
        url: &str,
        headers: HeaderMap,
        body: impl Into<Bytes>,
    ) -> Result<Self, BuyerError> {
        let mut url = Url::parse(url).map_err(|_| BuyerError::Request("the URL is malformed"))?;
        if !matches!(url.scheme(), "http" | "https") || url.host_str().is_none() {
            return Err(BuyerError::Request("the URL must be http or https with a host"));
        }
        url.set_fragment(None);
        let paying = [PAYMENT_SIGNATURE, X_PAYMENT].map(HeaderName::from_static);
        if paying.iter().any(|name| headers.contains_key(name)) {
            return Err(BuyerError::Request("the request already carries a payment header"));
        }
        Ok(Self { method, url, headers, body: body.into() })
    }

    /// `GET url` without headers.
    ///
    /// # Errors
    /// As [`BuyerRequest::new`].
    pub fn get(url: &str) -> Result<Self, BuyerError> {
        Self::new(Method::GET, url, HeaderMap::new(), Bytes::new())
    }

    /// sha256 over the length-prefixed (u32, big endian) method, URL and body, in hex.
    pub(crate) fn id(&self) -> String {
        let mut hash = Sha256::new();
        for part in [self.method.as_str().as_bytes(), self.url.as_str().as_bytes(), &self.body] {
            hash.update(u32::try_from(part.len()).unwrap_or(u32::MAX).to_be_bytes());
            hash.update(part);
        }
        alloy_primitives::hex::encode(hash.finalize())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use reqwest::header::HeaderValue;
    use std::collections::HashSet;

    fn of(method: Method, url: &str, body: &'static str) -> BuyerRequest {
        BuyerRequest::new(method, url, HeaderMap::new(), body).unwrap()
    }

    #[test]
    fn method_url_and_body_make_the_id_and_headers_do_not() {
        let same = of(Method::GET, "http://a/x", "");
        let mut headers = HeaderMap::new();
        headers.insert("accept", HeaderValue::from_static("text/plain"));
        let with = BuyerRequest::new(Method::GET, "http://a/x#part", headers, "").unwrap();
        assert_eq!(same.id(), with.id());
        let ids: HashSet<_> = [
            same,
            of(Method::POST, "http://a/x", ""),
            of(Method::GET, "http://a/x?y", ""),
            of(Method::GET, "https://a/x", ""),
            of(Method::GET, "http://a/", "x"),
        ]
        .iter()
        .map(BuyerRequest::id)
        .collect();
        assert_eq!(ids.len(), 5);
    }

    #[test]
    fn odd_requests_are_refused() {
        for url in ["", "x", "/x", "ftp://a/", "file:///etc/passwd", "data:,x"] {
            assert!(BuyerRequest::get(url).is_err(), "{url}");
        }
        let mut headers = HeaderMap::new();
        headers.insert("Payment-Signature", HeaderValue::from_static("x"));
        assert!(BuyerRequest::new(Method::GET, "http://a/", headers, "").is_err());
    }
}
