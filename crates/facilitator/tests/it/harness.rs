//! A scripted facilitator behind a real listener.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use faregate_facilitator::{Callers, FacilitatorState, Limits, ServeLimits, router, serve};
use faregate_protocol::facilitator::BoxFuture;
use faregate_protocol::settlement_status::{
    SettledPayment, SettlementLookup, SettlementOutcome, SettlementProof, SettlementStatus,
};
use faregate_protocol::{
    Facilitator, FacilitatorError, Network, PaymentKey, PaymentRequest, Reason, SettleResponse,
    SettleTerms, SupportedResponse, VerifyResponse,
};
use faregate_telemetry::{Checks, Metrics};
use reqwest::{Client, Response};
use serde_json::{Value, json};
use tokio::net::TcpListener;

pub(crate) const CANARY: &str = "0xcanary5f1c";
pub(crate) const PAYER: &str = "0xf39Fd6e51aad88F6F4ce6aB8827279cffFb92266";

/// What the scripted facilitator does.
#[derive(Clone)]
pub(crate) enum Act {
    Accept,
    Refuse(Reason),
    Pending(&'static str),
    Fail(FacilitatorError),
    Panic,
    Sleep(Duration),
}

#[derive(Default)]
pub(crate) struct Seen {
    pub(crate) verified: AtomicUsize,
    pub(crate) settle_begun: AtomicUsize,
    pub(crate) settle_ended: AtomicUsize,
    pub(crate) terms: Mutex<Vec<SettleTerms>>,
    /// What was asked for, in order, by verify and settle.
    pub(crate) requests: Mutex<Vec<PaymentRequest>>,
}

struct Scripted {
    act: Act,
    seen: Arc<Seen>,
}

impl Scripted {
    async fn act(&self) -> Result<Result<(), (Reason, &'static str)>, FacilitatorError> {
        match &self.act {
            Act::Accept => Ok(Ok(())),
            Act::Refuse(reason) => Ok(Err((*reason, ""))),
            Act::Pending(hash) => Ok(Err((Reason::SettlementPending, hash))),
            Act::Fail(error) => Err(error.clone()),
            Act::Panic => panic!("scripted"),
            Act::Sleep(time) => {
                tokio::time::sleep(*time).await;
                Ok(Ok(()))
            }
        }
    }
}

impl Facilitator for Scripted {
    fn verify<'a>(
        &'a self,
        request: &'a PaymentRequest,
    ) -> BoxFuture<'a, Result<VerifyResponse, FacilitatorError>> {
        Box::pin(async {
            self.seen.requests.lock().unwrap().push(request.clone());
            self.seen.verified.fetch_add(1, Ordering::SeqCst);
            Ok(match self.act().await? {
                Ok(()) => VerifyResponse::valid(PAYER),
                Err((reason, _)) => VerifyResponse::invalid(reason, None),
            })
        })
    }

    fn settle<'a>(
        &'a self,
        request: &'a PaymentRequest,
        terms: &'a SettleTerms,
    ) -> BoxFuture<'a, Result<SettleResponse, FacilitatorError>> {
        Box::pin(async {
            self.seen.requests.lock().unwrap().push(request.clone());
            self.seen.terms.lock().unwrap().push(*terms);
            self.seen.settle_begun.fetch_add(1, Ordering::SeqCst);
            let network = &request.payment_requirements.network;
            let outcome = self.act().await;
            self.seen.settle_ended.fetch_add(1, Ordering::SeqCst);
            Ok(match outcome? {
                Ok(()) => SettleResponse::paid(network, "0xabc".into(), PAYER.into()),
                Err((reason, hash)) => {
                    SettleResponse::failed(reason, network, Some(hash.to_owned()), None)
                }
            })
        })
    }

    fn supported(&self) -> BoxFuture<'_, Result<SupportedResponse, FacilitatorError>> {
        Box::pin(async { self.act().await.map(|_| SupportedResponse::default()) })
    }

    fn name(&self) -> &str {
        "scripted"
    }
}

/// The key of the one settlement that is known behind every door.
pub(crate) const PAID: PaymentKey = PaymentKey([0xaa; 32]);
/// The key that cannot be looked up.
pub(crate) const UNREADABLE: PaymentKey = PaymentKey([0xbb; 32]);

pub(crate) fn paid_status() -> SettlementStatus {
    SettlementStatus {
        payment_key: PAID.to_string(),
        outcome: SettlementOutcome::Paid,
        is_final: true,
        state: "FINAL".to_owned(),
        network: Network::eip155(84532),
        transactions: vec!["0xabc".to_owned()],
        proof: Some(SettlementProof {
            transaction: "0xabc".to_owned(),
            block_number: 9,
            block_hash: "0xb".to_owned(),
            log_index: 1,
        }),
        payment: Some(SettledPayment {
            payer: PAYER.to_owned(),
            pay_to: "0xpayee".to_owned(),
            asset: "0xasset".to_owned(),
            amount: 10_000.into(),
        }),
    }
}

struct Known;

impl SettlementLookup for Known {
    fn settlement<'a>(
        &'a self,
        key: &'a PaymentKey,
    ) -> BoxFuture<'a, Result<Option<SettlementStatus>, FacilitatorError>> {
        Box::pin(async move {
            match *key {
                PAID => Ok(Some(paid_status())),
                UNREADABLE => Err(FacilitatorError::Unavailable("scripted")),
                _ => Ok(None),
            }
        })
    }
}

pub(crate) struct Door {
    pub(crate) url: String,
    pub(crate) seen: Arc<Seen>,
    pub(crate) metrics: Metrics,
    pub(crate) ready: Arc<AtomicBool>,
    pub(crate) stop: tokio::sync::oneshot::Sender<()>,
    pub(crate) server: tokio::task::JoinHandle<std::io::Result<()>>,
    client: Client,
}

