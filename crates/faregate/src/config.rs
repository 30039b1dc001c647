//! The configuration: one TOML file, overlaid by the environment, read into settings or into the
//! list of everything that is wrong with it. Wiring starts from [`Settings`] and never looks at a
//! file or a variable again.

mod assets;
mod cache;
mod chains;
mod deferred;
mod entry;
mod gate;
mod keys;
mod problem;
mod reader;
mod secret_ref;

use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::time::Duration;

use faregate_facilitator::{Caller, Callers};
use faregate_ledger::PostgresLedger;
use faregate_protocol::{Network, PaymentKey};
use faregate_telemetry::{LogConfig, LogFormat, Redacted};

pub(crate) use self::assets::Asset;
pub(crate) use self::cache::CacheSettings;
pub(crate) use self::chains::ChainSettings;
pub(crate) use self::gate::{FacilitatorChoice, GateSettings};
pub(crate) use self::problem::Problems;
use self::problem::{Origin, Problem};
use self::reader::Section;
pub(crate) use self::secret_ref::{SecretRef, SecretRefError};

/// Port of the gate if none is named.
pub(crate) const GATE_PORT: u16 = 4020;
/// Port of the facilitator if none is named.
pub(crate) const FACILITATOR_PORT: u16 = 4021;
/// Port of the ops listener if none is named.
pub(crate) const OPS_PORT: u16 = 4022;
/// Port of the demo API of `faregate dev` if none is named.
pub(crate) const DEMO_API_PORT: u16 = 4023;
/// Port of the chain of `faregate dev` if none is named.
pub(crate) const CHAIN_PORT: u16 = 8545;

const MAX_FILE_BYTES: u64 = 1024 * 1024;
const LEASE_MS: u64 = 5_000;
const LEASE_BOUNDS: (u64, u64) = (100, 600_000);
const SETTLE_WAIT_MS: u64 = 30_000;
const SETTLE_WAIT_BOUNDS: (u64, u64) = (100, 120_000);
const DEFAULT_LEDGER: &str = "sqlite://faregate.db";
const POOL_SIZE: u64 = 20;
const POOL_SIZE_BOUNDS: (u64, u64) = (1, 1000);

/// What a configuration is for. Profiles differ only in defaults.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Profile {
    Development,
    Staging,
    Production,
}

/// The facilitator's door.
#[derive(Clone, Debug)]
pub(crate) struct FacilitatorSettings {
    pub(crate) listen: SocketAddr,
    /// Who may verify and settle; nobody named: everybody on this machine.
    pub(crate) callers: Callers,
    pub(crate) settle_wait: Duration,
    /// Nobody else has payments to these payees settled.
    pub(crate) exclusive_pay_to: bool,
}

/// A store and where it is.
#[derive(Clone, Debug)]
pub(crate) enum LedgerPlace {
    /// The SQLite file.
    Sqlite(PathBuf),
    /// A database that other processes may use too.
    Postgres {
        /// It may hold a password.
        url: Redacted<String>,
        max_connections: u32,
    },
}

/// Where payments are remembered.
#[derive(Clone, Debug)]
pub(crate) struct LedgerSettings {
    pub(crate) place: LedgerPlace,
    /// Seals what is secret in it; none: a key file beside the ledger, made at the first start.
    pub(crate) sealing_key: Option<SecretRef>,
    pub(crate) old_sealing_keys: Vec<SecretRef>,
}

/// Everything that wiring needs.
#[derive(Clone, Debug)]
pub(crate) struct Settings {
    pub(crate) log: LogConfig,
    pub(crate) ledger: LedgerSettings,
    pub(crate) cache: Option<CacheSettings>,
    pub(crate) chains: Vec<ChainSettings>,
    pub(crate) facilitator: FacilitatorSettings,
    pub(crate) gate: Option<GateSettings>,
    pub(crate) ops: SocketAddr,
    pub(crate) lease_ms: u64,
}

/// Reads a file and the environment.
pub(crate) fn load<I>(path: &Path, environment: I) -> Result<Settings, Problems>
where
    I: IntoIterator<Item = (String, String)>,
{
    let file = path.display().to_string();
    let unreadable = |reason: String| Problems {
        file: file.clone(),
        list: vec![Problem {
            origin: Origin::Missing,
            key: "(file)".to_owned(),
            value: String::new(),
            reason,
            fix: "name the file with --config, or write one with faregate init".to_owned(),
        }],
    };
    let size = std::fs::metadata(path).map_err(|e| unreadable(e.to_string()))?.len();
    if size > MAX_FILE_BYTES {
        return Err(unreadable(format!("the file is larger than {MAX_FILE_BYTES} bytes")));
    }
    let text = std::fs::read_to_string(path).map_err(|e| unreadable(e.to_string()))?;
    read(&text, environment).map_err(|list| Problems { file, list })
}

