//! `faregate settlements`: what the ledger says of payments, what the chain says, and an
//! operator's two moves. Reads only, unless `--apply` is given.

mod list;
mod reconcile;
mod retry;
mod show;
mod wording;

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context as _, bail};
use clap::{Args, Subcommand};
use faregate_ledger::{PaymentName, PaymentRecords};
use faregate_protocol::PaymentKey;

use crate::config::{self, Settings};
use crate::dev_file;

/// Payments that one name may mean before the list is cut.
const MOST_MEANT: u32 = 20;
const DEFAULT_CONFIG: &str = "faregate.toml";

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

/// Where the ledger is.
#[derive(Args)]
struct Place {
    /// The configuration file; by default faregate.toml, else that of a running `faregate dev`.
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Print JSON on stdout.
    #[arg(long)]
    json: bool,
}

impl Place {
    fn settings(&self) -> anyhow::Result<Settings> {
        let path = match &self.config {
            Some(path) => path.clone(),
            None if Path::new(DEFAULT_CONFIG).exists() => PathBuf::from(DEFAULT_CONFIG),
            None => dev_file::config().with_context(|| {
                format!(
                    "there is no {DEFAULT_CONFIG} here and no `faregate dev` runs: name the \
                     configuration with --config"
                )
            })?,
        };
        Ok(config::load(&path, std::env::vars())?)
    }
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
async fn the_one(records: &dyn PaymentRecords, name: &PaymentName) -> anyhow::Result<PaymentKey> {
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
