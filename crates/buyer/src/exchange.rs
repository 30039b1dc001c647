//! HTTP: one exchange with its limits, and the redirects that are followed before a payment.
//!
//! No redirect is ever followed by the client library itself, no proxy is taken from the
//! environment, and a request that carries a payment goes to exactly one URL.

use std::time::Duration;

use bytes::{Bytes, BytesMut};
use reqwest::header::{HeaderMap, HeaderName, HeaderValue, LOCATION};
use reqwest::{Client, Method, StatusCode};
use url::Url;

use crate::config::Limits;
use crate::error::BuyerError;
use crate::request::BuyerRequest;

/// An answer, whole.
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
}

/// Why there is no answer. Without the library's words: they can hold the URL.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ExchangeError {
    /// No connection was made.
    Connect,
    /// It took too long.
    TimedOut,
    /// The connection broke off, or what came is not HTTP.
    Broken,
    /// The body is above the limit.
    TooLarge,
}

impl ExchangeError {
    pub(crate) const fn what(self) -> &'static str {
        match self {
            Self::Connect => "no connection to the seller could be made",
            Self::TimedOut => "the seller did not answer in time",
            Self::Broken => "the seller's answer broke off or is not HTTP",
            Self::TooLarge => "the seller's answer is too large",
        }
    }
}

/// The HTTP client with its limits.
#[derive(Clone)]
pub(crate) struct Exchange {
    client: Client,
    limits: Limits,
}

impl Exchange {
    pub(crate) fn new(limits: &Limits) -> Result<Self, BuyerError> {
        let client = Client::builder()
            .redirect(reqwest::redirect::Policy::none())
            .no_proxy()
            .referer(false)
            .connect_timeout(limits.connect_timeout)
            .timeout(limits.request_timeout)
            .build()
            .map_err(|_| BuyerError::Client)?;
        Ok(Self { client, limits: limits.clone() })
    }

    /// Asks without paying. A GET follows redirects within its origin; every other redirect is an
    /// answer like any other. Gives the URL that answered.
    pub(crate) async fn ask(&self, request: &BuyerRequest) -> Result<(Url, Answer), BuyerError> {
        let mut url = request.url.clone();
        for _ in 0..=self.limits.max_redirects {
            let answer = self.send(request, &url, None).await.map_err(|error| match error {
                ExchangeError::TooLarge => self.too_large(false),
                _ => BuyerError::Unreachable { what: error.what() },
            })?;
            match next(request, &url, &answer) {
                Some(next) => url = next,
                None => return Ok((url, answer)),
            }
        }
        Err(BuyerError::Unreachable { what: "the seller redirects too often" })
    }

    /// Sends the request to `url`, with a payment or without.
    pub(crate) async fn send(
        &self,
        request: &BuyerRequest,
        url: &Url,
        payment: Option<(&HeaderName, &HeaderValue)>,
    ) -> Result<Answer, ExchangeError> {
        let mut sending = self
            .client
            .request(request.method.clone(), url.clone())
            .headers(request.headers.clone())
            .body(request.body.clone());
        if let Some((name, payment)) = payment {
            sending = sending.header(name, payment);
        }
        // The library's own limit covers the exchange; this one holds whatever the library does.
        let whole = tokio::time::timeout(self.limits.request_timeout, self.receive(sending));
        whole.await.unwrap_or(Err(ExchangeError::TimedOut))
    }

    async fn receive(&self, sending: reqwest::RequestBuilder) -> Result<Answer, ExchangeError> {
        let mut response = sending.send().await.map_err(|error| classify(&error))?;
        let (status, headers) = (response.status(), response.headers().clone());
        let mut body = BytesMut::new();
        while let Some(chunk) = response.chunk().await.map_err(|error| classify(&error))? {
            if body.len().saturating_add(chunk.len()) > self.limits.max_body_bytes {
                return Err(ExchangeError::TooLarge);
            }
            body.extend_from_slice(&chunk);
        }
        Ok(Answer { status, headers, body: body.freeze() })
    }

    pub(crate) fn too_large(&self, after_payment: bool) -> BuyerError {
        BuyerError::AnswerTooLarge { limit: self.limits.max_body_bytes, after_payment }
    }
}

fn classify(error: &reqwest::Error) -> ExchangeError {
    if error.is_timeout() {
        ExchangeError::TimedOut
    } else if error.is_connect() {
        ExchangeError::Connect
    } else {
        ExchangeError::Broken
    }
}

fn next(request: &BuyerRequest, from: &Url, answer: &Answer) -> Option<Url> {
    let follows = matches!(answer.status.as_u16(), 301 | 302 | 303 | 307 | 308);
    if !follows || request.method != Method::GET {
        return None;
    }
    let location = answer.headers.get(LOCATION)?.to_str().ok()?;
    let mut to = from.join(location).ok()?;
    to.set_fragment(None);
    (to.origin() == from.origin()).then_some(to)
}

/// What `Retry-After` asks for, if it is a number of seconds.
pub(crate) fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let seconds = headers.get(reqwest::header::RETRY_AFTER)?.to_str().ok()?.trim().parse().ok()?;
    Some(Duration::from_secs(seconds))
}
