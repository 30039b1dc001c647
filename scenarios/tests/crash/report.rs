//! What was done to the replicas during a run, in one line, and whether it was what the run is for.

use std::fmt;
use std::time::Duration;

use crate::buyers::CROWD;
use crate::kills::{REPLACEMENT, Toll};
use crate::thief::Thefts;
use crate::weather::Record;

/// Everything that was done.
#[derive(Clone, Debug)]
pub(crate) struct Deeds {
    pub(crate) toll: Toll,
    /// `None` if nobody was to steal.
    pub(crate) thefts: Option<Thefts>,
    /// `None` if nothing was to misbehave.
    pub(crate) weather: Option<Record>,
    /// Transactions that were replaced with higher fees.
    pub(crate) replaced: usize,
    /// Transactions for several payments that were signed.
    pub(crate) batches: usize,
    /// Whether deaths at places were asked for.
    pub(crate) points: bool,
    pub(crate) killed_for: Duration,
    /// From then until everything was at rest.
    pub(crate) quiet_after: Duration,
    pub(crate) most_in_flight: usize,
}

impl Deeds {
    /// What should have happened in a run with so many payments, and did not: such a run says
    /// nothing about it.
    pub(crate) fn not_shown(&self, payments: usize) -> Vec<String> {
        let mut missing = Vec::new();
        if self.thefts.is_some_and(|thefts| thefts.from_holders == 0) {
            missing.push("no lease was ever taken from its holder".to_owned());
        }
        for (kind, times) in self.weather.iter().flat_map(Record::kinds) {
            if times == 0 {
                missing.push(format!("{kind} never happened"));
            }
        }
        let climbed = self.weather.as_ref().is_some_and(|record| record.climbed > 0);
        if climbed && self.replaced == 0 {
            missing.push("gas became dearer and no transaction was replaced".to_owned());
        }
        if climbed && self.points && !self.toll.at_points.contains_key(REPLACEMENT) {
            missing.push("nobody died while it replaced a transaction".to_owned());
        }
        if payments >= CROWD && self.batches == 0 {
            missing.push("no two payments ever shared a transaction".to_owned());
        }
        if payments >= CROWD && self.most_in_flight < CROWD {
            missing.push(format!("never {CROWD} requests at the same time"));
        }
        missing
    }
}

impl fmt::Display for Deeds {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { toll, killed_for, quiet_after, most_in_flight, .. } = self;
        let points: Vec<String> =
            toll.at_points.iter().map(|(point, times)| format!("{point}:{times}")).collect();
        write!(
            f,
            "kills={} random={} at_points={} [{}] frozen={} database={} by_themselves={} ",
            toll.deaths(),
            toll.random,
            toll.deaths() - toll.random,
            points.join(" "),
            toll.frozen,
            toll.outages.len(),
            toll.alone.len(),
        )?;
        if let Some(Thefts { from_holders, of_nobody }) = self.thefts {
            write!(f, "stolen={from_holders} stolen_of_nobody={of_nobody} ")?;
        }
        for (kind, times) in self.weather.iter().flat_map(Record::kinds) {
            write!(f, "{kind}={times} ")?;
        }
        if let Some(record) = &self.weather {
            let Record { climbed, spoiled, .. } = record;
            write!(f, "climbed={climbed} replaced={} spoiled={spoiled} ", self.replaced)?;
        }
        write!(f, "batches={} ", self.batches)?;
        write!(
            f,
            "killed_for={}s quiet_after={}s most_in_flight={most_in_flight}",
            killed_for.as_secs(),
            quiet_after.as_secs()
        )
    }
}
