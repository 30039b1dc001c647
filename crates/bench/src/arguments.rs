//! The command line of `faregate bench`.

use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Subcommand, value_parser};
use url::Url;

use crate::error::BenchError;
use crate::requests::Work;

const MIN_GAS_LIMIT: u64 = 1_000_000;
/// Signers that the dev chain has besides buyer, seller and the token's owner.
pub(crate) const MAX_SIGNERS: u16 = 7;

/// What is measured.
#[derive(Clone, Debug, Subcommand)]
pub enum BenchCommand {
    /// Verifications of a facilitator: POST /verify.
    Verify(RunArgs),
    /// Settlements of a facilitator: POST /settle, each waits for its outcome.
    Settle(RunArgs),
    /// Requests through a gate: paid ones, or with a flag those that are not.
    Gate(GateArgs),
}

/// What every measurement takes.
#[derive(Clone, Debug, Args)]
#[allow(clippy::struct_excessive_bools)] // flags
pub struct RunArgs {
    /// Requests that wait at the same time; each has a connection of its own.
    #[arg(long, value_name = "N", default_value_t = 64, value_parser = value_parser!(u16).range(1..=4096))]
    pub(crate) in_flight: u16,
    /// How long is measured. Where payments are settled, a multiple of the block time.
    #[arg(long, value_name = "S", default_value_t = 10, value_parser = value_parser!(u64).range(1..=3600))]
    pub(crate) seconds: u64,
    /// The same load before the clock starts, such as 1s; by default a second, or two blocks
    /// where payments are settled.
    #[arg(long, value_name = "TIME", value_parser = time_up_to_a_minute)]
    pub(crate) warm_up: Option<Duration>,
    /// Time between two blocks of the chain.
    #[arg(long, value_name = "TIME", default_value = "2s", value_parser = block_time)]
    pub(crate) block_time: Duration,
    /// What every HTTP round trip to the chain is delayed by.
    #[arg(long, value_name = "TIME", default_value = "20ms", value_parser = time_up_to_a_minute)]
    pub(crate) rpc_latency: Duration,
    /// Gas that fits into a block.
    #[arg(long, value_name = "GAS", default_value_t = 30_000_000, value_parser = value_parser!(u64).range(MIN_GAS_LIMIT..))]
    pub(crate) block_gas_limit: u64,
    /// Payments that are signed before the clock starts; the measurement ends when they are
    /// used up. By default as many as can be needed, at most 100000.
    #[arg(long, value_name = "N", value_parser = value_parser!(u64).range(1..=10_000_000))]
    pub(crate) payments: Option<u64>,
    /// Accounts that pay, in turn.
    #[arg(long, value_name = "N", default_value_t = 64, value_parser = value_parser!(u16).range(1..))]
    pub(crate) payers: u16,
    /// Accounts that settle.
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = value_parser!(u16).range(1..=i64::from(MAX_SIGNERS)))]
    pub(crate) signers: u16,
    /// An empty PostgreSQL database for the ledger, instead of a SQLite file.
    #[arg(long, value_name = "URL", conflicts_with = "url")]
    pub(crate) postgres: Option<String>,
    /// Whether payments that wait together share a transaction: auto, on or off, a value of
    /// `chain.batch` in the configuration.
    #[arg(long, value_name = "WHEN", default_value = "auto", conflicts_with = "url")]
    pub(crate) batch: String,
    /// Keep what is measured on the first N processors, and everything else off them.
    #[arg(long, value_name = "N", value_parser = value_parser!(u16).range(1..))]
    pub(crate) cores: Option<u16>,
    /// Print the figures as one JSON object.
    #[arg(long)]
    pub(crate) json: bool,
    /// Write a picture of the waits, as SVG.
    #[arg(long, value_name = "FILE")]
    pub(crate) plot: Option<PathBuf>,
    /// Measure what answers here, and not this program: the base URL of a facilitator, or the
    /// whole URL of a resource behind a gate. The addresses that it needs are printed.
    #[arg(long, value_name = "URL", value_parser = loopback_url)]
    pub(crate) url: Option<Url>,
    /// The process whose processor time and memory are counted.
    #[arg(long, requires = "url", conflicts_with = "command")]
    pub(crate) pid: Option<u32>,
    /// Where the chain is reached, so that what is measured can be started first.
    #[arg(long, value_name = "PORT", requires = "url", value_parser = value_parser!(u16).range(1..))]
    pub(crate) rpc_port: Option<u16>,
    /// A command that serves the URL: it is started with the addresses in its environment
    /// (BENCH_RPC_URL and others) and ended at the end.
    #[arg(last = true, requires = "url")]
    pub(crate) command: Vec<OsString>,
}

