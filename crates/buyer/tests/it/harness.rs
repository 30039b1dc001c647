//! A scripted seller that keeps books: which headers it saw, and which authorizations it settled.

use std::collections::HashSet;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use axum::Router;
use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::StatusCode;
use axum::response::Response;
use faregate_buyer::{Buyer, BuyerConfig, BuyerRequest, Limits, Version};
use faregate_evm::wallet::Wallet;
use faregate_protocol::eip3009::Eip3009Payload;
use faregate_protocol::header::{
    PAYMENT_REQUIRED, PAYMENT_RESPONSE, PAYMENT_SIGNATURE, X_PAYMENT, X_PAYMENT_RESPONSE,
};
use faregate_protocol::{Network, PaymentPayload, Reason, SettleResponse, header, v1};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::net::TcpListener;

pub(crate) const KEY: &str = "ac0974bec39a17e36ba4a6b4d238ff944bacb478cbed5efcae784d7bf4f2ff80";
pub(crate) const CONTENT: &str = "what was bought";

/// What the seller does with one request.
#[derive(Clone, Debug)]
pub(crate) enum Act {
    Challenge,
    Quote(Value),
    /// A challenge in both versions.
    Both,
    /// A status with this body.
    Json(u16, Value),
    Deliver,
    /// Moves the money, then does something else.
    SettleThen(Box<Act>),
    After(Duration, Box<Act>),
    Status(u16),
    /// A status with a body `{"error": ...}` and `Retry-After` in seconds.
    Says(u16, &'static str, Option<u64>),
    /// 402 with a reason in a fresh challenge.
    Refuse(&'static str),
    Pending,
    Redirect(u16, String),
    /// Half a body, then the connection is cut.
    Cut,
    Body(usize),
}

/// From the number of earlier requests with a payment, and whether this one has one.
type Script = Arc<dyn Fn(usize, bool) -> Act + Send + Sync>;

/// What a seller is made of.
#[derive(Clone)]
struct Stand {
    books: Arc<Books>,
    script: Script,
    version: Version,
}

#[derive(Default)]
pub(crate) struct Books {
    /// Path and payment header of each request, in order.
    pub(crate) seen: Mutex<Vec<(String, Option<String>)>>,
    /// Names of the payment headers, in order.
    pub(crate) names: Mutex<Vec<&'static str>>,
    /// Body of each request, in the same order.
    pub(crate) bodies: Mutex<Vec<Vec<u8>>>,
    pub(crate) settled: Mutex<HashSet<String>>,
}

pub(crate) struct Seller {
    pub(crate) url: String,
    pub(crate) books: Arc<Books>,
}

pub(crate) async fn seller(script: impl Fn(usize, bool) -> Act + Send + Sync + 'static) -> Seller {
    seller_of(Version::V2, script).await
}

/// A seller that speaks this version.
pub(crate) async fn seller_of(
    version: Version,
    script: impl Fn(usize, bool) -> Act + Send + Sync + 'static,
) -> Seller {
    let books = Arc::new(Books::default());
    let stand = Stand { books: books.clone(), script: Arc::new(script), version };
    let router = Router::new().fallback(serve).with_state(stand);
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async move { axum::serve(listener, router).await });
    Seller { url, books }
}

/// Asks for money, and delivers when it gets a payment.
pub(crate) async fn honest_seller() -> Seller {
    seller(|_, paid| if paid { Act::SettleThen(Box::new(Act::Deliver)) } else { Act::Challenge })
        .await
}

impl Seller {
    pub(crate) fn payments(&self) -> Vec<String> {
        let seen = self.books.seen.lock().unwrap();
        seen.iter().filter_map(|(_, payment)| payment.clone()).collect()
    }

    pub(crate) fn asked(&self) -> usize {
        self.books.seen.lock().unwrap().len()
    }

    /// Authorizations that moved money.
    pub(crate) fn debits(&self) -> usize {
        self.books.settled.lock().unwrap().len()
    }

    pub(crate) fn request(&self) -> BuyerRequest {
        BuyerRequest::get(&format!("{}/thing", self.url)).unwrap()
    }

