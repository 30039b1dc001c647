//! A facilitator inside an axum app of your own, on a dev chain: its API stands under `/x402`,
//! beside whatever else the app serves. Run it with
//!
//! ```sh
//! cargo run -p faregate-examples --example embedded_facilitator
//! ```
//!
//! and ask `curl http://127.0.0.1:4021/x402/supported`. Sellers name the URL it prints.

use std::sync::Arc;

use anyhow::Context as _;
use axum::Router;
use axum::routing::get;
use faregate_chain::Chain;
use faregate_devnet::{Devnet, DevnetConfig, accounts};
use faregate_engine::clock::{Clock, SystemClock};
use faregate_engine::{Engine, Limits};
use faregate_evm::{EvmChain, EvmConfig, Wallet};
use faregate_facilitator::{FacilitatorState, ServeLimits};
use faregate_ledger::{Sealer, SettlementStore, SqliteLedger};
use faregate_protocol::Network;
use faregate_telemetry::{Checks, Metrics};

const LISTEN: &str = "127.0.0.1:4021";

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let network = Network::eip155(accounts::CHAIN_ID);
    let devnet = Devnet::start(DevnetConfig::default()).await?;
    // A real facilitator keeps its ledger over restarts; this chain forgets everything.
    let scratch = tempfile::tempdir()?;
    let ledger =
        SqliteLedger::open(&scratch.path().join("facilitator.db"), Sealer::throwaway()?).await?;
    let metrics = Metrics::new([network.to_string()]);

    let signer = Wallet::from_hex(&accounts::FACILITATOR.private_key.to_string())?;
    let evm = EvmConfig::new(network, vec![devnet.url()], vec![Arc::new(signer)]);
    let chain: Arc<dyn Chain> = Arc::new(EvmChain::connect(evm).await?);
    let store: Arc<dyn SettlementStore> = Arc::new(ledger.clone());
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    let (engine, workers) = Engine::start(vec![chain], &store, &clock, &metrics, Limits::default());

    let asked = engine.clone();
    let readiness = Checks::new().with("chain", move || {
        let engine = asked.clone();
        async move { engine.ready().await.is_ok() }
    });
    let api = faregate_facilitator::router(FacilitatorState {
        facilitator: Arc::new(engine.clone()),
        settlements: Arc::new(engine),
        metrics,
        readiness: Arc::new(readiness),
        callers: faregate_facilitator::Callers::default(),
        limits: faregate_facilitator::Limits::default(),
    });
    // Callers are not authenticated by the API: a layer here is the place to do it.
    let app = Router::new()
        .route("/", get(|| async { "a facilitator lives under /x402\n" }))
        .nest("/x402", api);

    let listener = tokio::net::TcpListener::bind(LISTEN).await.context(LISTEN)?;
    println!("facilitator  http://{LISTEN}/x402");
    println!("chain        {}", devnet.url());
    faregate_facilitator::serve(listener, app, ServeLimits::default(), interrupted()).await?;

    workers.stop().await;
    ledger.close().await;
    devnet.shutdown().await;
    Ok(())
}

async fn interrupted() {
    let _ = tokio::signal::ctrl_c().await;
}
