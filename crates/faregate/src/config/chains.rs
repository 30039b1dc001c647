//! The chains: endpoints, signers by reference, allowed tokens.

use std::time::Duration;

use faregate_evm::fees::quiet::QuietHoursError;
use faregate_evm::{BatchMode, EndpointPolicy, QuietPolicy, TransactionType};
use faregate_protocol::{Network, assets::TEST_CHAIN_IDS};
use faregate_telemetry::Redacted;

use super::assets::{Asset, Assets, network};
use super::entry::{Entry, Node};
use super::problem::Problem;
use super::reader::Section;
use super::secret_ref::{SecretRef, SecretRefError};

const WEI_PER_GWEI: u128 = 1_000_000_000;
const MAX_GWEI: u64 = 1_000_000;
const DEFAULT_MAX_FEE_GWEI: u64 = 200;
const DEFAULT_MAX_GAS: u64 = 150_000;
const GAS_BOUNDS: (u64, u64) = (21_000, 2_000_000);
const DEFAULT_MIN_BALANCE_GWEI: u64 = 1_000_000;
const DEFAULT_RPC_TIMEOUT_MS: u64 = 5_000;
const RPC_TIMEOUT_BOUNDS: (u64, u64) = (100, 60_000);
const DEFAULT_RPC_HEDGE_MS: u64 = 500;
const MAX_CALLS_PER_SECOND: u64 = 100_000;
const MAX_LAG_BOUNDS: (u64, u64) = (1, 100_000);

/// The deployment guide's switch says true and false.
const BATCH_WORDS: [(&str, BatchMode); 5] = [
    ("auto", BatchMode::Auto),
    ("on", BatchMode::On),
    ("off", BatchMode::Off),
    ("true", BatchMode::On),
    ("false", BatchMode::Off),
];

/// One chain.
#[derive(Clone, Debug)]
pub(crate) struct ChainSettings {
    pub(crate) network: Network,
    pub(crate) rpc: Vec<Redacted<String>>,
    pub(crate) signers: Vec<SecretRef>,
    pub(crate) assets: Vec<Asset>,
    pub(crate) max_fee_wei: u128,
    pub(crate) max_gas: u64,
    pub(crate) min_balance_wei: u128,
    pub(crate) endpoints: EndpointPolicy,
    pub(crate) transaction_type: TransactionType,
    pub(crate) batch: BatchMode,
    pub(crate) quiet: QuietPolicy,
    pub(crate) shared_reads: bool,
}

/// Main nets are off until they are named.
pub(crate) fn check_main_net(
    section: &mut Section<'_, '_>,
    network: &Network,
    mainnets: &[Network],
) {
    let test = network.evm_chain_id().is_some_and(is_test_chain);
    if !test && !mainnets.contains(network) {
        section.problem(
            "network",
            "this network has real money and is not named",
            format!("add it on purpose: mainnets = [\"{network}\"]"),
        );
    }
}

/// Anvil's and hardhat's usual id is nobody's main net either.
fn is_test_chain(chain_id: u64) -> bool {
    const LOCAL: u64 = 31337;
    chain_id == LOCAL || TEST_CHAIN_IDS.contains(&chain_id)
}

pub(crate) fn read(
    entries: Vec<&Entry>,
    assets: &Assets,
    mainnets: &[Network],
    problems: &mut Vec<Problem>,
) -> Vec<ChainSettings> {
    let mut chains: Vec<ChainSettings> = Vec::new();
    for (index, entry) in entries.into_iter().enumerate() {
        let path = format!("chain[{index}]");
        let mut section = Section::open(Some(entry), path, "[[chain]]", problems);
        let Some(chain) = one(&mut section, assets, mainnets) else { continue };
        if chains.iter().any(|other| other.network == chain.network) {
            section.problem(
                "network",
                "this network is configured twice",
                "merge the two sections",
            );
            continue;
        }
        chains.push(chain);
    }
    chains
}

fn one(
    section: &mut Section<'_, '_>,
    assets: &Assets,
    mainnets: &[Network],
) -> Option<ChainSettings> {
    let network = section.required_text("network").and_then(|_| network(section));
    if let Some(network) = &network {
        check_main_net(section, network, mainnets);
    }
    let rpc = endpoints(section);
    let signers = signers(section);
    let max_fee_gwei = section.number("max_fee_gwei", DEFAULT_MAX_FEE_GWEI, (1, MAX_GWEI));
    let max_gas = section.number("max_gas", DEFAULT_MAX_GAS, GAS_BOUNDS);
    let bounds = (0, u64::MAX);
    let min_balance = section.number("min_balance_gwei", DEFAULT_MIN_BALANCE_GWEI, bounds);
    let endpoints = endpoint_policy(section);
    let types = [("eip1559", TransactionType::Eip1559), ("legacy", TransactionType::Legacy)];
    let transaction_type = section.word("transactions", &types).unwrap_or_default();
    let batch = section.word("batch", &BATCH_WORDS).unwrap_or_default();
    let quiet = quiet(section, max_fee_gwei, transaction_type);
    let shared_reads = section.truth_or("shared_reads", true);
    let network = network?;
    let assets = allowed(section, &network, assets);
    Some(ChainSettings {
        network,
        rpc,
        signers,
        assets,
        max_fee_wei: u128::from(max_fee_gwei).saturating_mul(WEI_PER_GWEI),
        max_gas,
        min_balance_wei: u128::from(min_balance).saturating_mul(WEI_PER_GWEI),
        endpoints,
        transaction_type,
        batch,
        quiet,
        shared_reads,
    })
}

