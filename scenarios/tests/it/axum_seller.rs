//! An axum application with the gate as a tower layer and the engine in its own process, on a real
//! node: no binary of ours is involved.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use axum::routing::get;
use axum::{Json, Router};
use faregate_chain::Chain;
use faregate_engine::clock::{Clock, SystemClock};
use faregate_engine::{Engine, Limits};
use faregate_evm::{EvmChain, EvmConfig, Wallet};
use faregate_gate::{Gate, GateConfig, GateLayer, Route, ServeConfig, Unmatched};
use faregate_ledger::{ClaimStore, SettlementStore, SqliteLedger};
use faregate_protocol::header::PAYMENT_SIGNATURE;
use faregate_protocol::{Network, PaymentRequirements};
use faregate_telemetry::Metrics;
use serde_json::json;
use tokio::runtime::Runtime;
use tower::Layer as _;

use crate::official_client::fetch_pays;
use crate::real_chain::{BUYER_KEY, NETWORK, PAYEE, PRICE, RealChain, SIGNER_KEY};
use crate::real_parts::assert_buys_nothing_more;
use crate::{http, ports};

const MAX_TIMEOUT_SECONDS: u64 = 300;

/// The application, served until the runtime is dropped.
struct Seller {
    _runtime: Runtime,
    served: Arc<AtomicU64>,
    url: String,
}

impl Seller {
    fn start(chain: &RealChain) -> Self {
        let runtime = Runtime::new().unwrap();
        let served = Arc::new(AtomicU64::new(0));
        let url = format!("http://127.0.0.1:{}", ports::one());
        runtime.block_on(serve(chain, &url, Arc::clone(&served)));
        Self { _runtime: runtime, served, url }
    }
}

async fn serve(chain: &RealChain, url: &str, served: Arc<AtomicU64>) {
    let network: Network = NETWORK.parse().unwrap();
    let ledger = SqliteLedger::open_in_memory().await.unwrap();
    let metrics = Metrics::new([network.to_string()]);
    let signer = Arc::new(Wallet::from_hex(SIGNER_KEY).unwrap());
    let evm = EvmConfig::new(network.clone(), vec![chain.rpc().to_owned()], vec![signer]);
    let evm: Arc<dyn Chain> = Arc::new(EvmChain::connect(evm).await.unwrap());
    let store: Arc<dyn SettlementStore> = Arc::new(ledger.clone());
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    let (engine, workers) = Engine::start(vec![evm], &store, &clock, &metrics, Limits::default());

    let price = PaymentRequirements {
        scheme: "exact".to_owned(),
        network,
        amount: PRICE.to_string().parse().unwrap(),
        asset: chain.reader.token.clone(),
        pay_to: PAYEE.to_owned(),
        max_timeout_seconds: MAX_TIMEOUT_SECONDS.into(),
        extra: json!({"name": "USDC", "version": "2"}).as_object().cloned(),
    };
    let route = Route::priced("weather", "GET /weather", vec![price]);
    let mut config = GateConfig::new(url, vec![route], Unmatched::Deny);
    config.facilitator_remembers = true;
    let claims: Arc<dyn ClaimStore> = Arc::new(ledger);
    let gate = Arc::new(Gate::new(config, claims, Arc::new(engine), metrics).unwrap());
    let answer = move || {
        let served = served.fetch_add(1, Ordering::SeqCst) + 1;
        async move { Json(json!({"framework": "axum", "served": served})) }
    };
    let app = Router::new().route("/weather", get(answer));
    let service = GateLayer::new(gate).layer(app);
    let (authority, _) = http::split(url);
    let listener = tokio::net::TcpListener::bind(authority).await.unwrap();
    tokio::spawn(async move {
        // The workers live as long as the door is open.
        let _workers = workers;
        faregate_gate::serve(listener, service, ServeConfig::default(), std::future::pending())
            .await;
    });
}

#[test]
fn the_official_client_pays_an_axum_application_with_our_tower_layer() {
    let chain = RealChain::start();
    let seller = Seller::start(&chain);
    let url = format!("{}/weather", seller.url);
    assert_eq!(http::get(&url).status, 402);
    let said = fetch_pays(&url, BUYER_KEY);
    assert_eq!(said["status"], 200, "{said}");
    assert!(said["body"].as_str().unwrap().contains("axum"), "{said}");
    assert_eq!(said["receipt"]["success"], true, "{said}");
    chain.assert_paid_once();
    let header = said["payment"].as_str().unwrap();
    assert_buys_nothing_more(&chain, &url, (PAYMENT_SIGNATURE, header), &said["body"]);
    assert_eq!(seller.served.load(Ordering::SeqCst), 1);
}
