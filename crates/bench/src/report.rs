//! The figures: as JSON, and as a table for people.
#![allow(clippy::float_arithmetic)] // figures, not money

use std::collections::BTreeMap;
use std::fmt;

use serde::Serialize;

/// What was measured. `None` where there is no such figure: gas of work that moves no money, or
/// anything per request if none came.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Report {
    /// verify, settle, paid, challenge or free.
    pub work: String,
    /// Requests at once.
    pub in_flight: u16,
    /// How long was measured; shorter than asked for if the payments were used up.
    pub seconds: f64,
    /// Whether the payments were used up before the time was.
    pub used_up: bool,
    /// Accepted requests in a second of the measured time.
    pub per_second: f64,
    /// Half of them had their outcome in so many milliseconds.
    pub p50_ms: Option<f64>,
    /// 99 of 100 of them had.
    pub p99_ms: Option<f64>,
    /// Processor time of what is measured for one request, in microseconds.
    pub cpu_micros_per_request: Option<f64>,
    /// JSON-RPC requests to the chain for one request; members of a batch are counted each.
    pub rpc_calls_per_request: Option<f64>,
    /// HTTP requests to the chain for one request.
    pub rpc_round_trips_per_request: Option<f64>,
    /// Gas of all transactions, divided by the payments that they settled.
    pub gas_per_settlement: Option<u64>,
    /// Memory of what is measured at the end, in bytes.
    pub rss_bytes: u64,
    /// The most that it had.
    pub peak_rss_bytes: u64,
    /// Accepted payments without a transfer on the chain.
    pub lost: u64,
    /// Accepted requests, before and after the measured time too.
    pub accepted: u64,
    /// Requests with another outcome.
    pub failed: u64,
    /// Why, and how often.
    pub failures: BTreeMap<String, u64>,
    /// Answers without an outcome, after which the same was asked again.
    pub pending: u64,
    /// Transactions of all payments.
    pub transactions: u64,
    /// Served on credit: seconds from the end of the measured time until the money of every answer
    /// had moved.
    pub drain_seconds: Option<f64>,
    /// Served on credit: the most that was served and not proven settled, in atomic units.
    pub peak_exposure_units: Option<u64>,
    /// JSON-RPC requests by method, in the measured time.
    pub rpc_methods: BTreeMap<String, u64>,
    /// Processor time of everything else, the load above all, for one request, in microseconds.
    pub bench_cpu_micros_per_request: Option<f64>,
    /// Milliseconds between blocks.
    pub block_time_ms: u64,
    /// Milliseconds that a round trip to the chain was delayed by.
    pub rpc_latency_ms: u64,
    /// Gas that fits into a block.
    pub block_gas_limit: u64,
    /// Processors that what is measured was kept on, if it was.
    pub cores: Option<u16>,
}

impl Report {
    /// Whether the figures stand for what they were measured for.
    pub fn is_good(&self) -> bool {
        self.accepted > 0 && self.lost == 0
    }
}

/// `sum / count` with two decimals; `None` of nothing.
pub(crate) fn each(sum: u64, count: u64) -> Option<f64> {
    (count > 0).then(|| round(sum as f64 / count as f64))
}

/// With two decimals.
pub(crate) fn round(value: f64) -> f64 {
    const HUNDREDTHS: f64 = 100.0;
    (value * HUNDREDTHS).round() / HUNDREDTHS
}

/// `count` in a second.
pub(crate) fn rate(count: u64, micros: u64) -> f64 {
    const MICROS: f64 = 1e6;
    if micros == 0 { 0.0 } else { round(count as f64 * MICROS / micros as f64) }
}

/// Seconds with two decimals.
pub(crate) fn seconds(micros: u64) -> f64 {
    const MICROS: f64 = 1e6;
    round(micros as f64 / MICROS)
}

/// The wait in milliseconds that so many of a thousand do not exceed; `waits` are microseconds in
/// order.
pub(crate) fn quantile_ms(waits: &[u32], of_thousand: usize) -> Option<f64> {
    const MICROS: f64 = 1000.0;
    const THOUSAND: usize = 1000;
    let rank = (waits.len() * of_thousand).div_ceil(THOUSAND).max(1);
    waits.get(rank - 1).map(|micros| round(f64::from(*micros) / MICROS))
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let figure = |value: Option<f64>| value.map_or("-".to_owned(), |v| v.to_string());
        const MIB: u64 = 1024 * 1024;
        let gas = self.gas_per_settlement.map_or("-".to_owned(), |gas| gas.to_string());
        let rows = [
            ("in a second", self.per_second.to_string()),
            ("median wait, ms", figure(self.p50_ms)),
            ("99 % wait, ms", figure(self.p99_ms)),
            ("processor time each, us", figure(self.cpu_micros_per_request)),
            ("RPC calls each", figure(self.rpc_calls_per_request)),
            ("RPC round trips each", figure(self.rpc_round_trips_per_request)),
            ("gas each", gas),
            (
                "memory, MiB",
                format!("{} (peak {})", self.rss_bytes / MIB, self.peak_rss_bytes / MIB),
            ),
            ("lost", self.lost.to_string()),
            ("accepted", self.accepted.to_string()),
            ("failed", self.failed.to_string()),
            ("asked again", self.pending.to_string()),
            ("transactions", self.transactions.to_string()),
            ("load and chain each, us", figure(self.bench_cpu_micros_per_request)),
        ];
        let Self { work, in_flight, seconds, .. } = self;
        writeln!(f, "{work}, {in_flight} in flight, {seconds} s")?;
        for (name, value) in rows {
            writeln!(f, "  {name:<26}{value:>14}")?;
        }
        if let Some(units) = self.peak_exposure_units {
            writeln!(f, "  {:<26}{:>14}", "until all was settled, s", figure(self.drain_seconds))?;
            writeln!(f, "  {:<26}{units:>14}", "peak exposure, units")?;
        }
        for (reason, times) in &self.failures {
            writeln!(f, "  failed: {reason} ({times})")?;
        }
        if self.used_up {
            writeln!(f, "  the payments were used up before the time was; see --payments")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_are_what_they_are_called() {
        let waits: Vec<u32> = (1..=200).map(|n| n * 1000).collect();
        assert_eq!(quantile_ms(&waits, 500), Some(100.0));
        assert_eq!(quantile_ms(&waits, 990), Some(198.0));
        assert_eq!(quantile_ms(&[1500], 990), Some(1.5));
        assert_eq!(quantile_ms(&[], 500), None);
        assert_eq!(each(10, 4), Some(2.5));
        assert_eq!(each(1, 3), Some(0.33));
        assert_eq!(each(1, 0), None);
        assert_eq!(rate(30, 1_500_000), 20.0);
        assert_eq!(rate(30, 0), 0.0);
    }
}
