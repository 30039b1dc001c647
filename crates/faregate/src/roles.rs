//! Wiring: from settings to running roles, and back to nothing.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, anyhow, bail};
use axum::Router;
use faregate_chain::{Chain, SecondLayer};
use faregate_engine::clock::{Clock, SystemClock};
use faregate_engine::{Engine, Limits, Running as EngineRunning};
use faregate_evm::{AssetProfile, EvmChain, EvmConfig, TransactionSigner, Wallet};
use faregate_facilitator::{FacilitatorState, ServeLimits};
use faregate_gate::{
    Gate, GateConfig, GateLayer, GateLimits, ProxyConfig, RemoteConfig, RemoteFacilitator,
    ReverseProxy, ServeConfig,
};
use faregate_protocol::{Facilitator, address};
use faregate_telemetry::{Checks, Metrics, ops};
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tower::Layer as _;

use crate::config::{Asset, ChainSettings, FacilitatorChoice, GateSettings, Settings};
use crate::ledger::{self, Access, Ledger};
use crate::{second_layer, server};

/// Which roles this process plays.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Roles {
    Gate,
    Facilitator,
    Both,
}

impl Roles {
    fn gate(self) -> bool {
        self != Self::Facilitator
    }

    fn facilitator(self) -> bool {
        self != Self::Gate
    }
}

/// The ports of the roles, taken before anything else is started.
pub(crate) struct Ports {
    pub(crate) gate: Option<TcpListener>,
    pub(crate) facilitator: Option<TcpListener>,
    pub(crate) ops: TcpListener,
}

/// Roles that run.
pub(crate) struct Running {
    stop: watch::Sender<bool>,
    servers: JoinSet<()>,
    engine: Option<EngineRunning>,
    /// Time to settle what is deferred and due, beyond that of open requests.
    dispatch_drain: Duration,
    ledger: Ledger,
    addresses: Vec<(&'static str, SocketAddr)>,
}

impl Running {
    /// Says on stderr what listens where.
    pub(crate) fn announce(&self) {
        for (role, address) in &self.addresses {
            tracing::info!(role, %address, "listening");
        }
    }

