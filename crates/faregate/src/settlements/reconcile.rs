//! `faregate settlements reconcile`.

use std::collections::BTreeMap;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use anyhow::bail;
use clap::Args;
use faregate_chain::Chain;
use faregate_engine::clock::SystemClock;
use faregate_engine::{Examiner, Limits, Shown, Standing};
use faregate_ledger::{PaymentFilter, PaymentName, Settlement, SettlementState};
use faregate_protocol::PaymentKey;
use faregate_telemetry::Metrics;
use serde_json::json;

use super::{list, the_one};
use crate::config::Settings;
use crate::ledger::{self, Access, Ledger};
use crate::place::Place;
use crate::{roles, stdout};

/// What `faregate settlements reconcile` takes.
#[derive(Args)]
pub(crate) struct ReconcileArgs {
    #[command(flatten)]
    place: Place,
    /// Only this payment: its key, at least its first 4 digits, or the hash of its transaction.
    payment: Option<PaymentName>,
    /// Look at payments that have ended (FINAL, DEAD) as well.
    #[arg(long)]
    all: bool,
    /// At most so many payments, those that moved last first.
    #[arg(long, value_name = "N", default_value_t = 1000)]
    limit: u32,
    /// Record what is proven, as the reconciler of a running process does; for a ledger that no
    /// process works on.
    #[arg(long)]
    apply: bool,
}

/// What came of it.
#[derive(Default)]
struct Count {
    agree: usize,
    behind: usize,
    contradict: usize,
    unanswered: usize,
    elsewhere: usize,
}

pub(super) async fn run(args: &ReconcileArgs) -> anyhow::Result<ExitCode> {
    let settings = args.place.settings()?;
    let access = if args.apply { Access::Write } else { Access::Read };
    let ledger = ledger::open(&settings.ledger, access).await?;
    let done = reconcile(args, &settings, &ledger).await;
    ledger.close().await;
    let count = done?;
    let Count { agree, behind, contradict, unanswered, elsewhere } = count;
    let looked = agree + behind + contradict + unanswered;
    eprintln!(
        "{looked} looked at: {agree} agree with the chain, {behind} behind it, {contradict} \
         contradict it, {unanswered} without an answer"
    );
    if elsewhere > 0 {
        eprintln!("{elsewhere} not looked at: their chain is not configured");
    }
    if !args.apply {
        eprintln!("nothing was changed");
    }
    let good = contradict + unanswered + elsewhere == 0;
    Ok(if good { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

async fn reconcile(
    args: &ReconcileArgs,
    settings: &Settings,
    ledger: &Ledger,
) -> anyhow::Result<Count> {
    let mut of_network: BTreeMap<String, Vec<PaymentKey>> = BTreeMap::new();
    for (network, key) in settlements(args, ledger).await? {
        of_network.entry(network).or_default().push(key);
    }
    let mut count = Count::default();
    for (network, payments) in &of_network {
        let configured = settings.chains.iter().find(|chain| chain.network.as_str() == *network);
        let Some(chain) = configured else {
            count.elsewhere += payments.len();
            continue;
        };
        let chain: Arc<dyn Chain> = Arc::new(roles::watch(chain).await?);
        let lease_ttl = Duration::from_millis(settings.lease_ms);
        let limits = Limits { lease_ttl, ..Limits::default() };
        let metrics = Metrics::new([network.clone()]);
        let store = ledger.settlements();
        let mut examiner = Examiner::new(chain, &store, Arc::new(SystemClock), metrics, limits);
        if args.apply && !examiner.take_charge(lease_ttl * 2).await {
            bail!(
                "another process reconciles {network}: it looks at each payment by itself, and \
                 nothing was changed"
            );
        }
        let looked = look(args, &mut examiner, payments, &mut count).await;
        examiner.give_up().await;
        looked?;
    }
    Ok(count)
}

/// Network and key of each settlement that is to be looked at.
async fn settlements(
    args: &ReconcileArgs,
    ledger: &Ledger,
) -> anyhow::Result<Vec<(String, PaymentKey)>> {
    let records = ledger.records();
    if let Some(name) = &args.payment {
        let key = the_one(&*records, name).await?;
        let stored = ledger.settlements().find_settlement(&key).await?;
        return Ok(stored.map(|stored| (stored.new.network, key)).into_iter().collect());
    }
    let mut filter = PaymentFilter::default();
    if !args.all {
        filter.settlements = list::open_settlements();
    }
    let found = records.list_payments(&filter, args.limit).await?;
    if found.len() >= usize::try_from(args.limit).unwrap_or(usize::MAX) {
        eprintln!("there may be more; --limit N looks at more of them");
    }
    let settled = found.into_iter().filter(|payment| payment.settlement.is_some());
    Ok(settled.map(|payment| (payment.network, payment.key)).collect())
}

async fn look(
    args: &ReconcileArgs,
    examiner: &mut Examiner,
    payments: &[PaymentKey],
    count: &mut Count,
) -> anyhow::Result<()> {
    for key in payments {
        let Some((mut stored, mut shown)) = examiner.examine(key).await? else { continue };
        let mut standing = shown.standing(&stored);
        let before = stored.state;
        if args.apply && matches!(standing, Standing::Behind | Standing::Contradicts) {
            examiner.apply(stored.clone()).await?;
            if let Some(after) = examiner.examine(key).await? {
                (stored, shown) = after;
                standing = shown.standing(&stored);
            }
        }
        *match standing {
            Standing::Agrees => &mut count.agree,
            Standing::Behind => &mut count.behind,
            Standing::Contradicts => &mut count.contradict,
            Standing::NoAnswer => &mut count.unanswered,
        } += 1;
        tell(args, before, &stored, &shown, standing)?;
    }
    Ok(())
}

fn tell(
    args: &ReconcileArgs,
    before: SettlementState,
    stored: &Settlement,
    shown: &Shown,
    standing: Standing,
) -> std::io::Result<()> {
    let (key, chain) = (&stored.new.key, words(shown));
    let verdict = match standing {
        Standing::Agrees => "agrees",
        Standing::Behind => "behind",
        Standing::Contradicts => "contradicts",
        Standing::NoAnswer => "no answer",
    };
    if args.place.json {
        let told = json!({
            "paymentKey": key.to_string(), "before": before.name(),
            "ledger": stored.state.name(), "chain": chain, "standing": verdict,
        });
        return stdout::write(&format!("{told}\n"));
    }
    let ledger = if before == stored.state {
        before.name().to_owned()
    } else {
        format!("{} -> {}", before.name(), stored.state.name())
    };
    let key = key.short();
    stdout::write(&format!("{key}  {verdict:<11}  ledger {ledger:<21}  chain {chain}\n"))
}

fn words(shown: &Shown) -> String {
    match shown {
        Shown::Paid { proof, is_final } => {
            let last = if *is_final { ", final" } else { "" };
            format!("paid by {} in block {}{last}", proof.transaction, proof.block_number)
        }
        Shown::Dead { cause, at_block } => format!("dead: {cause}, proven at block {at_block}"),
        Shown::Nothing { in_pool, reverted } if in_pool.is_empty() && reverted.is_empty() => {
            "shows nothing".to_owned()
        }
        Shown::Nothing { in_pool, reverted } => {
            format!("waiting: {}; reverted: {}", in_pool.join(" "), reverted.join(" "))
        }
        Shown::NoAnswer(why) => format!("gave no answer: {why}"),
    }
}
