//! `faregate dev`: chain, facilitator, gate, demo API, ops and a funded buyer in one process,
//! offline. Everything it remembers is gone when it ends.

use std::net::{Ipv4Addr, SocketAddr};
use std::process::ExitCode;
use std::time::Duration;

use anyhow::Context as _;
use clap::Args;
use faregate_devnet::{Devnet, DevnetConfig, DevnetHandle, accounts};

use crate::config::{self, Settings};
use crate::dev_file::{DevBuyer, DevFile, DevWorld};
use crate::roles::{self, Ports, Running};
use crate::{demo_api, server};

/// Open requests have this long at Ctrl-C: the world must be gone within a second.
const DRAIN: Duration = Duration::from_millis(300);
/// All of the ending together.
const END: Duration = Duration::from_millis(700);
/// A chain that mines only when there is something to mine would never make anything final.
const HEARTBEAT: Duration = Duration::from_secs(2);
const FLAG: &str = "--port-base N";

/// What `faregate dev` takes.
#[derive(Args)]
pub(crate) struct DevArgs {
    /// Print one JSON object on stdout when every port answers, and nothing else.
    #[arg(long)]
    json: bool,
    /// Take five ports in a row: gate N, facilitator N+1, ops N+2, demo API N+3, chain N+4.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=65531))]
    port_base: Option<u16>,
    /// Mine a block each so many milliseconds instead of one for each transaction.
    #[arg(long, value_name = "MS", value_parser = clap::value_parser!(u64).range(10..=600_000))]
    block_time: Option<u64>,
}

#[derive(Clone, Copy)]
struct PortNumbers {
    gate: u16,
    facilitator: u16,
    ops: u16,
    demo_api: u16,
    chain: u16,
}

impl PortNumbers {
    fn of(args: &DevArgs) -> Self {
        match args.port_base {
            None => Self {
                gate: config::GATE_PORT,
                facilitator: config::FACILITATOR_PORT,
                ops: config::OPS_PORT,
                demo_api: config::DEMO_API_PORT,
                chain: config::CHAIN_PORT,
            },
            Some(base) => {
                let [gate, facilitator, ops, demo_api, chain] =
                    [0, 1, 2, 3, 4].map(|offset| base.saturating_add(offset));
                Self { gate, facilitator, ops, demo_api, chain }
            }
        }
    }
}

fn loopback(port: u16) -> SocketAddr {
    SocketAddr::from((Ipv4Addr::LOCALHOST, port))
}

fn http(port: u16) -> String {
    format!("http://{}", loopback(port))
}

pub(crate) async fn run(args: DevArgs) -> anyhow::Result<ExitCode> {
    let told_to_stop = server::until_told_to_stop();
    let ports = PortNumbers::of(&args);
    let world = world(ports);
    let scratch = tempfile::Builder::new()
        .prefix("faregate-dev-")
        .tempdir()
        .context("there is no place for a temporary ledger")?;
    // Taken before the chain starts, so that a busy port is said at once, with its name.
    let listeners = Ports {
        gate: Some(server::bind("gate", loopback(ports.gate), FLAG).await?),
        facilitator: Some(server::bind("facilitator", loopback(ports.facilitator), FLAG).await?),
        ops: server::bind("ops listener", loopback(ports.ops), FLAG).await?,
    };
    let demo = server::bind("demo API", loopback(ports.demo_api), FLAG).await?;
    // The chain takes its own port; this only gives the error its name.
    drop(server::bind("chain", loopback(ports.chain), FLAG).await?);
    let chain = start_chain(&args, ports.chain).await?;
    let config = scratch.path().join("faregate.toml");
    let settings = settings(&world, ports, &config)?;
    let mut running = roles::start_on(settings, listeners, DRAIN).await?;
    let stopped = running.stopped();
    running.serve_router("demo API", demo, demo_api::router(), DRAIN, stopped)?;
    let file = DevFile::write(&world, &config)?;
    if args.json {
        println!("{}", serde_json::to_string(&world)?);
    } else {
        print!("{}", welcome(&world));
    }
    until_stopped(&args, &chain, told_to_stop).await;
    drop(file);
    end(running, chain).await;
    Ok(ExitCode::SUCCESS)
}