    /// Ends everything; open requests have `drain` to finish. What was begun is in the ledger.
    pub(crate) async fn stop(mut self, drain: Duration) {
        let _ = self.stop.send(true);
        let servers = async { while self.servers.join_next().await.is_some() {} };
        let limit = drain.saturating_add(self.dispatch_drain);
        if tokio::time::timeout(limit, servers).await.is_err() {
            tracing::warn!("requests were still open at the end of the drain");
        }
        tracing::debug!("doors closed");
        if let Some(engine) = self.engine
            && tokio::time::timeout(drain, engine.stop()).await.is_err()
        {
            tracing::warn!("a settlement step was still under way; it goes on at the next start");
        }
        tracing::debug!("workers ended");
        self.ledger.close().await;
        tracing::debug!("ledger closed");
    }
}

/// Starts the roles of a configuration file.
pub(crate) async fn start(settings: Settings, wanted: Roles) -> anyhow::Result<Running> {
    let gate = settings.gate.as_ref();
    if wanted.gate() && gate.is_none() {
        bail!("the configuration has no [gate] section");
    }
    let local = gate.is_some_and(|gate| gate.facilitator == FacilitatorChoice::Local);
    if wanted == Roles::Gate && local {
        bail!("gate.facilitator is local: run `faregate serve`, or name the facilitator's URL");
    }
    if wanted.facilitator() && settings.chains.is_empty() {
        bail!("a facilitator needs a [[chain]] section");
    }
    let ports = Ports {
        gate: match gate.filter(|_| wanted.gate()) {
            Some(gate) => Some(server::bind("gate", gate.listen, "gate.listen").await?),
            None => None,
        },
        facilitator: if wanted.facilitator() {
            let listen = settings.facilitator.listen;
            Some(server::bind("facilitator", listen, "facilitator.listen").await?)
        } else {
            None
        },
        ops: server::bind("ops listener", settings.ops, "ops.listen").await?,
    };
    start_on(settings, ports, server::DRAIN).await
}

/// Starts the roles that have a port.
pub(crate) async fn start_on(
    settings: Settings,
    ports: Ports,
    drain: Duration,
) -> anyhow::Result<Running> {
    let ledger = ledger::open(&settings.ledger, Access::Write).await?;
    let networks = settings.chains.iter().map(|chain| chain.network.to_string());
    let routes = settings.gate.iter().flat_map(|gate| &gate.routes);
    let priced = routes.flat_map(|r| r.options().iter().map(|o| o.network.to_string()));
    let metrics = Metrics::new(networks.chain(priced));
    let (stop, stopped) = watch::channel(false);
    let deferred = settings.gate.as_ref().and_then(|gate| gate.deferred.as_ref());
    let mut running = Running {
        stop,
        servers: JoinSet::new(),
        engine: None,
        dispatch_drain: deferred.map(|deferred| deferred.drain).unwrap_or_default(),
        ledger: ledger.clone(),
        addresses: Vec::new(),
    };
    let local = settings.gate.as_ref().is_none_or(|g| g.facilitator == FacilitatorChoice::Local);
    let engine = if ports.facilitator.is_some() || (ports.gate.is_some() && local) {
        let (engine, workers) = start_engine(&settings, &ledger, &metrics).await?;
        running.engine = Some(workers);
        Some(engine)
    } else {
        None
    };
    let checks = Arc::new(readiness(&ledger, engine.as_ref()));
    if let (Some(listener), Some(engine)) = (ports.facilitator, engine.as_ref()) {
        let router = faregate_facilitator::router(FacilitatorState {
            facilitator: Arc::new(engine.clone()),
            settlements: Arc::new(engine.clone()),
            metrics: metrics.clone(),
            readiness: checks.clone(),
            limits: faregate_facilitator::Limits::default(),
            callers: settings.facilitator.callers.clone(),
        });
        running.serve_router("facilitator", listener, router, drain, stopped.clone())?;
    }
    if let (Some(listener), Some(gate)) = (ports.gate, settings.gate.as_ref()) {
        let facilitator = facilitator_of(gate, engine.as_ref())?;
        let lease_ms = settings.lease_ms;
        let (gate, proxy) = build_gate(gate, lease_ms, &ledger, facilitator, &metrics)?;
        running.serve_gate(listener, gate, proxy, drain, stopped.clone())?;
    }
    let router = ops::router(metrics, checks);
    running.serve_router("ops", ports.ops, router, drain, stopped)?;
    Ok(running)
}

impl Running {
    /// Serves an axum router until the process stops.
    pub(crate) fn serve_router(
        &mut self,
        role: &'static str,
        listener: TcpListener,
        router: Router,
        drain: Duration,
        stopped: watch::Receiver<bool>,
    ) -> anyhow::Result<()> {
        self.addresses.push((role, listener.local_addr()?));
        let limits = ServeLimits { drain, ..ServeLimits::default() };
        self.servers.spawn(async move {
            let ended = faregate_facilitator::serve(listener, router, limits, told(stopped)).await;
            if let Err(error) = ended {
                tracing::error!(role, %error, "the server ended");
            }
        });
        Ok(())
    }

    fn serve_gate(
        &mut self,
        listener: TcpListener,
        gate: Arc<Gate>,
        proxy: ReverseProxy,
        drain: Duration,
        stopped: watch::Receiver<bool>,
    ) -> anyhow::Result<()> {
        self.addresses.push(("gate", listener.local_addr()?));
        let service = GateLayer::new(Arc::clone(&gate)).layer(proxy);
        let config = ServeConfig { drain, ..ServeConfig::default() };
        let sweeper = gate.spawn_sweeper(told(stopped.clone()));
        let (no_more_work, idle) = watch::channel(false);
        let dispatcher = gate.spawn_dispatcher(told(idle));
        self.servers.spawn(async move {
            faregate_gate::serve(listener, service, config, told(stopped)).await;
            // Payments whose client is gone are finished before the ledger closes.
            gate.wait_idle(drain).await;
            let _ = no_more_work.send(true);
            let _ = sweeper.await;
            let _ = dispatcher.await;
        });
        Ok(())
    }