pub(crate) async fn door(act: Act) -> Door {
    door_with(act, Limits::default(), ServeLimits::default()).await
}

/// A scripted facilitator behind a door that admits these callers.
pub(crate) async fn door_to(act: Act, callers: Callers) -> Door {
    let seen = Arc::new(Seen::default());
    let facilitator = Arc::new(Scripted { act, seen: seen.clone() });
    let (limits, serve_limits) = (Limits::default(), ServeLimits::default());
    Door { seen, ..open_to(facilitator, limits, serve_limits, callers).await }
}

pub(crate) async fn door_with(act: Act, limits: Limits, serve_limits: ServeLimits) -> Door {
    let seen = Arc::new(Seen::default());
    let facilitator = Arc::new(Scripted { act, seen: seen.clone() });
    Door { seen, ..open(facilitator, limits, serve_limits).await }
}

/// A door in front of any facilitator.
pub(crate) async fn open(
    facilitator: Arc<dyn Facilitator>,
    limits: Limits,
    serve_limits: ServeLimits,
) -> Door {
    open_to(facilitator, limits, serve_limits, Callers::default()).await
}

/// A door that admits these callers.
pub(crate) async fn open_to(
    facilitator: Arc<dyn Facilitator>,
    limits: Limits,
    serve_limits: ServeLimits,
    callers: Callers,
) -> Door {
    let ready = Arc::new(AtomicBool::new(true));
    let metrics = Metrics::new(["eip155:84532".to_owned()]);
    let flag = ready.clone();
    let checks = Checks::new().with("chain", move || {
        let ready = flag.load(Ordering::SeqCst);
        async move { ready }
    });
    let state = FacilitatorState {
        facilitator,
        settlements: Arc::new(Known),
        metrics: metrics.clone(),
        readiness: Arc::new(checks),
        limits,
        callers,
    };
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
    let server = tokio::spawn(serve(listener, router(state), serve_limits, async {
        let _ = stopped.await;
    }));
    let client = Client::builder().no_proxy().build().unwrap();
    Door { url, seen: Arc::default(), metrics, ready, stop, server, client }
}

impl Door {
    pub(crate) async fn post(&self, path: &str, body: impl Into<reqwest::Body>) -> Answer {
        let request = self.client.post(format!("{}{path}", self.url)).body(body);
        Answer::of("POST", path, request.send().await.unwrap()).await
    }

    pub(crate) async fn post_with(&self, path: &str, headers: &[(&str, &str)]) -> Answer {
        self.post_body(path, good().to_string(), headers).await
    }

    pub(crate) async fn post_body(
        &self,
        path: &str,
        body: String,
        headers: &[(&str, &str)],
    ) -> Answer {
        let mut request = self.client.post(format!("{}{path}", self.url)).body(body);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        Answer::of("POST", path, request.send().await.unwrap()).await
    }

    pub(crate) async fn send(&self, method: &str, path: &str) -> Answer {
        let request = self.client.request(method.parse().unwrap(), format!("{}{path}", self.url));
        Answer::of(method, path, request.send().await.unwrap()).await
    }

    pub(crate) async fn get_with(&self, path: &str, headers: &[(&str, &str)]) -> Answer {
        let mut request = self.client.get(format!("{}{path}", self.url));
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        Answer::of("GET", path, request.send().await.unwrap()).await
    }

    #[track_caller]
    pub(crate) fn assert_counted(&self, operation: &str, status: &str) {
        let line = format!(
            r#"x402_facilitator_requests_total{{operation="{operation}",status="{status}"}} 1"#
        );
        let text = self.metrics.render();
        assert!(text.contains(&line), "no {line} in\n{text}");
    }
}

#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: reqwest::header::HeaderMap,
    pub(crate) body: Value,
}

impl Answer {
    async fn of(method: &str, path: &str, response: Response) -> Self {
        let (status, headers) = (response.status().as_u16(), response.headers().clone());
        let text = response.text().await.unwrap();
        assert!(!text.contains(CANARY), "an answer repeats what was sent: {text}");
        crate::description::assert_described(method, path, status, &headers, &text);
        let body = if text.is_empty() { Value::Null } else { text.parse().unwrap() };
        Self { status, headers, body }
    }

    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }
}

pub(crate) fn good() -> Value {
    json!({
        "x402Version": 2,
        "paymentPayload": {
            "x402Version": 2,
            "payload": {"signature": CANARY, "authorization": {}},
            "accepted": {"scheme": "exact"},
        },
        "paymentRequirements": {
            "scheme": "exact", "network": "eip155:84532", "amount": "10000",
            "asset": "0x036CbD53842c5426634e7929541eC2318f3dCF7e",
            "payTo": "0x209693Bc6afc0C5328bA36FaF03C514EF312287C",
            "maxTimeoutSeconds": 60, "extra": {"name": "USDC", "version": "2"},
        },
    })
}

/// The payment of [`good`] as version 1 says it.
pub(crate) fn good_v1() -> Value {
    json!({
        "x402Version": 1,
        "paymentPayload": {
            "x402Version": 1, "scheme": "exact", "network": "base-sepolia",
            "payload": {"signature": CANARY, "authorization": {}},
        },
        "paymentRequirements": {
            "scheme": "exact", "network": "base-sepolia", "maxAmountRequired": "10000",
            "resource": "https://api.example.com/x", "description": "", "mimeType": "",
            "outputSchema": null, "payTo": "0x209693Bc6afc0C5328bA36FaF03C514EF312287C",
            "maxTimeoutSeconds": 60, "asset": "0x036CbD53842c5426634e7929541eC2318f3dCF7e",
            "extra": {"name": "USDC", "version": "2"},
        },
    })
}