/// Reads a TOML text and the environment.
pub(crate) fn read<I>(text: &str, environment: I) -> Result<Settings, Vec<Problem>>
where
    I: IntoIterator<Item = (String, String)>,
{
    let mut root = entry::parse(text).map_err(|problem| vec![problem])?;
    let mut problems = entry::overlay(&mut root, environment);
    let settings = settings(&root, &mut problems);
    match settings {
        Some(settings) if problems.is_empty() => Ok(settings),
        _ => Err(problems),
    }
}

/// The reference of all keys, as Markdown: `docs/configuration.md` holds it.
pub(crate) fn reference() -> String {
    let mut text = String::new();
    let mut section = None;
    for key in keys::KEYS {
        if section != Some(key.section) {
            let heading = if key.section.is_empty() { "(top)" } else { key.section };
            text.push_str(&format!(
                "\n### `{heading}`\n\n| key | default | meaning |\n|---|---|---|\n"
            ));
            section = Some(key.section);
        }
        text.push_str(&format!("| `{}` | {} | {} |\n", key.name, key.default, key.help));
    }
    text.trim_start().to_owned()
}

fn settings(root: &entry::Entry, problems: &mut Vec<Problem>) -> Option<Settings> {
    let loopback = |port| SocketAddr::from((Ipv4Addr::LOCALHOST, port));
    let (top, profile, mainnets) = {
        let mut top = Section::open(Some(root), String::new(), "", problems);
        let words = [
            ("development", Profile::Development),
            ("staging", Profile::Staging),
            ("production", Profile::Production),
        ];
        let profile = top.word("profile", &words).unwrap_or(Profile::Development);
        let mainnets = main_nets(&mut top);
        let sections = ["log", "ledger", "cache", "facilitator", "gate", "ops", "lease"]
            .map(|name| top.entry(name));
        ((sections, top.tables("asset"), top.tables("chain")), profile, mainnets)
    };
    let ([log, ledger, cache, facilitator, gate, ops, lease], assets, chains) = top;
    let log = log_settings(log, profile, problems);
    let ledger = ledger_settings(ledger, profile, problems);
    let cache = cache::read(cache, problems);
    let assets = assets::Assets::read(assets, problems);
    let chains = chains::read(chains, &assets, &mainnets, problems);
    let facilitator = facilitator_settings(facilitator, problems);
    let networks: Vec<Network> = chains.iter().map(|chain| chain.network.clone()).collect();
    let context = gate::Context { assets: &assets, chains: &networks, mainnets: &mainnets };
    let gate = gate.map(|entry| gate::read(entry, &context, loopback(GATE_PORT), problems));
    let ops = Section::open(ops, "ops".to_owned(), "[ops]", problems)
        .address("listen", loopback(OPS_PORT));
    let lease_ms = Section::open(lease, "lease".to_owned(), "[lease]", problems).number(
        "ttl_ms",
        LEASE_MS,
        LEASE_BOUNDS,
    );
    let gate = match gate {
        Some(gate) => Some(gate?),
        None => None,
    };
    Some(Settings { log, ledger: ledger?, cache, chains, facilitator, gate, ops, lease_ms })
}

fn facilitator_settings(
    entry: Option<&entry::Entry>,
    problems: &mut Vec<Problem>,
) -> FacilitatorSettings {
    let mut section = Section::open(entry, "facilitator".to_owned(), "[facilitator]", problems);
    let listen =
        section.address("listen", SocketAddr::from((Ipv4Addr::LOCALHOST, FACILITATOR_PORT)));
    let wait = section.number("settle_wait_ms", SETTLE_WAIT_MS, SETTLE_WAIT_BOUNDS);
    let exclusive_pay_to = section.truth("exclusive_pay_to");
    let entries = section.tables("caller");
    if !listen.ip().is_loopback() && entries.is_empty() {
        let reason = "others than this machine can reach it, and no caller is named";
        let fix = "add a [[facilitator.caller]] section; faregate token makes one";
        section.problem("listen", reason, fix);
    }
    let mut callers = Vec::new();
    for (index, entry) in entries.into_iter().enumerate() {
        let path = format!("facilitator.caller[{index}]");
        let mut below = section.below(entry, path, "[[facilitator.caller]]");
        let name = below.required_text("name");
        let hash = below.required_text("token_sha256").and_then(|text| {
            let hash = sha256_hex(&text);
            if hash.is_none() {
                below.problem("token_sha256", "expected 64 hex digits", "faregate token makes one");
            }
            hash
        });
        if let (Some(name), Some(token_sha256)) = (name, hash) {
            callers.push(Caller { name, token_sha256 });
        }
    }
    let settle_wait = Duration::from_millis(wait);
    FacilitatorSettings { listen, callers: Callers(callers), settle_wait, exclusive_pay_to }
}