/// When payments that nobody waits for are sent.
fn quiet(
    section: &mut Section<'_, '_>,
    max_fee_gwei: u64,
    transaction_type: TransactionType,
) -> QuietPolicy {
    let mut policy = QuietPolicy::default();
    if let Some(text) = section.text("quiet_hours") {
        match text.parse() {
            Ok(hours) => policy.hours = Some(hours),
            Err(error) => {
                let error: QuietHoursError = error;
                section.problem("quiet_hours", error.to_string(), "write \"HH:MM-HH:MM\"");
            }
        }
    }
    let base_fee = section.number("quiet_base_fee_gwei", 0, (0, MAX_GWEI));
    if base_fee > max_fee_gwei {
        let fix = "write less than max_fee_gwei";
        section.problem("quiet_base_fee_gwei", "gas may never cost that much", fix);
    } else if base_fee > 0 && transaction_type == TransactionType::Legacy {
        let fix = "leave it out, or use quiet_hours";
        section.problem("quiet_base_fee_gwei", "a legacy chain has no base fee", fix);
    } else if base_fee > 0 {
        policy.base_fee_wei = Some(u128::from(base_fee).saturating_mul(WEI_PER_GWEI));
    }
    policy
}

fn endpoint_policy(section: &mut Section<'_, '_>) -> EndpointPolicy {
    let default = EndpointPolicy::default();
    let timeout_ms = section.number("rpc_timeout_ms", DEFAULT_RPC_TIMEOUT_MS, RPC_TIMEOUT_BOUNDS);
    let hedge_ms = section.number("rpc_hedge_ms", DEFAULT_RPC_HEDGE_MS, (0, RPC_TIMEOUT_BOUNDS.1));
    if hedge_ms >= timeout_ms && section.entry("rpc_hedge_ms").is_some() {
        section.problem(
            "rpc_hedge_ms",
            "a call has ended before a second endpoint would be asked",
            "write less than rpc_timeout_ms, or 0 to ask one endpoint only",
        );
    }
    let per_second = section.number("rpc_calls_per_second", 0, (0, MAX_CALLS_PER_SECOND));
    let max_lag = section.number("rpc_max_lag_blocks", default.max_lag_blocks, MAX_LAG_BOUNDS);
    EndpointPolicy {
        call_timeout: Duration::from_millis(timeout_ms),
        hedge_after: (hedge_ms > 0).then(|| Duration::from_millis(hedge_ms)),
        calls_per_second: u32::try_from(per_second).ok().filter(|rate| *rate > 0),
        max_lag_blocks: max_lag,
        ..default
    }
}

fn endpoints(section: &mut Section<'_, '_>) -> Vec<Redacted<String>> {
    if section.entry("rpc").is_none() {
        let fix = "write rpc = [\"http://127.0.0.1:8545\"]; two endpoints are better than one";
        section.problem("rpc", "this key is required", fix);
    }
    let mut endpoints = Vec::new();
    for text in section.texts("rpc") {
        // An endpoint's URL often holds its key, so it may be a reference too.
        let reference = text.starts_with("env:") || text.starts_with("file:");
        let resolved = match text.parse::<SecretRef>() {
            Ok(found) if reference => found.resolve(),
            _ => Ok(Redacted::new(text)),
        };
        let endpoint = match resolved {
            Ok(endpoint) => endpoint,
            Err(reason) => {
                section.problem("rpc", reason, "set it, or write the URL");
                continue;
            }
        };
        let url = url::Url::parse(endpoint.expose()).ok();
        if url.is_some_and(|url| matches!(url.scheme(), "http" | "https") && url.has_host()) {
            endpoints.push(endpoint);
        } else {
            section.problem("rpc", "this is no http or https URL", "write http://HOST:PORT");
        }
    }
    endpoints
}

fn signers(section: &mut Section<'_, '_>) -> Vec<SecretRef> {
    if section.entry("signers").is_none() {
        let fix = "write signers = [\"env:EVM_PRIVATE_KEY\"]";
        section.problem("signers", "this key is required", fix);
    }
    let mut signers = Vec::new();
    let entry = section.entry("signers");
    if entry.is_some_and(|entry| matches!(&entry.node, Node::List(items) if items.is_empty())) {
        section.problem("signers", "nobody would pay for gas", "name at least one signer");
    }
    for text in section.texts("signers") {
        match text.parse::<SecretRef>() {
            Ok(reference) => signers.push(reference),
            Err(error @ SecretRefError::Literal) => {
                let fix =
                    "move the key into an environment variable or a file and treat it as leaked";
                section.problem("signers", error.to_string(), fix);
            }
            Err(error @ SecretRefError::Unknown) => {
                section.problem("signers", error.to_string(), "write env:NAME or file:PATH");
            }
        }
    }
    signers
}

fn allowed(section: &mut Section<'_, '_>, network: &Network, assets: &Assets) -> Vec<Asset> {
    if section.entry("assets").is_none() {
        let default = assets.default(network);
        if default.is_none() {
            let fix = "describe the token in an [[asset]] section";
            section.problem("assets", "no token of this network is known", fix);
        }
        return default.into_iter().collect();
    }
    let mut allowed = Vec::new();
    for text in section.texts("assets") {
        if let Err(error) = faregate_protocol::address::parse_checked_address(&text) {
            section.problem("assets", error.to_string(), "copy the whole address again");
            continue;
        }
        match assets.by_address(network, &text) {
            Some(asset) => allowed.push(asset),
            None => section.problem(
                "assets",
                format!("{text} is no known token of {network}"),
                "describe it in an [[asset]] section: EIP-712 name and version, decimals",
            ),
        }
    }
    allowed
}