async fn start_chain(args: &DevArgs, port: u16) -> anyhow::Result<DevnetHandle> {
    let config = DevnetConfig {
        listen: loopback(port),
        block_time: args.block_time.map(Duration::from_millis),
        ..DevnetConfig::default()
    };
    Devnet::start(config).await.context("the chain could not be started")
}

async fn until_stopped(
    args: &DevArgs,
    chain: &DevnetHandle,
    told_to_stop: impl Future<Output = &'static str>,
) {
    let heartbeat = async {
        loop {
            tokio::time::sleep(HEARTBEAT).await;
            if args.block_time.is_none() {
                chain.mine(1);
            }
        }
    };
    tokio::select! {
        _ = told_to_stop => {}
        () = heartbeat => {}
    }
}

async fn end(running: Running, chain: DevnetHandle) {
    let both = async { tokio::join!(running.stop(DRAIN), chain.shutdown()) };
    // The ledger and the chain are thrown away, so nothing is lost by not waiting longer.
    let _ = tokio::time::timeout(END, both).await;
}

fn world(ports: PortNumbers) -> DevWorld {
    let gate = http(ports.gate);
    DevWorld {
        rpc: http(ports.chain),
        chain_id: accounts::CHAIN_ID,
        token: accounts::TOKEN.to_checksum(None),
        facilitator: http(ports.facilitator),
        paid_url: format!("{gate}/weather"),
        free_url: format!("{gate}/about"),
        gate,
        ops: http(ports.ops),
        pay_to: accounts::PAYEE.address.to_checksum(None),
        buyer: DevBuyer {
            address: accounts::BUYER.address.to_checksum(None),
            private_key: accounts::BUYER.private_key.to_string(),
        },
    }
}

/// The dev world is configured as everybody else's: by a TOML text.
fn settings(
    world: &DevWorld,
    ports: PortNumbers,
    file: &std::path::Path,
) -> anyhow::Result<Settings> {
    let DevWorld { rpc, chain_id, gate, pay_to, .. } = world;
    let (key, ledger) = (file.with_file_name("signer.key"), file.with_file_name("ledger.db"));
    std::fs::write(&key, accounts::FACILITATOR.private_key.to_string())
        .context("the dev signer's key could not be written")?;
    let (upstream, key, ledger) = (http(ports.demo_api), key.display(), ledger.display());
    let text = format!(
        r#"
[ledger]
url = "sqlite://{ledger}"
[[chain]]
network = "eip155:{chain_id}"
rpc = ["{rpc}"]
signers = ["file:{key}"]
[gate]
origin = "{gate}"
upstream = "{upstream}"
unmatched = "deny"
[[gate.route]]
name = "weather"
match = "/weather"
price = "$0.01"
pay_to = "{pay_to}"
description = "The weather of the demo API"
mime_type = "application/json"
[[gate.route]]
name = "forecast"
match = "GET /forecast"
price = "$0.01"
pay_to = "{pay_to}"
description = "The forecast of the demo API"
mime_type = "application/json"
[[gate.route]]
name = "about"
match = "GET /about"
free = true
"#
    );
    std::fs::write(file, &text).context("the dev world's configuration could not be written")?;
    config::read(&text, std::iter::empty()).map_err(|list| {
        anyhow::Error::new(config::Problems { file: "the dev world".to_owned(), list })
    })
}

fn welcome(world: &DevWorld) -> String {
    let DevWorld { rpc, chain_id, token, facilitator, gate, paid_url, ops, pay_to, .. } = world;
    format!(
        "A world of payments runs on this machine. Ctrl-C ends it; nothing is kept.

  gate         {gate}   /weather and /forecast cost $0.01, /about is free
  facilitator  {facilitator}
  chain        {rpc}   chain id {chain_id}, USDC at {token}
  ops          {ops}   /metrics /healthz /readyz
  buyer        {}   funded; its key is public, never use it elsewhere
  payee        {pay_to}

Next, in another terminal:

  curl -i {paid_url}
  cargo run --release -- pay {paid_url}
  cargo run --release -- settlements ls
",
        world.buyer.address
    )
}
