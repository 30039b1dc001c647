//! Stands between what is measured and the chain: delays every HTTP round trip, and counts the
//! requests inside, each member of a batch as one.

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::{DefaultBodyLimit, State};
use axum::http::{Request, StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use http_body_util::Full;
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use serde::Deserialize;
use tokio::net::TcpListener;

use crate::error::BenchError;
use crate::limits::MAX_RPC_BYTES;

/// A running proxy; it ends with the runtime.
#[derive(Clone)]
pub(crate) struct Proxy {
    pub(crate) address: SocketAddr,
    counted: Arc<Mutex<Counted>>,
}

/// What passed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Counted {
    /// HTTP requests.
    pub(crate) round_trips: u64,
    /// JSON-RPC requests, by method.
    pub(crate) calls: BTreeMap<String, u64>,
}

impl Counted {
    /// All JSON-RPC requests.
    pub(crate) fn total(&self) -> u64 {
        self.calls.values().sum()
    }

    /// What came after `earlier`.
    pub(crate) fn since(&self, earlier: &Self) -> Self {
        let before = |method: &String| earlier.calls.get(method).copied().unwrap_or_default();
        let calls = self.calls.iter().map(|(method, n)| (method.clone(), n - before(method)));
        Self {
            round_trips: self.round_trips - earlier.round_trips,
            calls: calls.filter(|(_, n)| *n > 0).collect(),
        }
    }

    fn add(&mut self, body: &[u8]) {
        self.round_trips += 1;
        let calls = match serde_json::from_slice(body) {
            Ok(Calls::Batch(calls)) => calls,
            Ok(Calls::One(call)) => vec![call],
            Err(_) => vec![Call { method: None }],
        };
        for call in calls {
            let method = call.method.unwrap_or_else(|| "?".to_owned());
            *self.calls.entry(method).or_default() += 1;
        }
    }
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Calls {
    Batch(Vec<Call>),
    One(Call),
}

#[derive(Deserialize)]
struct Call {
    method: Option<String>,
}

#[derive(Clone)]
struct Passage {
    client: Client<HttpConnector, Full<Bytes>>,
    chain: String,
    latency: Duration,
    counted: Arc<Mutex<Counted>>,
}

impl Proxy {
    /// Listens on `port`, or on a free one if it is 0, and passes everything on to `chain`.
    pub(crate) async fn start(
        chain: String,
        latency: Duration,
        port: u16,
    ) -> Result<Self, BenchError> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, port)).await;
        let listener = listener.map_err(BenchError::io(format!("the chain's port {port}")))?;
        let address = listener.local_addr().map_err(BenchError::io("the chain's port"))?;
        let counted = Arc::<Mutex<Counted>>::default();
        let mut connector = HttpConnector::new();
        connector.set_nodelay(true);
        let client = Client::builder(TokioExecutor::new()).build(connector);
        let passage = Passage { client, chain, latency, counted: Arc::clone(&counted) };
        let router = Router::new()
            .fallback(pass)
            .layer(DefaultBodyLimit::max(MAX_RPC_BYTES))
            .with_state(passage);
        tokio::spawn(async move { axum::serve(listener, router).await });
        Ok(Self { address, counted })
    }

    /// What has passed until now.
    pub(crate) fn counted(&self) -> Counted {
        lock(&self.counted).clone()
    }
}

async fn pass(State(passage): State<Passage>, body: Bytes) -> Response {
    lock(&passage.counted).add(&body);
    if !passage.latency.is_zero() {
        tokio::time::sleep(passage.latency).await;
    }
    let request = Request::post(&passage.chain)
        .header(header::CONTENT_TYPE, "application/json")
        .body(Full::new(body));
    let Ok(request) = request else { return StatusCode::BAD_GATEWAY.into_response() };
    match passage.client.request(request).await {
        Ok(answer) => answer.map(Body::new).into_response(),
        Err(_) => StatusCode::BAD_GATEWAY.into_response(),
    }
}

fn lock(counted: &Mutex<Counted>) -> MutexGuard<'_, Counted> {
    counted.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_member_of_a_batch_is_counted() {
        let mut counted = Counted::default();
        counted.add(br#"{"jsonrpc":"2.0","id":1,"method":"eth_call","params":[{"to":"0x"}]}"#);
        let before = counted.clone();
        counted.add(br#"[{"method":"eth_call","id":1},{"method":"eth_chainId"},{"id":7}]"#);
        counted.add(b"nonsense");
        assert_eq!((counted.round_trips, counted.total()), (3, 5));
        let since = counted.since(&before);
        assert_eq!((since.round_trips, since.total()), (2, 4));
        let calls = [("?", 2), ("eth_call", 1), ("eth_chainId", 1)];
        assert_eq!(since.calls, calls.map(|(method, n)| (method.to_owned(), n)).into());
    }
}
