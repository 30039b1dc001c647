//! `faregate settlements ls`.

use std::process::ExitCode;

use anyhow::bail;
use clap::Args;
use faregate_ledger::{ClaimState, PaymentFilter, PaymentSummary, SettlementState};

use crate::config::Settings;
use crate::ledger::{self, Access};
use crate::place::Place;
use crate::{stdout, wording};

/// What `faregate settlements ls` takes.
#[derive(Args)]
pub(crate) struct ListArgs {
    #[command(flatten)]
    place: Place,
    /// Only payments whose claim or settlement is in this state, such as BROADCAST or CREDIT; may
    /// be given several times.
    #[arg(long = "state", value_name = "STATE")]
    states: Vec<String>,
    /// Only payments without an end: not proven, not final, or owed.
    #[arg(long, conflicts_with = "states")]
    open: bool,
    /// Only payments on this network, by CAIP-2 id.
    #[arg(long, value_name = "NETWORK")]
    network: Option<String>,
    /// Only payments by this payer.
    #[arg(long, value_name = "ADDRESS")]
    payer: Option<String>,
    /// Only payments to this payee.
    #[arg(long, value_name = "ADDRESS")]
    pay_to: Option<String>,
    /// At most so many.
    #[arg(long, value_name = "N", default_value_t = 50)]
    limit: u32,
}

pub(super) async fn run(args: &ListArgs) -> anyhow::Result<ExitCode> {
    let filter = filter(args)?;
    let settings = args.place.settings()?;
    let ledger = ledger::open(&settings.ledger, Access::Read).await?;
    let found = ledger.records().list_payments(&filter, args.limit).await;
    ledger.close().await;
    let found = found?;
    if found.is_empty() && !args.place.json {
        eprintln!("no payments");
        return Ok(ExitCode::SUCCESS);
    }
    let mut lines: Vec<String> = Vec::with_capacity(found.len() + 2);
    if args.place.json {
        lines.extend(found.iter().map(|payment| wording::summary_json(payment).to_string()));
    } else {
        lines.push(columns(["PAYMENT", "MOVED", "CLAIM", "SETTLEMENT", "PAYER", "AMOUNT"]));
        lines.extend(found.iter().map(|payment| line(&settings, payment)));
    }
    lines.push(String::new());
    stdout::write(&lines.join("\n"))?;
    Ok(ExitCode::SUCCESS)
}

fn line(settings: &Settings, payment: &PaymentSummary) -> String {
    let claim = payment.claim.map_or("-", ClaimState::name);
    let settlement = payment.settlement.map_or("-", SettlementState::name);
    let moved = wording::time(payment.updated_unix_ms);
    let amount = wording::amount(settings, &payment.network, &payment.asset, payment.amount);
    columns([&payment.key.short(), &moved, claim, settlement, &payment.payer, &amount])
}

fn columns([key, moved, claim, settlement, payer, amount]: [&str; 6]) -> String {
    format!("{key:<8}  {moved:<24}  {claim:<11}  {settlement:<11}  {payer:<42}  {amount}")
}

fn filter(args: &ListArgs) -> anyhow::Result<PaymentFilter> {
    let mut filter = PaymentFilter {
        network: args.network.clone(),
        payer: args.payer.clone(),
        pay_to: args.pay_to.clone(),
        ..PaymentFilter::default()
    };
    if args.open {
        filter.claims = open_claims();
        filter.settlements = open_settlements();
    }
    for name in &args.states {
        let named = name.to_uppercase().replace('-', "_");
        let claim = ClaimState::ALL.iter().find(|state| state.name() == named);
        let settlement = SettlementState::ALL.iter().find(|state| state.name() == named);
        if claim.is_none() && settlement.is_none() {
            let claims = ClaimState::ALL.iter().map(|state| state.name());
            let all: Vec<_> =
                claims.chain(SettlementState::ALL.iter().map(|state| state.name())).collect();
            bail!("{name} is no state; there are {}", all.join(", "));
        }
        filter.claims.extend(claim);
        filter.settlements.extend(settlement);
    }
    Ok(filter)
}

/// Claims that wait for something, a payment that is owed included.
fn open_claims() -> Vec<ClaimState> {
    let ended = [ClaimState::Granted, ClaimState::NotCharged, ClaimState::Released];
    ClaimState::ALL.iter().copied().filter(|state| !ended.contains(state)).collect()
}

/// Settlements that can still move.
pub(super) fn open_settlements() -> Vec<SettlementState> {
    SettlementState::ALL.iter().copied().filter(|state| !state.is_end()).collect()
}
