//! A gate with everything around it: a store, a scripted facilitator, and a resource that counts
//! how often it runs.

use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use faregate_gate::{Gate, GateBody, GateConfig, GateLayer, Route, Unmatched};
use faregate_ledger::{ClaimState, ClaimStore, DeferredStore, MemoryLedger, SqliteLedger};
use faregate_protocol::{PaymentKey, PaymentRequired, SettleResponse, header as names};
use faregate_telemetry::Metrics;
use futures::future::BoxFuture;
use http::{HeaderMap, Request, Response, StatusCode};
use http_body_util::BodyExt;
use serde_json::Value;
use tower::{Layer, Service, ServiceExt};
use uuid::Uuid;

use crate::payment;
use crate::scripted_facilitator::Scripted;

pub(crate) const ORIGIN: &str = "https://api.example.com";
pub(crate) const SECRET: &str = "canary-paid-content";

pub(crate) type Resource =
    Arc<dyn Fn(Request<GateBody>) -> BoxFuture<'static, Response<GateBody>> + Send + Sync>;

pub(crate) struct World {
    pub(crate) gate: Arc<Gate>,
    pub(crate) store: Arc<dyn ClaimStore>,
    pub(crate) facilitator: Arc<Scripted>,
    pub(crate) runs: Arc<AtomicUsize>,
    metrics: Metrics,
    resource: Resource,
}

/// An answer as a client sees it.
#[derive(Debug)]
pub(crate) struct Seen {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
}

impl Seen {
    pub(crate) async fn of(response: Response<GateBody>) -> Self {
        let (parts, body) = response.into_parts();
        let body = body.collect().await.unwrap().to_bytes();
        Self { status: parts.status, headers: parts.headers, body }
    }

    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }

    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or(Value::Null)
    }

    /// `error` of the challenge, or of a body without one.
    pub(crate) fn code(&self) -> String {
        let challenged = self.challenge().and_then(|challenge| challenge.error);
        challenged.unwrap_or_else(|| self.said())
    }

    /// `error` of the body.
    pub(crate) fn said(&self) -> String {
        self.json()["error"].as_str().unwrap_or_default().to_owned()
    }

    pub(crate) fn challenge(&self) -> Option<PaymentRequired> {
        let value = self.headers.get(names::PAYMENT_REQUIRED)?;
        Some(names::decode(value.as_bytes()).unwrap())
    }

    pub(crate) fn receipt(&self) -> Option<SettleResponse> {
        self.receipt_in(names::PAYMENT_RESPONSE)
    }

    /// The receipt for a payment of version 1.
    pub(crate) fn receipt_v1(&self) -> Option<SettleResponse> {
        self.receipt_in(names::X_PAYMENT_RESPONSE)
    }

    fn receipt_in(&self, name: &str) -> Option<SettleResponse> {
        let value = self.headers.get(name)?;
        Some(names::decode(value.as_bytes()).unwrap())
    }

    /// All of the answer but what belongs to its one request.
    pub(crate) fn answer(&self) -> (StatusCode, Vec<(&str, &[u8])>, &Bytes) {
        let all = self.headers.iter().map(|(name, value)| (name.as_str(), value.as_bytes()));
        let own = all.filter(|(name, _)| !matches!(*name, "x-request-id" | "date"));
        (self.status, own.collect(), &self.body)
    }

    /// The answer without its receipt.
    pub(crate) fn content(&self) -> (StatusCode, Vec<(&str, &[u8])>, &Bytes) {
        let (status, mut headers, body) = self.answer();
        let receipts = [names::PAYMENT_RESPONSE, names::X_PAYMENT_RESPONSE];
        headers.retain(|(name, _)| !receipts.iter().any(|receipt| receipt == name));
        (status, headers, body)
    }

    pub(crate) fn is_granted(&self) -> bool {
        self.body.windows(SECRET.len()).any(|window| window == SECRET.as_bytes())
    }

    /// Status, code, and that it can be neither cached nor mistaken.
    #[track_caller]
    pub(crate) fn expect_refusal(&self, status: u16, code: &str) {
        assert_eq!((self.status.as_u16(), self.code().as_str()), (status, code), "{self:?}");
        assert!(!self.is_granted());
        assert_eq!(self.header("cache-control"), "no-store");
        assert_eq!(self.header("content-type"), "application/json");
        let is_challenge = self.challenge().is_some();
        assert!(!is_challenge || matches!(status, 402 | 412), "a challenge with {status}");
    }
}

pub(crate) fn priced_route() -> Route {
    Route::priced("weather", "GET /weather", vec![payment::requirements()])
}

pub(crate) fn config(routes: Vec<Route>) -> GateConfig {
    let mut config = GateConfig::new(ORIGIN, routes, Unmatched::Free);
    config.lease_ms = 600;
    config.limits.verify_timeout = Duration::from_millis(200);
    config.limits.settle_timeout = Duration::from_millis(200);
    config.limits.settle_again_timeout = Duration::from_millis(100);
    config
}

pub(crate) fn answering(text: &'static str) -> Resource {
    Arc::new(move |_| Box::pin(async move { Response::new(GateBody::full(text)) }))
}

pub(crate) async fn sqlite() -> Arc<dyn DeferredStore> {
    Arc::new(SqliteLedger::open_in_memory().await.unwrap())
}

