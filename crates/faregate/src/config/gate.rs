//! The gate's section: where it listens, what stands behind it, and the price of each route.

use std::collections::HashSet;
use std::net::SocketAddr;
use std::time::Duration;

use faregate_gate::{
    DeferredConfig, ReverseProxy, Route, RouteFault, RouteTable, SettleMode, Unmatched,
};
use faregate_protocol::price::Price;
use faregate_protocol::{Amount, Network, PaymentRequirements};
use serde_json::json;

use super::assets::{Asset, Assets, evm_address, network};
use super::chains::check_main_net;
use super::deferred;
use super::entry::Entry;
use super::problem::Problem;
use super::reader::Section;
use super::secret_ref::SecretRef;

const DEFAULT_TIMEOUT_SECONDS: u64 = 300;
const TIMEOUT_SECONDS_BOUNDS: (u64, u64) = (20, 86_400);
const DEFAULT_UPSTREAM_TIMEOUT_MS: u64 = 30_000;
const UPSTREAM_TIMEOUT_BOUNDS: (u64, u64) = (1, 600_000);
const DEFAULT_BODY: u64 = 1024 * 1024;
const DEFAULT_ANSWER: u64 = 8 * 1024 * 1024;
const BODY_BOUNDS: (u64, u64) = (1, 1024 * 1024 * 1024);
const DEFAULT_IN_MEMORY: u64 = 256 * 1024;
/// Below, most answers would cost a write of their own before the one that keeps them.
const IN_MEMORY_BOUNDS: (u64, u64) = (4096, 1024 * 1024 * 1024);
const SCHEME: &str = "exact";

/// Who settles for a gate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum FacilitatorChoice {
    /// The engine of this process.
    Local,
    /// A facilitator over HTTP.
    Remote(url::Url),
}

/// The gate.
#[derive(Clone, Debug)]
pub(crate) struct GateSettings {
    pub(crate) listen: SocketAddr,
    pub(crate) origin: String,
    pub(crate) upstream: url::Url,
    pub(crate) unmatched: Unmatched,
    pub(crate) facilitator: FacilitatorChoice,
    pub(crate) facilitator_token: Option<SecretRef>,
    pub(crate) max_request_body_bytes: usize,
    pub(crate) max_answer_bytes: usize,
    pub(crate) max_answer_in_memory_bytes: usize,
    pub(crate) answer_retention: Duration,
    pub(crate) routes: Vec<Route>,
    pub(crate) deferred: Option<DeferredConfig>,
}

/// What the routes may refer to.
pub(crate) struct Context<'a> {
    pub(crate) assets: &'a Assets,
    /// Networks of the `[[chain]]` sections.
    pub(crate) chains: &'a [Network],
    pub(crate) mainnets: &'a [Network],
}

pub(crate) fn read(
    entry: &Entry,
    context: &Context<'_>,
    default_listen: SocketAddr,
    problems: &mut Vec<Problem>,
) -> Option<GateSettings> {
    let mut section = Section::open(Some(entry), "gate".to_owned(), "[gate]", problems);
    let listen = section.address("listen", default_listen);
    let origin = section.required_text("origin").and_then(|text| origin(&mut section, &text));
    let upstream =
        section.required_text("upstream").and_then(|_| http_url(&mut section, "upstream"));
    if let Some(Err(error)) = upstream.as_ref().map(ReverseProxy::check_upstream) {
        section.problem("upstream", error.to_string(), "write http://HOST:PORT and no path");
    }
    let words = [("deny", Unmatched::Deny), ("free", Unmatched::Free)];
    let unmatched =
        section.required_text("unmatched").and_then(|_| section.word("unmatched", &words));
    let facilitator = match section.text("facilitator").as_deref() {
        None | Some("local") => Some(FacilitatorChoice::Local),
        Some(_) => http_url(&mut section, "facilitator").map(FacilitatorChoice::Remote),
    };
    let fix = "write env:NAME or file:PATH";
    let facilitator_token: Option<SecretRef> = section.parsed("facilitator_token", fix);
    if facilitator_token.is_some() && facilitator == Some(FacilitatorChoice::Local) {
        section.problem("facilitator_token", "a local facilitator asks for no token", "remove it");
    }
    let bytes = |section: &mut Section<'_, '_>, name, default, bounds| {
        usize::try_from(section.number(name, default, bounds)).unwrap_or(usize::MAX)
    };
    let bounds = BODY_BOUNDS;
    let max_request_body_bytes =
        bytes(&mut section, "max_request_body_bytes", DEFAULT_BODY, bounds);
    let max_answer_bytes = bytes(&mut section, "max_answer_bytes", DEFAULT_ANSWER, bounds);
    let (default, bounds) = (DEFAULT_IN_MEMORY, IN_MEMORY_BOUNDS);
    let max_answer_in_memory_bytes =
        bytes(&mut section, "max_answer_in_memory_bytes", default, bounds);
    const HOUR_SECS: u64 = 3600;
    let hours = section.number("answer_retention_hours", 24, (0, 24 * 366));
    let answer_retention = Duration::from_secs(hours.saturating_mul(HOUR_SECS));
    if facilitator == Some(FacilitatorChoice::Local) && context.chains.is_empty() {
        let fix = "add a [[chain]] section, or name the URL of a facilitator";
        section.problem("facilitator", "a local facilitator needs a chain", fix);
    }
    let entries = section.tables("route");
    if entries.is_empty() {
        section.problem("route", "the gate has no route", "add a [[gate.route]] section");
    }
    let local = facilitator == Some(FacilitatorChoice::Local);
    let routes = routes(&mut section, entries, context, local);
    let deferred = deferred::read(&mut section, &routes, context.assets);
    Some(GateSettings {
        listen,
        origin: origin?,
        upstream: upstream?,
        unmatched: unmatched?,
        facilitator: facilitator?,
        facilitator_token,
        max_request_body_bytes,
        max_answer_bytes,
        max_answer_in_memory_bytes,
        answer_retention,
        routes,
        deferred,
    })
}