/// What `faregate bench gate` takes.
#[derive(Clone, Debug, Args)]
pub struct GateArgs {
    #[command(flatten)]
    pub(crate) run: RunArgs,
    /// Requests without a payment, each answered with 402.
    #[arg(long, conflicts_with = "free")]
    pub(crate) challenges: bool,
    /// Requests to a route that costs nothing, through to an application that answers at once.
    #[arg(long)]
    pub(crate) free: bool,
    /// When the money of a paid request moves; a value of `settle` in the configuration.
    #[arg(long, value_name = "WHEN", default_value = "before-response", conflicts_with_all = ["url", "challenges", "free"])]
    pub(crate) settle: String,
    /// Write one answer as it came, head and body, for comparisons with the same bytes.
    #[arg(long, value_name = "FILE")]
    pub(crate) answer: Option<PathBuf>,
}

/// A measurement.
#[derive(Clone, Debug)]
pub(crate) struct Plan {
    pub(crate) work: Work,
    pub(crate) run: RunArgs,
    pub(crate) settle: String,
    pub(crate) answer: Option<PathBuf>,
}

impl Plan {
    /// Flags that each are good may still not go together.
    pub(crate) fn of(command: BenchCommand) -> Result<Self, BenchError> {
        let (work, run, settle, answer) = match command {
            BenchCommand::Verify(run) => (Work::Verify, run, String::new(), None),
            BenchCommand::Settle(run) => (Work::Settle, run, String::new(), None),
            BenchCommand::Gate(gate) => {
                let work = match (gate.challenges, gate.free) {
                    (true, _) => Work::Challenge,
                    (_, true) => Work::Free,
                    _ => Work::Paid,
                };
                (work, gate.run, gate.settle, gate.answer)
            }
        };
        let wrong = |text: &str| Err(BenchError::Flags(text.to_owned()));
        if run.url.is_some() && run.pid.is_none() && run.command.is_empty() {
            return wrong("--url needs --pid, or after -- the command that serves it");
        }
        if run.pid.is_some() && run.cores.is_some() {
            return wrong("--cores is for what is started here, not for a process that runs");
        }
        if work == Work::Paid && answer.is_some() {
            return wrong("--answer is for --challenges and --free: a payment is sent once");
        }
        Ok(Self { work, run, settle, answer })
    }

    /// Whether the money of a request moves before its answer leaves.
    pub(crate) fn waits_for_blocks(&self) -> bool {
        self.work.moves_money() && !self.is_on_credit()
    }

    /// Whether it moves afterwards.
    pub(crate) fn is_on_credit(&self) -> bool {
        const DEFERRED: &str = "deferred";
        self.work == Work::Paid && self.settle == DEFERRED
    }

    /// Load before the clock starts.
    pub(crate) fn warm_up(&self) -> Duration {
        const BLOCKS: u32 = 2;
        const OTHERWISE: Duration = Duration::from_secs(1);
        let settles = self.waits_for_blocks();
        let default = if settles { self.run.block_time.saturating_mul(BLOCKS) } else { OTHERWISE };
        self.run.warm_up.unwrap_or(default)
    }
}

fn time(text: &str) -> Result<Duration, String> {
    humantime::parse_duration(text)
        .map_err(|_| "write a time with its unit, such as 2s or 20ms".to_owned())
}