    /// A receiver that tells when the process stops.
    pub(crate) fn stopped(&self) -> watch::Receiver<bool> {
        self.stop.subscribe()
    }
}

async fn told(mut stopped: watch::Receiver<bool>) {
    let _ = stopped.wait_for(|stop| *stop).await;
}

async fn start_engine(
    settings: &Settings,
    ledger: &Ledger,
    metrics: &Metrics,
) -> anyhow::Result<(Engine, EngineRunning)> {
    let layer = second_layer::start(settings, metrics).await?;
    let mut chains: Vec<Arc<dyn Chain>> = Vec::with_capacity(settings.chains.len());
    for chain in &settings.chains {
        chains.push(Arc::new(connect(chain, metrics, layer.clone()).await?));
    }
    let store = ledger.settlements();
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    // The strictest floor holds for all: the engine has one set of limits.
    let floor = settings.chains.iter().map(|chain| chain.min_balance_wei).max();
    let limits = Limits {
        settle_wait: settings.facilitator.settle_wait,
        exclusive_pay_to: settings.facilitator.exclusive_pay_to,
        lease_ttl: Duration::from_millis(settings.lease_ms),
        min_balance_wei: floor.unwrap_or_default(),
        ..Limits::default()
    };
    Ok(Engine::start(chains, &store, &clock, metrics, limits))
}

async fn connect(
    chain: &ChainSettings,
    metrics: &Metrics,
    second_layer: Option<Arc<dyn SecondLayer>>,
) -> anyhow::Result<EvmChain> {
    let config = EvmConfig { metrics: metrics.clone(), second_layer, ..evm_config(chain)? };
    EvmChain::connect(config).await.with_context(|| format!("chain {}", chain.network))
}

/// The chain without its signers: enough to look, and no secret is read.
pub(crate) async fn watch(chain: &ChainSettings) -> anyhow::Result<EvmChain> {
    let config = evm_config(&ChainSettings { signers: Vec::new(), ..chain.clone() })?;
    EvmChain::connect(config).await.with_context(|| format!("chain {}", chain.network))
}

fn evm_config(chain: &ChainSettings) -> anyhow::Result<EvmConfig> {
    let mut signers: Vec<Arc<dyn TransactionSigner>> = Vec::with_capacity(chain.signers.len());
    for reference in &chain.signers {
        let secret = reference.resolve().map_err(|reason| anyhow!("chain.signers: {reason}"))?;
        let wallet = Wallet::from_hex(secret.expose())
            .with_context(|| format!("chain.signers: {reference} holds no private key"))?;
        signers.push(Arc::new(wallet));
    }
    let urls = chain.rpc.iter().map(|url| url.expose().clone()).collect();
    let mut config = EvmConfig::new(chain.network.clone(), urls, signers);
    config.assets =
        chain.assets.iter().map(|asset| profile(asset, chain.max_gas)).collect::<Result<_, _>>()?;
    config.endpoints = chain.endpoints;
    config.max_fee_per_gas_wei = chain.max_fee_wei;
    config.transaction_type = chain.transaction_type;
    config.batch = chain.batch;
    config.quiet = chain.quiet;
    config.shared_reads = chain.shared_reads;
    Ok(config)
}

fn profile(asset: &Asset, gas_limit: u64) -> anyhow::Result<AssetProfile> {
    Ok(AssetProfile {
        address: address::parse_address(&asset.address)?,
        name: asset.name.clone(),
        version: asset.version.clone(),
        decimals: asset.decimals,
        gas_limit,
    })
}

fn facilitator_of(
    gate: &GateSettings,
    engine: Option<&Engine>,
) -> anyhow::Result<Arc<dyn Facilitator>> {
    match (&gate.facilitator, engine) {
        (FacilitatorChoice::Local, Some(engine)) => Ok(Arc::new(engine.clone())),
        (FacilitatorChoice::Local, None) => bail!("a local facilitator needs a chain"),
        (FacilitatorChoice::Remote(url), _) => {
            Ok(Arc::new(RemoteFacilitator::new(remote_config(gate, url)?)?))
        }
    }
}

fn remote_config(gate: &GateSettings, url: &url::Url) -> anyhow::Result<RemoteConfig> {
    let mut config = RemoteConfig::new(url.clone());
    if let Some(reference) = &gate.facilitator_token {
        let token = reference.resolve().map_err(|why| anyhow!("gate.facilitator_token: {why}"))?;
        config.token = Some(token);
    }
    Ok(config)
}

fn build_gate(
    settings: &GateSettings,
    lease_ms: u64,
    ledger: &Ledger,
    facilitator: Arc<dyn Facilitator>,
    metrics: &Metrics,
) -> anyhow::Result<(Arc<Gate>, ReverseProxy)> {
    let mut config =
        GateConfig::new(settings.origin.clone(), settings.routes.clone(), settings.unmatched);
    config.lease_ms = lease_ms;
    config.answer_retention = settings.answer_retention;
    config.deferred = settings.deferred.clone();
    config.facilitator_remembers = settings.facilitator == FacilitatorChoice::Local;
    config.limits = GateLimits {
        max_request_body_bytes: settings.max_request_body_bytes,
        max_answer_bytes: settings.max_answer_bytes,
        max_answer_in_memory_bytes: settings.max_answer_in_memory_bytes,
        ..GateLimits::default()
    };
    let gate = Gate::new(config, ledger.claims(), facilitator, metrics.clone()).context("gate")?;
    let gate = gate.with_books(ledger.deferred());
    let proxy = ProxyConfig::new(gate.origin().clone());
    let proxy = ReverseProxy::new(&settings.upstream, proxy).context("gate.upstream")?;
    Ok((Arc::new(gate), proxy))
}

fn readiness(ledger: &Ledger, engine: Option<&Engine>) -> Checks {
    let ledger = ledger.claims();
    let checks = Checks::new().with("ledger", move || {
        let ledger = ledger.clone();
        async move { ledger.ping().await.is_ok() }
    });
    let Some(engine) = engine.cloned() else { return checks };
    checks.with("chain", move || {
        let engine = engine.clone();
        async move { engine.ready().await.is_ok() }
    })
}

/// What only the outside can tell: secrets that do not resolve, chains that do not answer or are
/// others, tokens that are not what they are said to be.
pub(crate) async fn probe(settings: &Settings) -> anyhow::Result<Vec<String>> {
    let mut found = Vec::new();
    for (index, chain) in settings.chains.iter().enumerate() {
        let connected = match evm_config(chain) {
            Ok(config) => EvmChain::connect(config).await.map_err(anyhow::Error::from),
            Err(error) => Err(error),
        };
        let ready = match connected {
            Ok(connected) => connected.ready().await.map_err(anyhow::Error::from),
            Err(error) => Err(error),
        };
        if let Err(error) = ready {
            found.push(format!("chain[{index}] ({}): {error:#}", chain.network));
        }
    }
    found.extend(second_layer::probe(settings).await);
    if let Some(gate) = &settings.gate
        && let FacilitatorChoice::Remote(url) = &gate.facilitator
    {
        match remote_config(gate, url) {
            Ok(config) => {
                if let Err(error) = RemoteFacilitator::new(config)?.supported().await {
                    found.push(format!("gate.facilitator: {error}"));
                }
            }
            Err(error) => found.push(format!("{error:#}")),
        }
    }
    Ok(found)
}