/// Scheme, host and port, nothing more.
fn origin(section: &mut Section<'_, '_>, text: &str) -> Option<String> {
    let url = http_url(section, "origin")?;
    let plain = url.origin().ascii_serialization();
    if text.trim_end_matches('/') == plain {
        return Some(plain);
    }
    section.problem("origin", "an origin has no path, query or user", format!("write {plain}"));
    None
}

fn http_url(section: &mut Section<'_, '_>, name: &str) -> Option<url::Url> {
    let fix = "write http://HOST:PORT or https://HOST";
    let url: url::Url = section.parsed(name, fix)?;
    if matches!(url.scheme(), "http" | "https") && url.has_host() {
        return Some(url);
    }
    section.problem(name, "this is no http or https URL", fix);
    None
}

fn routes(
    section: &mut Section<'_, '_>,
    entries: Vec<&Entry>,
    context: &Context<'_>,
    local: bool,
) -> Vec<Route> {
    let mut routes: Vec<Route> = Vec::new();
    let mut places = Vec::new();
    // Said here as well, because a route with another fault does not reach the table.
    let (mut names, mut matchers) = (HashSet::new(), HashSet::new());
    for (index, entry) in entries.into_iter().enumerate() {
        let path = format!("gate.route[{index}]");
        let mut below = section.below(entry, path, "[[gate.route]]");
        let name = below.required_text("name");
        if name.as_ref().is_some_and(|name| !names.insert(name.clone())) {
            below.problem("name", "two routes have this name", "give each its own");
        }
        let matcher = below.required_text("match");
        if matcher.as_ref().is_some_and(|matcher| !matchers.insert(matcher.clone())) {
            below.problem("match", "two routes match the same requests", "merge them");
        }
        let options =
            if below.truth("free") { None } else { Some(options(&mut below, context, local)) };
        let settle = settle_mode(&mut below);
        let rerun = below.truth_or("rerun", true);
        let description = below.text("description").unwrap_or_default();
        let mime_type = below.text("mime_type").unwrap_or_default();
        let bounds = UPSTREAM_TIMEOUT_BOUNDS;
        let timeout = below.number("upstream_timeout_ms", DEFAULT_UPSTREAM_TIMEOUT_MS, bounds);
        let (Some(name), Some(matcher)) = (name, matcher) else { continue };
        let mut route = match options {
            None => Route::free(name, matcher),
            Some(options) if options.is_empty() => continue,
            Some(options) => Route::priced(name, matcher, options),
        };
        route.settle = settle;
        route.rerun = rerun;
        route.description = description;
        route.mime_type = mime_type;
        route.upstream_timeout = Duration::from_millis(timeout);
        routes.push(route);
        places.push((index, entry));
    }
    for (position, fault) in RouteTable::faults(&routes) {
        let Some((index, entry)) = places.get(position) else { continue };
        let key = format!("gate.route[{index}].{}", key_of(&fault));
        section.fault(entry, key, fault.to_string());
    }
    routes
}

/// The key that a fault of a route is mended at.
fn key_of(fault: &RouteFault) -> &'static str {
    match fault {
        RouteFault::Name { .. } | RouteFault::NameTaken => "name",
        RouteFault::Matcher(_) | RouteFault::SameMatch { .. } => "match",
        RouteFault::UpstreamTimeout { .. } | RouteFault::TooShortToPay { .. } => {
            "upstream_timeout_ms"
        }
        _ => "price",
    }
}

