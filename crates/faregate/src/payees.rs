//! `faregate payees`: which ledger of claims a payee belongs to. Reads only, unless `--apply` is
//! given.

use std::process::ExitCode;

use anyhow::bail;
use clap::{Args, Subcommand};
use faregate_ledger::PayToOwner;
use serde_json::json;

use crate::ledger::{self, Access, Ledger};
use crate::place::Place;
use crate::{stdout, wording};

#[derive(Subcommand)]
pub(crate) enum PayeesCommand {
    /// List the payees that payments were settled for here, and whose they are.
    Ls(ListArgs),
    /// Free a payee: the next deployment that settles for it owns it.
    Release(ReleaseArgs),
}

/// What `faregate payees ls` takes.
#[derive(Args)]
pub(crate) struct ListArgs {
    #[command(flatten)]
    place: Place,
}

/// What `faregate payees release` takes.
#[derive(Args)]
pub(crate) struct ReleaseArgs {
    #[command(flatten)]
    place: Place,
    /// The payee's address.
    pay_to: String,
    /// Its network, by CAIP-2 id; needed if the address is a payee on several.
    #[arg(long, value_name = "NETWORK")]
    network: Option<String>,
    /// Do it. The gates of the old ledger must not take payments any more.
    #[arg(long)]
    apply: bool,
}

pub(crate) async fn run(command: PayeesCommand) -> anyhow::Result<ExitCode> {
    match command {
        PayeesCommand::Ls(args) => list(&args).await,
        PayeesCommand::Release(args) => release(&args).await,
    }
}

async fn list(args: &ListArgs) -> anyhow::Result<ExitCode> {
    let ledger = ledger::open(&args.place.settings()?.ledger, Access::Read).await?;
    let payees = ledger.settlements().payees().await;
    ledger.close().await;
    let payees = payees?;
    if payees.is_empty() && !args.place.json {
        eprintln!("no payees");
    }
    let mut lines: Vec<_> = payees.iter().map(|payee| line(payee, args.place.json)).collect();
    lines.push(String::new());
    stdout::write(&lines.join("\n"))?;
    Ok(ExitCode::SUCCESS)
}

fn line(payee: &PayToOwner, as_json: bool) -> String {
    let PayToOwner { network, pay_to, deployment, since_unix_ms } = payee;
    let since = wording::time(*since_unix_ms);
    if as_json {
        let told = json!({
            "network": network, "payTo": pay_to, "deployment": deployment, "since": since,
        });
        return told.to_string();
    }
    format!("{pay_to}  {network:<16}  ledger {deployment}  since {since}")
}

async fn release(args: &ReleaseArgs) -> anyhow::Result<ExitCode> {
    let access = if args.apply { Access::Write } else { Access::Read };
    let ledger = ledger::open(&args.place.settings()?.ledger, access).await?;
    let said = release_in(args, &ledger).await;
    ledger.close().await;
    stdout::write(&said?)?;
    Ok(ExitCode::SUCCESS)
}

async fn release_in(args: &ReleaseArgs, ledger: &Ledger) -> anyhow::Result<String> {
    let store = ledger.settlements();
    let mut meant = store.payees().await?;
    meant.retain(|payee| {
        payee.pay_to.eq_ignore_ascii_case(&args.pay_to)
            && args.network.as_ref().is_none_or(|network| *network == payee.network)
    });
    let payee = match meant.as_slice() {
        [one] => one,
        [] => bail!("{} is no payee with an owner here", args.pay_to),
        _ => bail!("{} is a payee on several networks: name one with --network", args.pay_to),
    };
    let name = format!("{} on {}", payee.pay_to, payee.network);
    if !args.apply {
        let owner = payee.deployment;
        return Ok(format!(
            "{name} would be free; nothing was changed, give --apply to take it from {owner}\n"
        ));
    }
    store.release_payee(&payee.network, &payee.pay_to).await?;
    Ok(format!("{name} is free: the next deployment that settles for it owns it\n"))
}
