//! An axum app that is paid for one of its routes, with the gate as a tower layer and the
//! settlement in the same process, on a dev chain. Run it with
//!
//! ```sh
//! cargo run -p faregate-examples --example seller_axum
//! ```
//!
//! and, in another terminal, what it prints.

use std::sync::Arc;

use anyhow::Context as _;
use axum::http::HeaderMap;
use axum::routing::get;
use axum::{Json, Router};
use faregate_chain::Chain;
use faregate_devnet::{Devnet, DevnetConfig, accounts};
use faregate_engine::clock::{Clock, SystemClock};
use faregate_engine::{Engine, Limits};
use faregate_evm::{EvmChain, EvmConfig, Wallet};
use faregate_gate::{Gate, GateConfig, GateLayer, PAYER, Route, ServeConfig, Unmatched};
use faregate_ledger::{ClaimStore, Sealer, SettlementStore, SqliteLedger};
use faregate_protocol::price::Price;
use faregate_protocol::{Network, PaymentRequirements, assets};
use faregate_telemetry::Metrics;
use serde_json::{Value, json};
use tower::Layer as _;

const LISTEN: &str = "127.0.0.1:4020";
const PAY_TO: &str = "0xa0Ee7A142d267C1f36714E4a8F75612F20a79720";
const MAX_TIMEOUT_SECONDS: u64 = 300;

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let network = Network::eip155(accounts::CHAIN_ID);
    let devnet = Devnet::start(DevnetConfig::default()).await?;
    // A real app keeps its ledger over restarts; this chain forgets everything, and so do we.
    let scratch = tempfile::tempdir()?;
    let ledger =
        SqliteLedger::open(&scratch.path().join("seller.db"), Sealer::throwaway()?).await?;
    let metrics = Metrics::new([network.to_string()]);

    let signer = Wallet::from_hex(&accounts::FACILITATOR.private_key.to_string())?;
    let evm = EvmConfig::new(network.clone(), vec![devnet.url()], vec![Arc::new(signer)]);
    let chain: Arc<dyn Chain> = Arc::new(EvmChain::connect(evm).await?);
    let store: Arc<dyn SettlementStore> = Arc::new(ledger.clone());
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    let (engine, workers) = Engine::start(vec![chain], &store, &clock, &metrics, Limits::default());

    let weather = Route::priced("weather", "GET /weather", vec![price(&network, "$0.01")?]);
    let about = Route::free("about", "GET /about");
    let mut config =
        GateConfig::new(format!("http://{LISTEN}"), vec![weather, about], Unmatched::Deny);
    // The engine keeps its reply to every settle id.
    config.facilitator_remembers = true;
    let claims: Arc<dyn ClaimStore> = Arc::new(ledger.clone());
    let gate = Arc::new(Gate::new(config, claims, Arc::new(engine), metrics)?);

    // Outermost, so that the gate judges the very path that the client sent.
    let service = GateLayer::new(Arc::clone(&gate)).layer(app());
    let listener = tokio::net::TcpListener::bind(LISTEN).await.context(LISTEN)?;
    let sweeper = gate.spawn_sweeper(interrupted());
    println!("curl -i http://{LISTEN}/weather");
    println!("cargo run -p faregate-examples --example buyer -- http://{LISTEN}/weather");
    let serve = ServeConfig::default();
    faregate_gate::serve(listener, service, serve, interrupted()).await;

    gate.wait_idle(serve.drain).await;
    sweeper.await?;
    workers.stop().await;
    ledger.close().await;
    devnet.shutdown().await;
    Ok(())
}

/// The app itself: it may know who paid, and need not.
fn app() -> Router {
    Router::new()
        .route("/weather", get(weather))
        .route("/about", get(|| async { Json(json!({ "free": true })) }))
}

async fn weather(headers: HeaderMap) -> Json<Value> {
    let payer = headers.get(PAYER).and_then(|value| value.to_str().ok());
    Json(json!({ "weather": "sunny", "payer": payer }))
}

/// A price in the network's default asset.
fn price(network: &Network, text: &str) -> anyhow::Result<PaymentRequirements> {
    let asset = assets::default_asset(network).context("the network has no default asset")?;
    Ok(PaymentRequirements {
        scheme: "exact".to_owned(),
        network: network.clone(),
        amount: text.parse::<Price>()?.in_units(asset.decimals)?,
        asset: asset.address.to_owned(),
        pay_to: PAY_TO.to_owned(),
        max_timeout_seconds: MAX_TIMEOUT_SECONDS.into(),
        extra: json!({ "name": asset.eip712_name, "version": asset.eip712_version })
            .as_object()
            .cloned(),
    })
}

async fn interrupted() {
    let _ = tokio::signal::ctrl_c().await;
}
