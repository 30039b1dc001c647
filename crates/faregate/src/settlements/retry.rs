//! `faregate settlements retry`.

use std::process::ExitCode;

use clap::Args;
use faregate_ledger::{PaymentName, SettlementState};

use super::the_one;
use crate::ledger::{self, Access};
use crate::place::Place;
use crate::stdout;

/// What `faregate settlements retry` takes.
#[derive(Args)]
pub(crate) struct RetryArgs {
    #[command(flatten)]
    place: Place,
    /// Payment key, at least its first 4 digits, or the hash of its transaction.
    payment: PaymentName,
    /// Do it. The payment is then tried until its authorization ends, and charges its payer.
    #[arg(long)]
    apply: bool,
}

pub(super) async fn run(args: &RetryArgs) -> anyhow::Result<ExitCode> {
    let settings = args.place.settings()?;
    let access = if args.apply { Access::Write } else { Access::Read };
    let ledger = ledger::open(&settings.ledger, access).await?;
    let done = retry(args, &ledger).await;
    ledger.close().await;
    done
}

async fn retry(args: &RetryArgs, ledger: &ledger::Ledger) -> anyhow::Result<ExitCode> {
    let key = the_one(&*ledger.records(), &args.payment).await?;
    let store = ledger.settlements();
    let state = store.find_settlement(&key).await?.map(|stored| stored.state);
    let (done, said) = match state {
        None => (false, "has no settlement here".to_owned()),
        Some(SettlementState::Quarantined) if !args.apply => {
            (true, "would be RESERVED again; nothing was changed, give --apply to do it".to_owned())
        }
        // Another operator may have been faster: the ledger decides.
        Some(_) if args.apply && store.retry_quarantined(&key).await? => {
            (true, "is RESERVED again".to_owned())
        }
        Some(state) => {
            let why = "only what is QUARANTINED is retried by hand";
            (false, format!("is {}; {why}", state.name()))
        }
    };
    if args.place.json {
        let state = state.map(SettlementState::name);
        let told = serde_json::json!({
            "paymentKey": key.to_string(), "was": state, "applied": done && args.apply,
        });
        stdout::write(&format!("{told}\n"))?;
    } else {
        stdout::write(&format!("payment {key} {said}\n"))?;
    }
    Ok(if done { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
