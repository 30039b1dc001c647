//! `faregate settlements retry`.

use std::process::ExitCode;

use clap::Args;
use faregate_ledger::{DeferralState, PaymentName, SettlementState};
use faregate_protocol::PaymentKey;

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
    if let Some(told) = retry_deferral(args, ledger, &key).await? {
        stdout::write(&told)?;
        return Ok(ExitCode::SUCCESS);
    }
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

/// A gate's row of a payment whose money follows its answer, if that is what was set aside.
async fn retry_deferral(
    args: &RetryArgs,
    ledger: &ledger::Ledger,
    key: &PaymentKey,
) -> anyhow::Result<Option<String>> {
    let claim = ledger.claims().find_claim(key).await?;
    let was = DeferralState::Quarantined;
    if claim.and_then(|claim| claim.deferral) != Some(was) {
        return Ok(None);
    }
    // Another operator may have been faster: the ledger decides.
    let done = args.apply && ledger.deferred().retry_deferral(key).await?;
    if args.place.json {
        let told = serde_json::json!({
            "paymentKey": key.to_string(), "was": was.name(), "applied": done,
        });
        return Ok(Some(format!("{told}\n")));
    }
    let said = match (args.apply, done) {
        (false, _) => "would be asked for again; nothing was changed, give --apply to do it",
        (true, true) => "is asked for again",
        (true, false) => "was asked for again in the meantime",
    };
    Ok(Some(format!("payment {key} {said}\n")))
}
