//! One measurement, from the first block to the last receipt.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use faregate_protocol::header::{self, PAYMENT_REQUIRED};
use faregate_protocol::{PaymentRequired, PaymentRequirements, address};

use crate::arguments::{BenchCommand, Plan};
use crate::audit::{self, Audit, Authorization};
use crate::books::Books;
use crate::connection::Connection;
use crate::cores::Cores;
use crate::error::BenchError;
use crate::limits::{MAX_PAYMENTS, POLL};
use crate::load::{Load, Requests, Seen, micros};
use crate::payments::{self, Carrier, Order};
use crate::plot;
use crate::process::Process;
use crate::progress::Progress;
use crate::proxy::Counted;
use crate::report::{self, Report};
use crate::requests::{Target, Work};
use crate::under_test::UnderTest;
use crate::world::World;

/// Measures. `program` is this very program, which is measured unless a URL is given; `stop`
/// resolves when somebody wants an end, and then nothing that was started here is left.
///
/// # Errors
/// [`BenchError`].
pub async fn run(
    command: BenchCommand,
    program: &Path,
    stop: impl Future<Output = ()>,
) -> Result<Report, BenchError> {
    let plan = Plan::of(command)?;
    tokio::select! {
        report = measure(&plan, program) => report,
        () = stop => Err(BenchError::Stopped),
    }
}

impl BenchCommand {
    /// Whether the figures are wanted as JSON.
    #[must_use]
    pub fn json(&self) -> bool {
        match self {
            Self::Verify(run) | Self::Settle(run) => run.json,
            Self::Gate(gate) => gate.run.json,
        }
    }
}

async fn measure(plan: &Plan, program: &Path) -> Result<Report, BenchError> {
    let run = &plan.run;
    let cores = run.cores.map(|count| Cores::divide(usize::from(count))).transpose()?;
    if let Some(cores) = &cores {
        cores.step_aside()?;
    }
    let folder = tempfile::Builder::new().prefix("faregate-bench-").tempdir();
    let folder = folder.map_err(BenchError::io("there is no place for a ledger"))?;
    let progress = Progress::new();
    let world = World::start(run).await?;
    let mut subject =
        UnderTest::start(plan, &world, program, folder.path(), cores.as_ref()).await?;
    let offer = offer(plan, &world, &subject.target).await?;
    let requests = requests(plan, &world, &subject.target, offer.as_ref(), &progress).await?;
    let books = subject.ops.as_ref().filter(|_| plan.is_on_credit()).map(Books::watch);
    let at_once = usize::from(run.in_flight);
    let load = Load::start(plan.work, subject.target.address, requests, at_once);
    let measured = Measured::take(plan, &world, &mut subject, load, &progress).await?;
    drop(progress);
    let audit = measured.audit(plan, &world, offer.as_ref()).await?;
    if let Some(path) = &run.plot {
        let title = format!("faregate bench {}, {} in flight", plan.work, run.in_flight);
        let written = std::fs::write(path, plot::svg(&title, &measured.seen.waits));
        written.map_err(|source| BenchError::Plot { path: path.clone(), source })?;
    }
    Ok(measured.report(plan, &audit, books.as_ref()))
}

/// What is paid for, and how it is described; `None` where nothing is paid.
struct Offer {
    requirements: PaymentRequirements,
    carrier: Carrier,
}

async fn offer(plan: &Plan, world: &World, target: &Target) -> Result<Option<Offer>, BenchError> {
    let carrier = match plan.work {
        Work::Verify => Carrier::Body("verify"),
        Work::Settle => Carrier::Body("settle"),
        Work::Paid => return challenge(target).await.map(Some),
        Work::Challenge | Work::Free => return Ok(None),
    };
    Ok(Some(Offer { requirements: world.requirements()?, carrier }))
}

async fn challenge(target: &Target) -> Result<Offer, BenchError> {
    const WANTED: u16 = 402;
    let mut connection = Connection::to(target.address);
    let request = target.get(None);
    let answer = connection.exchange(&request).await.map_err(BenchError::io("the gate"))?;
    if answer.status != WANTED {
        let status = answer.status;
        return Err(BenchError::Unexpected(format!(
            "a request without a payment was answered {status}, not {WANTED}"
        )));
    }
    let unreadable =
        || BenchError::Unexpected("the 402 has no challenge that can be paid".to_owned());
    let value = header_of(answer.raw, PAYMENT_REQUIRED).ok_or_else(unreadable)?;
    let required: PaymentRequired = header::decode(value.as_bytes()).map_err(|_| unreadable())?;
    let resource = serde_json::to_value(&required.resource).map_err(|_| unreadable())?;
    let requirements = required.accepts.into_iter().next().ok_or_else(unreadable)?;
    Ok(Offer { requirements, carrier: Carrier::Header(resource) })
}