    #[track_caller]
    pub(crate) fn assert_one_authorization(&self) {
        let distinct: HashSet<_> = self.payments().into_iter().collect();
        assert_eq!(distinct.len(), 1, "more than one payment was signed");
        assert!(self.debits() <= 1, "money moved more than once");
    }
}

async fn serve(State(stand): State<Stand>, request: Request<Body>) -> Response {
    let books = &stand.books;
    let mut payment = None;
    for name in [PAYMENT_SIGNATURE, X_PAYMENT] {
        for value in request.headers().get_all(name) {
            books.names.lock().unwrap().push(name);
            assert!(payment.is_none(), "a payment in several headers");
            payment = Some(value.to_str().unwrap().to_owned());
        }
    }
    let path = request.uri().path().to_owned();
    let earlier = {
        let mut seen = books.seen.lock().unwrap();
        let earlier = seen.iter().filter(|(_, payment)| payment.is_some()).count();
        seen.push((path, payment.clone()));
        earlier
    };
    let body = axum::body::to_bytes(request.into_body(), 1 << 20).await.unwrap();
    books.bodies.lock().unwrap().push(body.to_vec());
    let script = (stand.script)(earlier, payment.is_some());
    act(&stand, payment.as_deref(), script).await
}

async fn act(stand: &Stand, payment: Option<&str>, mut act: Act) -> Response {
    loop {
        act = match act {
            Act::SettleThen(then) => {
                let nonce = read(payment.unwrap()).authorization.nonce.to_string();
                stand.books.settled.lock().unwrap().insert(nonce);
                *then
            }
            Act::After(time, then) => {
                tokio::time::sleep(time).await;
                *then
            }
            other if stand.version == Version::V1 => return in_version_1(answer(other)),
            other => return answer(other),
        }
    }
}

fn answer(act: Act) -> Response {
    let base = Network::eip155(84532);
    let with = |status: u16| Response::builder().status(StatusCode::from_u16(status).unwrap());
    let encoded = |value: &Value| header::encode(value).unwrap();
    match act {
        Act::Challenge => answer(Act::Quote(quote())),
        Act::Quote(option) => {
            let value = encoded(&challenge("Payment required", option));
            with(402).header(PAYMENT_REQUIRED, value).body(Body::from("{}")).unwrap()
        }
        Act::Both => {
            let value = encoded(&challenge("Payment required", quote()));
            let mut old = json!({"x402Version": 1, "accepts": [option_v1(&quote())]});
            old["accepts"][0]["maxAmountRequired"] = json!("1");
            let response = with(402).header(PAYMENT_REQUIRED, value);
            response.body(Body::from(old.to_string())).unwrap()
        }
        Act::Json(status, value) => with(status).body(Body::from(value.to_string())).unwrap(),
        Act::Refuse(reason) => {
            let value = encoded(&challenge(reason, quote()));
            with(402).header(PAYMENT_REQUIRED, value).body(Body::from("{}")).unwrap()
        }
        Act::Deliver => {
            let receipt = SettleResponse::paid(&base, "0xfeed".into(), "0x1".into());
            let value = header::encode(&receipt).unwrap();
            with(200).header(PAYMENT_RESPONSE, value).body(Body::from(CONTENT)).unwrap()
        }
        Act::Pending => {
            let hash = Some("0xfeed".to_owned());
            let receipt = SettleResponse::failed(Reason::SettlementPending, &base, hash, None);
            let value = header::encode(&receipt).unwrap();
            let pending = with(503).header(PAYMENT_RESPONSE, value).header("retry-after", "0");
            pending.body(Body::empty()).unwrap()
        }
        Act::Status(status) => with(status).body(Body::from("words")).unwrap(),
        Act::Says(status, error, retry_after) => {
            let mut response = with(status);
            if let Some(seconds) = retry_after {
                response = response.header("retry-after", seconds);
            }
            response.body(Body::from(json!({"error": error}).to_string())).unwrap()
        }
        Act::Redirect(status, to) => {
            with(status).header("location", to).body(Body::empty()).unwrap()
        }
        Act::Cut => {
            with(200).header("content-length", "100").body(Body::from_stream(cut())).unwrap()
        }
        Act::Body(bytes) => with(200).body(Body::from(vec![b'a'; bytes])).unwrap(),
        Act::SettleThen(_) | Act::After(..) => unreachable!("handled by act"),
    }
}

fn cut() -> impl futures::Stream<Item = Result<&'static str, std::io::Error>> {
    futures::stream::iter([Ok("half"), Err(std::io::Error::other("cut"))])
}

pub(crate) fn quote() -> Value {
    json!({
        "scheme": "exact", "network": "eip155:84532", "amount": "10000",
        "asset": "0x036CbD53842c5426634e7929541eC2318f3dCF7e",
        "payTo": "0x209693Bc6afc0C5328bA36FaF03C514EF312287C",
        "maxTimeoutSeconds": 60, "extra": {"name": "USDC", "version": "2"},
    })
}

