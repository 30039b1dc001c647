//! One POST: bounded in time and size, no redirects, no proxy from the environment.

use std::time::Duration;

use reqwest::header::{CONTENT_TYPE, HeaderValue};
use reqwest::{Client, Url, redirect};

use crate::limits::{CONNECT_TIMEOUT, MAX_ANSWER_BYTES};

/// HTTP status of a rate limit.
pub(super) const TOO_MANY_REQUESTS: u16 = 429;

/// Why there is no answer. Holds nothing of the endpoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Broken {
    Unreachable,
    TimedOut,
    Refused(u16),
    TooLarge,
}

/// A client for the endpoints of one chain. Without TLS (`plain`) it reads no certificates, so it
/// also works where none are installed.
pub(super) fn client(call_timeout: Duration, plain: bool) -> Option<Client> {
    let builder = Client::builder()
        .redirect(redirect::Policy::none())
        .no_proxy()
        .connect_timeout(CONNECT_TIMEOUT)
        .timeout(call_timeout);
    let builder = if plain { builder.tls_certs_only([]) } else { builder };
    builder.build().ok()
}

/// Sends `body` and reads the answer, in chunks, up to the limit.
pub(super) async fn post(client: &Client, url: &Url, body: Vec<u8>) -> Result<Vec<u8>, Broken> {
    let request = client
        .post(url.clone())
        .header(CONTENT_TYPE, HeaderValue::from_static("application/json"))
        .body(body);
    let mut response = request.send().await.map_err(|error| classify(&error))?;
    if !response.status().is_success() {
        return Err(Broken::Refused(response.status().as_u16()));
    }
    let mut answer = Vec::new();
    while let Some(chunk) = response.chunk().await.map_err(|error| classify(&error))? {
        if answer.len().saturating_add(chunk.len()) > MAX_ANSWER_BYTES {
            return Err(Broken::TooLarge);
        }
        answer.extend_from_slice(&chunk);
    }
    Ok(answer)
}

fn classify(error: &reqwest::Error) -> Broken {
    if error.is_timeout() { Broken::TimedOut } else { Broken::Unreachable }
}