fn header_of(raw: &[u8], name: &str) -> Option<String> {
    let head = String::from_utf8_lossy(raw).into_owned();
    let mut lines = head.lines().take_while(|line| !line.is_empty());
    lines.find_map(|line| {
        let (found, value) = line.split_once(':')?;
        found.eq_ignore_ascii_case(name).then(|| value.trim().to_owned())
    })
}

async fn requests(
    plan: &Plan,
    world: &World,
    target: &Target,
    offer: Option<&Offer>,
    progress: &Progress,
) -> Result<Requests, BenchError> {
    let Some(offer) = offer else {
        let request = target.get(None);
        if let Some(file) = &plan.answer {
            let mut connection = Connection::to(target.address);
            let answer = connection.exchange(&request).await.map_err(BenchError::io("the gate"))?;
            std::fs::write(file, answer.raw).map_err(BenchError::io(file.display().to_string()))?;
        }
        return Ok(Requests::Same(request));
    };
    let (requirements, carrier) = (offer.requirements.clone(), offer.carrier.clone());
    let order = Order { target: target.clone(), requirements, carrier };
    let (count, payers) = (needed(plan), Arc::clone(&world.payers));
    let signed = Arc::new(AtomicU64::new(0));
    let counter = Arc::clone(&signed);
    let mut signing =
        tokio::task::spawn_blocking(move || payments::sign(&order, &payers, count, &counter));
    loop {
        let done = signed.load(Ordering::Relaxed);
        progress.show("signing", done, count, &format!("{done} payments"));
        if let Ok(ended) = tokio::time::timeout(POLL, &mut signing).await {
            let died = |_| BenchError::Sign("a thread panicked".to_owned());
            return ended.map_err(died)?.map(Requests::Payments);
        }
    }
}

/// Payments that the work can need: what the blocks hold, or what a fast machine verifies.
fn needed(plan: &Plan) -> u64 {
    /// Less than a transfer costs, alone or in a batch.
    const GAS: u64 = 35_000;
    const VERIFICATIONS_PER_SECOND: u64 = 10_000;
    const BLOCKS_MORE: u64 = 3;
    let run = &plan.run;
    let span = plan.warm_up() + Duration::from_secs(run.seconds);
    let guess = if plan.waits_for_blocks() {
        let blocks = micros(span) / micros(run.block_time).max(1) + BLOCKS_MORE;
        blocks.saturating_mul(run.block_gas_limit / GAS)
    } else {
        (span.as_secs() + 1).saturating_mul(VERIFICATIONS_PER_SECOND)
    };
    run.payments.unwrap_or_else(|| guess.saturating_add(run.in_flight.into()).min(MAX_PAYMENTS))
}

/// What is read before the clock starts and after it has stopped.
struct Reading {
    at: Instant,
    subject_micros: u64,
    own_micros: u64,
    rpc: Counted,
}

impl Reading {
    fn take(world: &World, subject: &mut UnderTest) -> Result<Self, BenchError> {
        subject.check()?;
        let ended = || BenchError::Unexpected("what is measured has ended".to_owned());
        Ok(Self {
            at: Instant::now(),
            subject_micros: subject.process.processor_micros().ok_or_else(ended)?,
            own_micros: Process::own().processor_micros().unwrap_or_default(),
            rpc: world.proxy.counted(),
        })
    }
}

struct Measured {
    seen: Seen,
    accepted: Vec<Authorization>,
    before: Reading,
    after: Reading,
    used_up: bool,
    rss: u64,
    peak_rss: u64,
}