pub(crate) fn memory() -> Arc<dyn DeferredStore> {
    Arc::new(MemoryLedger::new(Arc::new(unix_ms), Uuid::from_u128(7)))
}

fn unix_ms() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    u64::try_from(since.as_millis()).unwrap()
}

impl World {
    /// One priced route `GET /weather`, everything else free.
    pub(crate) fn new(store: Arc<dyn ClaimStore>) -> Self {
        Self::with(store, config(vec![priced_route()]), answering(SECRET))
    }

    pub(crate) fn with(store: Arc<dyn ClaimStore>, config: GateConfig, resource: Resource) -> Self {
        Self::built(store, config, resource, |gate| gate)
    }

    /// Whose gate keeps books of deferred money in the same store.
    pub(crate) fn with_books(
        store: Arc<dyn DeferredStore>,
        config: GateConfig,
        resource: Resource,
    ) -> Self {
        let books = Arc::clone(&store);
        Self::built(store, config, resource, |gate| gate.with_books(books))
    }

    fn built(
        store: Arc<dyn ClaimStore>,
        config: GateConfig,
        resource: Resource,
        finish: impl FnOnce(Gate) -> Gate,
    ) -> Self {
        let facilitator = Arc::new(Scripted::default());
        let metrics = Metrics::new(["eip155:84532".to_owned()]);
        let asked = Arc::clone(&facilitator);
        let gate = Gate::new(config, Arc::clone(&store), asked, metrics.clone()).unwrap();
        let gate = finish(gate);
        let runs = Arc::new(AtomicUsize::new(0));
        Self { gate: Arc::new(gate), store, facilitator, runs, metrics, resource }
    }

    /// Another process on the same ledger, with another facilitator connection and resource count.
    pub(crate) fn restarted(&self, config: GateConfig) -> Self {
        Self::with(Arc::clone(&self.store), config, Arc::clone(&self.resource))
    }

    pub(crate) fn runs(&self) -> usize {
        self.runs.load(Ordering::SeqCst)
    }

    pub(crate) fn service(
        &self,
    ) -> impl Service<
        Request<GateBody>,
        Response = Response<GateBody>,
        Error = Infallible,
        Future: Send,
    > + Clone
    + Send
    + use<> {
        let (runs, resource) = (Arc::clone(&self.runs), Arc::clone(&self.resource));
        let counted = tower::service_fn(move |request: Request<GateBody>| {
            runs.fetch_add(1, Ordering::SeqCst);
            let answer = resource(request);
            async move { Ok::<_, Infallible>(answer.await) }
        });
        GateLayer::new(Arc::clone(&self.gate)).layer(counted)
    }

    pub(crate) async fn send(&self, request: Request<GateBody>) -> Seen {
        let Ok(response) = self.service().oneshot(request).await;
        Seen::of(response).await
    }

    pub(crate) async fn get(&self, uri: &str) -> Seen {
        self.send(request("GET", uri, None)).await
    }

    pub(crate) async fn pay(&self, uri: &str, payment: &Value) -> Seen {
        self.send(request("GET", uri, Some(payment))).await
    }

    pub(crate) async fn state(&self, key: &PaymentKey) -> Option<ClaimState> {
        self.store.find_claim(key).await.unwrap().map(|claim| claim.state)
    }

    /// A line of the metrics: its name with labels, and its value.
    #[track_caller]
    pub(crate) fn expect_metric(&self, series: &str, value: usize) {
        let text = self.metrics.render();
        let line = format!("{series} {value}");
        assert!(text.lines().any(|found| found == line), "no line {line:?} in\n{text}");
    }

    /// Grants in the journal of a payment.
    pub(crate) async fn grants(&self, key: &PaymentKey) -> usize {
        let journal = self.store.journal(key).await.unwrap();
        journal.iter().filter(|entry| entry.to_state == "GRANTED").count()
    }

    /// Until a retry is not told to wait.
    pub(crate) async fn until_unheld_or_granted(&self, key: &PaymentKey) {
        if self.state(key).await != Some(ClaimState::Granted) {
            self.until_unheld(key).await;
        }
    }

    /// Until nobody holds the claim.
    pub(crate) async fn until_unheld(&self, key: &PaymentKey) {
        for _ in 0..500 {
            if self.store.find_claim(key).await.unwrap().is_none_or(|claim| !claim.held) {
                return;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        panic!("the claim is still held");
    }
}

pub(crate) fn request(method: &str, uri: &str, payment: Option<&Value>) -> Request<GateBody> {
    let mut request = Request::builder().method(method).uri(uri);
    if let Some(payment) = payment {
        request = request.header("PAYMENT-SIGNATURE", payment::encoded(payment));
    }
    request.body(GateBody::empty()).unwrap()
}

/// A GET that presents payments in these headers.
pub(crate) fn paying(uri: &str, payments: &[(&str, &Value)]) -> Request<GateBody> {
    let mut request = Request::builder().uri(uri);
    for (header, payment) in payments {
        request = request.header(*header, payment::encoded(payment));
    }
    request.body(GateBody::empty()).unwrap()
}

/// Declares each flow twice: on a store in memory and on SQLite.
macro_rules! on_both_stores {
    ($($flow:ident)+) => {
        mod memory {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $flow() {
                super::$flow(crate::world::memory()).await;
            })+
        }
        mod sqlite {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $flow() {
                super::$flow(crate::world::sqlite().await).await;
            })+
        }
    };
}
pub(crate) use on_both_stores;
