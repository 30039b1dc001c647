//! `faregate debts`: who owes what. Reads only, unless `--apply` is given.

use std::process::ExitCode;

use anyhow::{Context as _, bail};
use clap::{Args, Subcommand, ValueEnum};
use faregate_ledger::{Debt, DebtFilter, Debtor, PaymentName};
use serde_json::{Value, json};

use crate::config::Settings;
use crate::ledger::{self, Access, Ledger};
use crate::place::Place;
use crate::settlements::the_one;
use crate::{stdout, wording};

#[derive(Subcommand)]
pub(crate) enum DebtsCommand {
    /// List open debts: of payees who were paid and did not serve, and of payers who were served
    /// and have not paid.
    Ls(ListArgs),
    /// Show one debt.
    Show(ShowArgs),
    /// Close a debt that was settled in another way, such as by a refund.
    Close(CloseArgs),
}

/// Who owes.
#[derive(Clone, Copy, ValueEnum)]
enum Who {
    /// The seller.
    Payee,
    /// The buyer.
    Payer,
}

/// What `faregate debts ls` takes.
#[derive(Args)]
pub(crate) struct ListArgs {
    #[command(flatten)]
    place: Place,
    /// Closed ones too.
    #[arg(long)]
    all: bool,
    /// Only what this side owes.
    #[arg(long, value_enum)]
    owed_by: Option<Who>,
    /// Only debts of payments by this payer.
    #[arg(long, value_name = "ADDRESS")]
    payer: Option<String>,
    /// At most so many.
    #[arg(long, value_name = "N", default_value_t = 50)]
    limit: u32,
}

/// What `faregate debts show` takes.
#[derive(Args)]
pub(crate) struct ShowArgs {
    #[command(flatten)]
    place: Place,
    /// Payment key, at least its first 4 digits, or the hash of its transaction.
    payment: PaymentName,
}

/// What `faregate debts close` takes.
#[derive(Args)]
pub(crate) struct CloseArgs {
    #[command(flatten)]
    place: Place,
    /// Payment key, at least its first 4 digits, or the hash of its transaction.
    payment: PaymentName,
    /// How it was settled, for the journal.
    #[arg(long, value_name = "TEXT")]
    note: String,
    /// Do it. A payer without open debts may be served on credit again.
    #[arg(long)]
    apply: bool,
}

pub(crate) async fn run(command: DebtsCommand) -> anyhow::Result<ExitCode> {
    match command {
        DebtsCommand::Ls(args) => list(&args).await,
        DebtsCommand::Show(args) => show(&args).await,
        DebtsCommand::Close(args) => close(&args).await,
    }
}

async fn list(args: &ListArgs) -> anyhow::Result<ExitCode> {
    let settings = args.place.settings()?;
    let filter = DebtFilter {
        closed_too: args.all,
        debtor: args.owed_by.map(|who| match who {
            Who::Payee => Debtor::Payee,
            Who::Payer => Debtor::Payer,
        }),
        payer: args.payer.clone(),
    };
    let ledger = ledger::open(&settings.ledger, Access::Read).await?;
    let found = ledger.debts().list_debts(&filter, args.limit).await;
    ledger.close().await;
    let found = found?;
    if found.is_empty() && !args.place.json {
        eprintln!("no debts");
        return Ok(ExitCode::SUCCESS);
    }
    let mut lines: Vec<String> = Vec::with_capacity(found.len() + 2);
    if args.place.json {
        lines.extend(found.iter().map(|debt| as_json(debt).to_string()));
    } else {
        lines.push(columns(["PAYMENT", "OPENED", "OWED BY", "WHY", "PAYER", "AMOUNT"]));
        lines.extend(found.iter().map(|debt| line(&settings, debt)));
    }
    lines.push(String::new());
    stdout::write(&lines.join("\n"))?;
    Ok(ExitCode::SUCCESS)
}

async fn show(args: &ShowArgs) -> anyhow::Result<ExitCode> {
    let settings = args.place.settings()?;
    let ledger = ledger::open(&settings.ledger, Access::Read).await?;
    let debt = the_debt(&ledger, &args.payment).await;
    ledger.close().await;
    let debt = debt?;
    let text = if args.place.json {
        format!("{}\n", as_json(&debt))
    } else {
        let closed = debt.closed_unix_ms.map_or_else(|| "open".to_owned(), wording::time);
        [
            format!("payment   {}", debt.key),
            format!("owed by   the {}", debt.debtor.name()),
            format!("why       {}", debt.reason),
            format!("amount    {}", amount(&settings, &debt)),
            format!("network   {}", debt.network),
            format!("payer     {}", debt.payer),
            format!("pay to    {}", debt.pay_to),
            format!("opened    {}", wording::time(debt.opened_unix_ms)),
            format!("closed    {closed}"),
            String::new(),
        ]
        .join("\n")
    };
    stdout::write(&text)?;
    Ok(ExitCode::SUCCESS)
}

async fn close(args: &CloseArgs) -> anyhow::Result<ExitCode> {
    let settings = args.place.settings()?;
    let access = if args.apply { Access::Write } else { Access::Read };
    let ledger = ledger::open(&settings.ledger, access).await?;
    let said = close_in(args, &settings, &ledger).await;
    ledger.close().await;
    stdout::write(&said?)?;
    Ok(ExitCode::SUCCESS)
}

async fn close_in(
    args: &CloseArgs,
    settings: &Settings,
    ledger: &Ledger,
) -> anyhow::Result<String> {
    let debt = the_debt(ledger, &args.payment).await?;
    let name = format!("{} by the {}", amount(settings, &debt), debt.debtor.name());
    if let Some(closed) = debt.closed_unix_ms {
        bail!("that debt was closed {}", wording::time(closed));
    }
    if !args.apply {
        return Ok(format!("{name} would be owed no more; nothing was changed, give --apply\n"));
    }
    // Another operator, or the chain, may have been faster.
    if !ledger.debts().close_debt(&debt.key, &args.note).await? {
        bail!("that debt was closed in the meantime");
    }
    Ok(format!("{name} is owed no more\n"))
}

async fn the_debt(ledger: &Ledger, name: &PaymentName) -> anyhow::Result<Debt> {
    let key = the_one(&*ledger.records(), name).await?;
    let debt = ledger.debts().find_debt(&key).await?;
    debt.context("nobody owes anything for that payment")
}

fn amount(settings: &Settings, debt: &Debt) -> String {
    wording::amount(settings, &debt.network, &debt.asset, debt.amount)
}

fn line(settings: &Settings, debt: &Debt) -> String {
    let opened = wording::time(debt.opened_unix_ms);
    let amount = amount(settings, debt);
    let why = if debt.closed_unix_ms.is_some() {
        format!("{} (closed)", debt.reason)
    } else {
        debt.reason.clone()
    };
    columns([&debt.key.short(), &opened, debt.debtor.name(), &why, &debt.payer, &amount])
}

fn columns([key, opened, owed_by, why, payer, amount]: [&str; 6]) -> String {
    format!("{key:<8}  {opened:<24}  {owed_by:<7}  {why:<20}  {payer:<42}  {amount}")
}

fn as_json(debt: &Debt) -> Value {
    json!({
        "paymentKey": debt.key.to_string(),
        "owedBy": debt.debtor.name(),
        "reason": debt.reason,
        "network": debt.network,
        "payer": debt.payer,
        "payTo": debt.pay_to,
        "asset": debt.asset,
        "amount": debt.amount,
        "openedAt": wording::time(debt.opened_unix_ms),
        "closedAt": debt.closed_unix_ms.map(wording::time),
    })
}