impl Measured {
    async fn take(
        plan: &Plan,
        world: &World,
        subject: &mut UnderTest,
        mut load: Load,
        progress: &Progress,
    ) -> Result<Self, BenchError> {
        let whole = Duration::from_secs(plan.run.seconds);
        let early = pass(plan.warm_up(), "warm-up", subject, &load, progress).await?;
        let before = Reading::take(world, subject)?;
        load.start_clock();
        let used_up = early || pass(whole, "measuring", subject, &load, progress).await?;
        load.stop_clock();
        let after = Reading::take(world, subject)?;
        let ended = || BenchError::Unexpected("what is measured has ended".to_owned());
        let memory = subject.process.memory().ok_or_else(ended)?;
        progress.show("draining", 0, 0, "");
        let mut seen = load.finish().await?;
        seen.waits.sort_unstable();
        let payment = |index: &usize| load.payment(*index).map(|p| (p.payer, p.nonce));
        let accepted = seen.payments.iter().filter_map(payment).collect();
        let (rss, peak_rss) = (memory.now, memory.peak);
        Ok(Self { seen, accepted, before, after, used_up, rss, peak_rss })
    }

    async fn audit(
        &self,
        plan: &Plan,
        world: &World,
        offer: Option<&Offer>,
    ) -> Result<Audit, BenchError> {
        let Some(offer) = offer.filter(|_| plan.work.moves_money()) else {
            return Ok(Audit::default());
        };
        let parse = |text: &str| {
            let wrong = |_| BenchError::Unexpected(format!("{text} is no address"));
            address::parse_address(text).map_err(wrong)
        };
        let (token, pay_to) =
            (parse(&offer.requirements.asset)?, parse(&offer.requirements.pay_to)?);
        audit::audit(world, token, pay_to, &self.accepted).await
    }

    fn report(&self, plan: &Plan, audit: &Audit, books: Option<&Books>) -> Report {
        let Self { seen, before, after, .. } = self;
        let window = micros(after.at.duration_since(before.at));
        let rpc = after.rpc.since(&before.rpc);
        let outcomes = seen.outcomes;
        let lost = self.accepted.iter().filter(|payment| !audit.paid.contains(payment)).count();
        let milliseconds = |time: Duration| micros(time) / 1000;
        let run = &plan.run;
        // Answers on credit are all there when the clock stops; their money is not.
        let drained = audit.complete_at.filter(|_| plan.is_on_credit());
        let drained = drained.map(|at| at.saturating_duration_since(after.at));
        Report {
            work: plan.work.to_string(),
            in_flight: run.in_flight,
            seconds: report::seconds(window),
            used_up: self.used_up,
            per_second: report::rate(seen.waits.len() as u64, window),
            p50_ms: report::quantile_ms(&seen.waits, 500),
            p99_ms: report::quantile_ms(&seen.waits, 990),
            cpu_micros_per_request: report::each(
                after.subject_micros.saturating_sub(before.subject_micros),
                outcomes,
            ),
            rpc_calls_per_request: report::each(rpc.total(), outcomes),
            rpc_round_trips_per_request: report::each(rpc.round_trips, outcomes),
            gas_per_settlement: audit.gas.checked_div(audit.paid.len() as u64),
            rss_bytes: self.rss,
            peak_rss_bytes: self.peak_rss,
            lost: lost as u64,
            accepted: seen.accepted,
            failed: seen.failed,
            failures: seen.reasons.clone(),
            pending: seen.pending,
            transactions: audit.transactions,
            drain_seconds: drained.map(|time| report::seconds(micros(time))),
            peak_exposure_units: books.map(Books::peak),
            rpc_methods: rpc.calls,
            bench_cpu_micros_per_request: report::each(
                after.own_micros.saturating_sub(before.own_micros),
                outcomes,
            ),
            block_time_ms: milliseconds(run.block_time),
            rpc_latency_ms: milliseconds(run.rpc_latency),
            block_gas_limit: run.block_gas_limit,
            cores: run.cores,
        }
    }
}

/// Lets the load run for so long; true if the payments were used up before.
async fn pass(
    whole: Duration,
    what: &str,
    subject: &mut UnderTest,
    load: &Load,
    progress: &Progress,
) -> Result<bool, BenchError> {
    let began = Instant::now();
    loop {
        let passed = began.elapsed();
        progress.time(what, passed, whole, load.outcomes());
        subject.check()?;
        let left = whole.saturating_sub(passed);
        if left.is_zero() {
            return Ok(false);
        }
        tokio::select! {
            () = tokio::time::sleep(left.min(POLL)) => {}
            () = load.used_up() => return Ok(true),
        }
    }
}
