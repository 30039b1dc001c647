//! How much may be served before it is settled: required as soon as a route is deferred.

use std::time::Duration;

use faregate_gate::{AssetLimits, DeferredConfig, Route, SettleMode};
use faregate_protocol::price::Price;
use faregate_protocol::{Amount, PaymentRequirements};

use super::assets::{Asset, Assets};
use super::reader::Section;

const HEADING: &str = "[gate.deferred]";
const MIN_SECONDS_LEFT: u64 = 60;
const MIN_SECONDS_LEFT_BOUNDS: (u64, u64) = (5, 86_400);
const SETTLE_AT_ONCE: u64 = 64;
const SETTLE_AT_ONCE_BOUNDS: (u64, u64) = (1, 1000);
const DRAIN_MS: u64 = 10_000;
const DRAIN_BOUNDS: (u64, u64) = (0, 600_000);
const FIX: &str = "write an amount of every token, such as \"$1.00\"";

/// Reads the section below that of the gate, for its routes.
pub(super) fn read(
    gate: &mut Section<'_, '_>,
    routes: &[Route],
    assets: &Assets,
) -> Option<DeferredConfig> {
    let deferred = || routes.iter().filter(|route| route.settle == SettleMode::Deferred);
    let Some(entry) = gate.entry("deferred") else {
        if let Some(route) = deferred().next() {
            let name = &route.name;
            let reason = format!("route {name} is deferred, and nothing limits what may be lost");
            let fix = format!("add {HEADING} with max_per_payer and max_total");
            gate.problem("deferred", reason, fix);
        }
        return None;
    };
    let mut section = gate.below(entry, "gate.deferred".to_owned(), HEADING);
    let per_payer = limit(&mut section, "max_per_payer");
    let total = limit(&mut section, "max_total");
    let left = section.number("min_seconds_left", MIN_SECONDS_LEFT, MIN_SECONDS_LEFT_BOUNDS);
    let at_once = section.number("settle_at_once", SETTLE_AT_ONCE, SETTLE_AT_ONCE_BOUNDS);
    let drain = section.number("drain_ms", DRAIN_MS, DRAIN_BOUNDS);
    let (per_payer, total) = (per_payer?, total?);
    let mut found: Vec<AssetLimits> = Vec::new();
    for (route, option) in
        deferred().flat_map(|route| route.options().iter().map(move |option| (route, option)))
    {
        let Some(asset) = assets.by_address(&option.network, &option.asset) else { continue };
        let payer = in_units(&mut section, "max_per_payer", &per_payer, &asset);
        let total = in_units(&mut section, "max_total", &total, &asset);
        let (Some(payer), Some(total)) = (payer, total) else { return None };
        check(&mut section, route, option, (payer, total));
        let (network, asset) = (option.network.clone(), option.asset.clone());
        if !found.iter().any(|known| known.network == network && known.asset == asset) {
            found.push(AssetLimits { network, asset, payer, total });
        }
    }
    let mut config = DeferredConfig::new(found);
    config.min_left = Duration::from_secs(left);
    config.at_once = usize::try_from(at_once).unwrap_or(usize::MAX);
    config.drain = Duration::from_millis(drain);
    Some(config)
}

fn limit(section: &mut Section<'_, '_>, name: &str) -> Option<Price> {
    section.required_text(name)?;
    let price: Price = section.parsed(name, FIX)?;
    if price.ticker.as_deref().is_some_and(|ticker| ticker != "USD") {
        section.problem(name, "the limit holds for each token by itself and names none", FIX);
        return None;
    }
    Some(price)
}

fn in_units(
    section: &mut Section<'_, '_>,
    name: &str,
    limit: &Price,
    asset: &Asset,
) -> Option<Amount> {
    match limit.in_units(asset.decimals) {
        Ok(amount) => Some(amount),
        Err(error) => {
            section.problem(name, format!("in {}: {error}", asset.symbol), FIX);
            None
        }
    }
}

/// Limits that would never let anything through are a mistake.
fn check(
    section: &mut Section<'_, '_>,
    route: &Route,
    option: &PaymentRequirements,
    (payer, total): (Amount, Amount),
) {
    let name = &route.name;
    if option.amount > payer {
        let reason = format!("route {name} costs more, so it would never be deferred");
        section.problem("max_per_payer", reason, "raise it, or settle the route another way");
    } else if payer > total {
        let reason = "one payer may owe more than all of them together";
        section.problem("max_total", reason, "write at least max_per_payer");
    }
}
