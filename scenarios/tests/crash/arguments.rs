//! What a run is asked to do.

use std::path::PathBuf;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

const USAGE: &str = "crash [--payments N] [--replicas R] [--kills K] [--seed S] [--points] \
                     [--chaos] [--deferred] [--before-run] [--steal-lanes MS] [--seconds MAX] [--ledger postgres|sqlite] \
                     [--binary PATH] [--keep]";
/// Longest run if nothing else is said.
const SECONDS: u64 = 3600;

/// Where the replicas remember payments.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum LedgerKind {
    /// A cluster of this run; any number of replicas.
    Postgres,
    /// A file; one replica only.
    Sqlite,
}

/// One run.
#[derive(Clone, Debug)]
pub(crate) struct Arguments {
    /// Payments that buyers send.
    pub(crate) payments: usize,
    /// Processes of `faregate serve`.
    pub(crate) replicas: usize,
    /// Deaths of these processes.
    pub(crate) kills: usize,
    /// Decides everything that is random here.
    pub(crate) seed: u64,
    /// Half of the deaths happen at named places.
    pub(crate) points: bool,
    /// A share of the payments goes through a route whose money follows its answer.
    pub(crate) deferred: bool,
    /// A share of them goes through a route whose money moves before its handler.
    pub(crate) before_run: bool,
    /// The endpoint misbehaves, blocks are taken back, gas becomes too dear.
    pub(crate) chaos: bool,
    /// Somebody takes the lane's lease away once every so often.
    pub(crate) steal_lanes: Option<Duration>,
    /// Longest time until the last kill.
    pub(crate) limit: Duration,
    /// Where payments are remembered.
    pub(crate) ledger: LedgerKind,
    /// The binary under test; the one beside this one if none is named.
    pub(crate) binary: Option<PathBuf>,
    /// Logs stay also when the run is good.
    pub(crate) keep: bool,
}

impl Arguments {
    /// Reads the command line; an error is text for people.
    pub(crate) fn read(mut words: impl Iterator<Item = String>) -> Result<Self, String> {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let mut read = Self {
            payments: 60,
            replicas: 2,
            kills: 6,
            seed: now.as_secs(),
            points: false,
            deferred: false,
            before_run: false,
            chaos: false,
            steal_lanes: None,
            limit: Duration::from_secs(SECONDS),
            ledger: LedgerKind::Postgres,
            binary: None,
            keep: false,
        };
        let mut named = false;
        while let Some(word) = words.next() {
            let mut value = || words.next().ok_or_else(|| format!("{word} needs a value"));
            match word.as_str() {
                "--payments" => read.payments = number(&word, &value()?)?,
                "--replicas" => read.replicas = number(&word, &value()?)?,
                "--kills" => read.kills = number(&word, &value()?)?,
                "--seed" => read.seed = number(&word, &value()?)?,
                "--seconds" => read.limit = Duration::from_secs(number(&word, &value()?)?),
                "--steal-lanes" => {
                    read.steal_lanes = Some(Duration::from_millis(number(&word, &value()?)?));
                }
                "--chaos" => read.chaos = true,
                "--deferred" => read.deferred = true,
                "--before-run" => read.before_run = true,
                "--points" => read.points = true,
                "--keep" => read.keep = true,
                "--binary" => read.binary = Some(PathBuf::from(value()?)),
                "--ledger" => {
                    named = true;
                    read.ledger = ledger(&value()?)?;
                }
                // What the test runner adds by itself.
                "--nocapture" | "--quiet" | "-q" => {}
                _ => return Err(format!("{word} is not known\nusage: {USAGE}")),
            }
        }
        if !named && read.replicas == 1 {
            read.ledger = LedgerKind::Sqlite;
        }
        read.checked()
    }

    fn checked(self) -> Result<Self, String> {
        if self.payments == 0 || self.replicas == 0 {
            return Err("at least one payment and one replica".to_owned());
        }
        if self.ledger == LedgerKind::Sqlite && self.replicas > 1 {
            return Err("a SQLite ledger belongs to one replica".to_owned());
        }
        if self.ledger == LedgerKind::Sqlite && self.steal_lanes.is_some() {
            return Err("nobody else can write to a SQLite ledger, so nobody steals".to_owned());
        }
        if self.steal_lanes.is_some_and(|every| every.is_zero()) {
            return Err("--steal-lanes: at least one millisecond".to_owned());
        }
        Ok(self)
    }
}

fn number<T: std::str::FromStr>(name: &str, text: &str) -> Result<T, String> {
    text.parse().map_err(|_| format!("{name}: {text} is no number that fits"))
}

fn ledger(text: &str) -> Result<LedgerKind, String> {
    match text {
        "postgres" => Ok(LedgerKind::Postgres),
        "sqlite" => Ok(LedgerKind::Sqlite),
        _ => Err(format!("{text} is no ledger; postgres and sqlite are")),
    }
}