fn time_up_to_a_minute(text: &str) -> Result<Duration, String> {
    const MOST: Duration = Duration::from_secs(60);
    time(text).and_then(|time| {
        (time <= MOST).then_some(time).ok_or_else(|| "at most one minute".to_owned())
    })
}

fn block_time(text: &str) -> Result<Duration, String> {
    time_up_to_a_minute(text).and_then(|time| {
        let least = faregate_devnet::limits::MIN_BLOCK_TIME;
        (time >= least).then_some(time).ok_or_else(|| format!("at least {} ms", least.as_millis()))
    })
}

/// Measurements stay on this machine.
fn loopback_url(text: &str) -> Result<Url, String> {
    let url = Url::parse(text).map_err(|error| error.to_string())?;
    let is_loopback = match url.host() {
        Some(url::Host::Ipv4(address)) => address.is_loopback(),
        Some(url::Host::Ipv6(address)) => address.is_loopback(),
        Some(url::Host::Domain(name)) => name == "localhost",
        None => false,
    };
    match (url.scheme(), is_loopback) {
        ("http", true) => Ok(url),
        ("http", false) => Err("only what runs on this machine is measured".to_owned()),
        _ => Err("write an http:// URL".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser;

    #[derive(Parser)]
    struct Line {
        #[command(subcommand)]
        command: BenchCommand,
    }

    fn read(words: &str) -> Result<Plan, String> {
        let line = Line::try_parse_from(std::iter::once("bench").chain(words.split_whitespace()));
        let command = line.map_err(|error| error.to_string())?.command;
        Plan::of(command).map_err(|error| error.to_string())
    }

    #[test]
    fn what_cannot_be_measured_is_said() {
        let url = "--url http://127.0.0.1:1/x";
        for (words, says) in [
            ("verify --in-flight 0", "0 is not in 1..=4096"),
            ("verify --seconds 0", "0 is not in 1..=3600"),
            ("settle --block-time 2", "write a time with its unit"),
            ("settle --block-time 1ms", "at least 10 ms"),
            ("settle --rpc-latency 2m", "at most one minute"),
            ("settle --block-gas-limit 21000", "21000 is not in"),
            ("settle --signers 8", "8 is not in 1..=7"),
            ("gate --free --challenges", "cannot be used with"),
            ("gate --free --settle deferred", "cannot be used with"),
            ("gate --answer x", "a payment is sent once"),
            ("verify --pid 1", "--url"),
            ("verify --rpc-port 1", "--url"),
            ("verify --url http://127.0.0.1:1", "--url needs --pid"),
            ("verify --url https://127.0.0.1:1 --pid 1", "write an http:// URL"),
            ("verify --url http://192.0.2.1 --pid 1", "only what runs on this machine"),
            (&format!("verify {url} --postgres postgres://x --pid 1"), "cannot be used with"),
            (&format!("verify {url} --batch on --pid 1"), "cannot be used with"),
            (&format!("verify {url} --pid 1 --cores 1"), "--cores is for"),
            (&format!("verify {url} --pid 1 -- x"), "cannot be used with"),
            ("verify -- x", "--url"),
            ("burn", "unrecognized subcommand"),
        ] {
            let said = read(words).err().unwrap_or_else(|| panic!("{words} is taken"));
            assert!(said.contains(says), "{words}: {said}");
        }
    }

    #[test]
    fn what_is_left_out_has_a_value() {
        let settle = read("settle").unwrap();
        assert_eq!((settle.work, settle.run.in_flight, settle.run.seconds), (Work::Settle, 64, 10));
        assert_eq!(settle.warm_up(), Duration::from_secs(4));
        assert_eq!(settle.run.rpc_latency, Duration::from_millis(20));
        assert_eq!(read("gate --free").unwrap().warm_up(), Duration::from_secs(1));
        let given = read("gate --challenges --warm-up 0s --answer x").unwrap();
        assert_eq!((given.work, given.warm_up()), (Work::Challenge, Duration::ZERO));
        let peer = read("verify --url http://localhost:1 -- node x --y").unwrap();
        assert_eq!(peer.run.command, ["node", "x", "--y"]);
    }
}