fn settle_mode(section: &mut Section<'_, '_>) -> SettleMode {
    let modes = [SettleMode::BeforeResponse, SettleMode::BeforeRun, SettleMode::Deferred];
    section.word("settle", &modes.map(|mode| (mode.name(), mode))).unwrap_or_default()
}

/// The route's own price first, then its `accepts`.
fn options(
    section: &mut Section<'_, '_>,
    context: &Context<'_>,
    local: bool,
) -> Vec<PaymentRequirements> {
    let bounds = TIMEOUT_SECONDS_BOUNDS;
    let timeout = section.number("max_timeout_seconds", DEFAULT_TIMEOUT_SECONDS, bounds);
    let mut found = Vec::new();
    let more = section.tables("accepts");
    let own = ["price", "amount"].iter().any(|name| section.entry(name).is_some());
    if own || more.is_empty() {
        found.extend(option(section, context, local, timeout));
    }
    for (index, entry) in more.into_iter().enumerate() {
        let path = format!("{}.accepts[{index}]", section.path());
        let mut below = section.below(entry, path, "[[gate.route]]");
        found.extend(option(&mut below, context, local, timeout));
    }
    found
}

fn option(
    section: &mut Section<'_, '_>,
    context: &Context<'_>,
    local: bool,
    timeout: u64,
) -> Option<PaymentRequirements> {
    let pay_to = section.required_text("pay_to").and_then(|_| evm_address(section, "pay_to"));
    let network = match (section.entry("network"), context.chains) {
        (None, [only]) => Some(only.clone()),
        (None, _) => {
            section.required_text("network");
            None
        }
        (Some(_), chains) => {
            let network = network(section);
            if let Some(network) = &network {
                if local && !chains.is_empty() && !chains.contains(network) {
                    let fix = "add a [[chain]] section for it";
                    section.problem("network", "no chain of this configuration serves it", fix);
                }
                if !chains.contains(network) {
                    check_main_net(section, network, context.mainnets);
                }
            }
            network
        }
    };
    let network = network?;
    let (asset, amount) = price(section, context.assets, &network)?;
    let pay_to = pay_to?;
    if pay_to == asset.address {
        section.problem("pay_to", "this is the token's own contract", "write the payee's address");
        return None;
    }
    Some(PaymentRequirements {
        scheme: SCHEME.to_owned(),
        network,
        amount,
        asset: asset.address,
        pay_to,
        max_timeout_seconds: timeout.into(),
        extra: json!({ "name": asset.name, "version": asset.version }).as_object().cloned(),
    })
}

fn price(
    section: &mut Section<'_, '_>,
    assets: &Assets,
    network: &Network,
) -> Option<(Asset, Amount)> {
    let named = match section.text("asset") {
        Some(_) => {
            let address = evm_address(section, "asset")?;
            let asset = assets.by_address(network, &address);
            if asset.is_none() {
                let reason = format!("this is no known token of {network}");
                section.problem("asset", reason, "describe it in an [[asset]] section");
                return None;
            }
            asset
        }
        None => None,
    };
    if section.entry("amount").is_some() {
        let amount: Amount =
            section.parsed("amount", "write atomic units in quotes, such as \"10000\"")?;
        if amount == Amount::ZERO {
            section.problem(
                "amount",
                "a price must be more than zero",
                "write free = true instead",
            );
            return None;
        }
        return match named.or_else(|| assets.default(network)) {
            Some(asset) => Some((asset, amount)),
            None => {
                section.problem("amount", "no token of this network is known", "name the asset");
                None
            }
        };
    }
    section.required_text("price")?;
    let price: Price = section.parsed("price", "write \"$0.01\" or \"1.50 USDT\"")?;
    let asset = match (named, price.ticker.as_deref()) {
        (Some(asset), _) => Some(asset),
        (None, None | Some("USD")) => assets.default(network),
        (None, Some(ticker)) => assets.by_symbol(network, ticker),
    };
    let Some(asset) = asset else {
        let symbols = assets.symbols(network);
        let fix = if symbols.is_empty() {
            "describe the token in an [[asset]] section".to_owned()
        } else {
            format!("known there: {symbols}")
        };
        section.problem("price", format!("no such token is known on {network}"), fix);
        return None;
    };
    match price.in_units(asset.decimals) {
        Ok(amount) => Some((asset, amount)),
        Err(error) => {
            section.problem("price", error.to_string(), "");
            None
        }
    }
}