fn sha256_hex(text: &str) -> Option<[u8; 32]> {
    // The same 64 digits as a payment key.
    let plain = !text.starts_with("0x");
    text.parse::<PaymentKey>().ok().filter(|_| plain).map(|hash| hash.0)
}

fn main_nets(top: &mut Section<'_, '_>) -> Vec<Network> {
    let mut networks = Vec::new();
    for text in top.texts("mainnets") {
        match text.parse() {
            Ok(network) => networks.push(network),
            Err(_) => top.problem(
                "mainnets",
                format!("{text} is no CAIP-2 id"),
                "write ids such as eip155:8453",
            ),
        }
    }
    networks
}

fn log_settings(
    entry: Option<&entry::Entry>,
    profile: Profile,
    problems: &mut Vec<Problem>,
) -> LogConfig {
    let mut section = Section::open(entry, "log".to_owned(), "[log]", problems);
    let words = [("json", LogFormat::Json), ("text", LogFormat::Text)];
    let default = if profile == Profile::Development { LogFormat::Text } else { LogFormat::Json };
    let format = section.word("format", &words).unwrap_or(default);
    let filter = section.text("filter").unwrap_or_else(|| "info".to_owned());
    LogConfig { format, filter }
}

fn ledger_settings(
    entry: Option<&entry::Entry>,
    profile: Profile,
    problems: &mut Vec<Problem>,
) -> Option<LedgerSettings> {
    let mut section = Section::open(entry, "ledger".to_owned(), "[ledger]", problems);
    let place = ledger_place(&mut section);
    let fix = "write env:NAME or file:PATH";
    let sealing_key = section.parsed("sealing_key", fix);
    if profile == Profile::Production && section.entry("sealing_key").is_none() {
        let reason = "production seals with a key of its own";
        section.problem("sealing_key", reason, "write sealing_key = \"file:/run/secrets/seal\"");
    }
    let shared = matches!(place, Some(LedgerPlace::Postgres { .. }));
    if shared && profile != Profile::Production && section.entry("sealing_key").is_none() {
        let reason = "a ledger in PostgreSQL has no file beside it for a key";
        section.problem("sealing_key", reason, "write sealing_key = \"env:SEALING_KEY\"");
    }
    let mut old_sealing_keys = Vec::new();
    for text in section.texts("old_sealing_keys") {
        match text.parse() {
            Ok(reference) => old_sealing_keys.push(reference),
            Err(SecretRefError::Literal | SecretRefError::Unknown) => {
                section.problem("old_sealing_keys", "a secret is named by reference", fix);
            }
        }
    }
    Some(LedgerSettings { place: place?, sealing_key, old_sealing_keys })
}

fn ledger_place(section: &mut Section<'_, '_>) -> Option<LedgerPlace> {
    let text = section.text("url").unwrap_or_else(|| DEFAULT_LEDGER.to_owned());
    let reference = text.starts_with("env:") || text.starts_with("file:");
    let url = match text.parse::<SecretRef>() {
        Ok(found) if reference => match found.resolve() {
            Ok(url) => url,
            Err(reason) => {
                section.problem("url", reason, "set it, or write the URL");
                return None;
            }
        },
        _ => Redacted::new(text),
    };
    let pool_size = section.number("pool_size", POOL_SIZE, POOL_SIZE_BOUNDS);
    if let Some(path) = url.expose().strip_prefix("sqlite://") {
        if section.entry("pool_size").is_some() {
            section.problem("pool_size", "only PostgreSQL has a pool", "leave it out");
        }
        if !path.is_empty() && !path.contains('?') {
            return Some(LedgerPlace::Sqlite(PathBuf::from(path)));
        }
    }
    let scheme = url.expose().split_once("://").map_or("", |(scheme, _)| scheme);
    if !matches!(scheme, "postgres" | "postgresql") {
        let reason = "the ledger is kept in SQLite or PostgreSQL";
        section.problem("url", reason, "write sqlite://PATH, or postgres://... by reference");
        return None;
    }
    if let Err(error) = PostgresLedger::check_url(url.expose()) {
        section.problem("url", error.to_string(), "");
        return None;
    }
    let of_file = section.entry("url").is_some_and(|entry| matches!(entry.origin, Origin::File(_)));
    if of_file && !reference && has_password(url.expose()) {
        let reason = "a password never stands in a configuration";
        section.problem("url", reason, "write url = \"env:NAME\" or \"file:PATH\"");
        return None;
    }
    let max_connections = u32::try_from(pool_size).unwrap_or(u32::MAX);
    Some(LedgerPlace::Postgres { url, max_connections })
}

fn has_password(url: &str) -> bool {
    url::Url::parse(url).is_ok_and(|url| {
        url.password().is_some() || url.query_pairs().any(|(name, _)| name == "password")
    })
}

#[cfg(test)]
mod tests;
