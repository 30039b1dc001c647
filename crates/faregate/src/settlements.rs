//! `faregate settlements`: what the ledger says of payments, what the chain says, and an
//! operator's two moves. Reads only, unless `--apply` is given.

mod list;
mod reconcile;
mod retry;
mod show;

use std::process::ExitCode;

use anyhow::bail;
use clap::Subcommand;
use faregate_ledger::{PaymentName, PaymentRecords};
use faregate_protocol::PaymentKey;

/// Payments that one name may mean before the list is cut.
const MOST_MEANT: u32 = 20;

#[derive(Subcommand)]
pub(crate) enum SettlementsCommand {
    /// List payments, those that moved last first.
    Ls(list::ListArgs),
    /// Show everything that is stored of one payment, from claim to proof.
    Show(show::ShowArgs),
    /// Send a payment that was set aside (QUARANTINED) back to work.
    Retry(retry::RetryArgs),
    /// Ask the chain about payments and tell where the ledger says otherwise.
    Reconcile(reconcile::ReconcileArgs),
}

pub(crate) async fn run(command: SettlementsCommand) -> anyhow::Result<ExitCode> {
    match command {
        SettlementsCommand::Ls(args) => list::run(&args).await,
        SettlementsCommand::Show(args) => show::run(&args).await,
        SettlementsCommand::Retry(args) => retry::run(&args).await,
        SettlementsCommand::Reconcile(args) => reconcile::run(&args).await,
    }
}

/// The one payment that a name means.
pub(crate) async fn the_one(
    records: &dyn PaymentRecords,
    name: &PaymentName,
) -> anyhow::Result<PaymentKey> {
    let meant = records.find_payments(name, MOST_MEANT).await?;
    match meant.as_slice() {
        [key] => Ok(*key),
        [] => bail!("this ledger has no payment of that name"),
        several => {
            let lines: Vec<_> = several.iter().map(|key| format!("  {key}")).collect();
            bail!("that name means several payments; give more digits:\n{}", lines.join("\n"))
        }
    }
}