/// As [`quote`], for an authorization that lives this long.
pub(crate) fn quote_for(seconds: u64) -> Value {
    let mut quote = quote();
    quote["maxTimeoutSeconds"] = json!(seconds);
    quote
}

pub(crate) fn challenge(error: &str, option: Value) -> Value {
    json!({
        "x402Version": 2, "error": error, "accepts": [option],
        "resource": {"url": "http://seller/thing", "description": "", "mimeType": ""},
        "extensions": {"note": {"info": {"a": 1}}},
    })
}

/// As a seller of version 1 says it: the challenge in the body, the receipt under its old name.
fn in_version_1(response: Response) -> Response {
    let (mut head, mut body) = response.into_parts();
    if let Some(challenge) = head.headers.remove(PAYMENT_REQUIRED) {
        let challenge: Value = header::decode(challenge.as_bytes()).unwrap();
        let accepts: Vec<_> =
            challenge["accepts"].as_array().unwrap().iter().map(option_v1).collect();
        let old = json!({"x402Version": 1, "error": challenge["error"], "accepts": accepts});
        body = Body::from(old.to_string());
    }
    if let Some(receipt) = head.headers.remove(PAYMENT_RESPONSE) {
        let receipt = v1::outcome(header::decode(receipt.as_bytes()).unwrap());
        let value = header::encode(&receipt).unwrap().parse().unwrap();
        head.headers.insert(X_PAYMENT_RESPONSE, value);
    }
    Response::from_parts(head, body)
}

/// An option of version 2 as version 1 says it; a member it cannot say stays as it is.
pub(crate) fn option_v1(option: &Value) -> Value {
    let mut option = option.clone();
    let members = option.as_object_mut().unwrap();
    let amount = members.remove("amount").unwrap_or_default();
    members.insert("maxAmountRequired".to_owned(), amount);
    let network = members["network"].as_str().and_then(|text| text.parse().ok());
    if let Some(name) = network.as_ref().and_then(v1::network_name) {
        members.insert("network".to_owned(), json!(name));
    }
    for (key, text) in [("resource", "http://seller/thing"), ("description", ""), ("mimeType", "")]
    {
        members.insert(key.to_owned(), json!(text));
    }
    option
}

pub(crate) fn payload(header: &str) -> PaymentPayload {
    header::decode(header.as_bytes()).unwrap()
}

pub(crate) fn read(header: &str) -> Eip3009Payload {
    let payment: Value = header::decode(header.as_bytes()).unwrap();
    Eip3009Payload::read(payment["payload"].as_object().unwrap()).unwrap()
}

/// A buyer and its state directory; the directory is the same for every buyer made of it.
pub(crate) struct Home(TempDir);

pub(crate) fn home() -> Home {
    Home(tempfile::tempdir().unwrap())
}

impl Home {
    pub(crate) fn path(&self) -> &Path {
        self.0.path()
    }

    pub(crate) fn config(&self) -> BuyerConfig {
        let wallet = Arc::new(Wallet::from_hex(KEY).unwrap());
        let mut config = BuyerConfig::new(wallet, self.path().to_owned(), "$0.10".parse().unwrap());
        // Longer than a busy machine stands still: who tests the end of patience uses `hurried`.
        config.limits = Limits {
            request_timeout: Duration::from_secs(10),
            wait: Duration::from_secs(60),
            clock_skew: Duration::ZERO,
            first_backoff: Duration::from_millis(10),
            max_backoff: Duration::from_millis(50),
            ..Limits::default()
        };
        config
    }

    pub(crate) fn buyer(&self) -> Buyer {
        Buyer::new(self.config()).unwrap()
    }

    /// A buyer that does not wait long: its runs may end with the outcome unknown.
    pub(crate) fn hurried(&self) -> Buyer {
        let mut config = self.config();
        config.limits.request_timeout = Duration::from_millis(700);
        config.limits.wait = Duration::from_millis(1_500);
        Buyer::new(config).unwrap()
    }

    /// Payments on record.
    pub(crate) fn records(&self) -> usize {
        let files = std::fs::read_dir(self.path()).unwrap();
        files.filter(|file| file.as_ref().unwrap().path().extension().unwrap() == "json").count()
    }
}

pub(crate) fn now_unix() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs()
}
