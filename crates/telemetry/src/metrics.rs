//! Every metric once: its name, its labels and the closed sets its label values come from.
//!
//! Label values never come from a payload: a stranger who may choose a label value can make the
//! registry grow without end. A network or scheme outside the configured set counts as `other`.

mod cache;
mod endpoints;

use std::collections::HashSet;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use std::sync::atomic::AtomicU64;

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::{Family, MetricConstructor};
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::metrics::info::Info;
use prometheus_client::registry::Registry;

use self::cache::Cache;
pub use self::cache::{CacheKind, CacheLayer, CacheMetrics, LookupOutcome, WriteOutcome};
use self::endpoints::Endpoints;
pub use self::endpoints::{EndpointMetrics, EndpointOutcome, HedgeOutcome, SendOutcome};

/// Media type of [`Metrics::render`].
pub const CONTENT_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

// The exposition format appends `_total` to a counter and `_info` to an info metric by itself.
const PAYMENT_ATTEMPTS: &str = "x402_payment_attempts";
const PAYMENT_DURATION: &str = "x402_payment_duration_seconds";
const ACTIVE_PAYMENTS: &str = "x402_active_payments";
const FACILITATOR_REQUESTS: &str = "x402_facilitator_requests";
const GAS_USED: &str = "x402_gas_used";
const GAS_PER_PAYMENT: &str = "faregate_gas_per_payment";
const PAYMENTS_PER_TRANSACTION: &str = "faregate_payments_per_transaction";
const BUILD: &str = "faregate_build";
const SIGNER_BALANCE: &str = "faregate_signer_balance_wei";
const UNRESOLVED_PAYMENTS: &str = "faregate_unresolved_payments";
const EXPOSURE: &str = "faregate_deferred_exposure_units";
const DEFERRED_QUEUE: &str = "faregate_deferred_queue_depth";
const DEFERRED_OLDEST: &str = "faregate_deferred_oldest_age_seconds";
const DEFERRED_ASIDE: &str = "faregate_deferred_quarantined";
const NOT_DEFERRED: &str = "faregate_not_deferred";
const OPEN_DEBTS: &str = "faregate_open_debts";
const OPEN_DEBT_UNITS: &str = "faregate_open_debt_units";

const DURATION_BUCKETS_SECS: [f64; 6] = [0.1, 0.5, 1.0, 2.0, 5.0, 10.0];
const GAS_BUCKETS: [f64; 5] = [50_000.0, 100_000.0, 150_000.0, 200_000.0, 250_000.0];

const PAYMENT_BUCKETS: [f64; 7] = [1.0, 2.0, 5.0, 10.0, 20.0, 50.0, 100.0];

const SCHEMES: [&str; 2] = ["exact", "upto"];
const OTHER: &str = "other";
/// Signers come from the operator's configuration; this bounds a mistake, not an attacker.
const MAX_SIGNERS: usize = 256;
const MILLIS_PER_SEC: u64 = 1000;

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct AttemptLabels {
    network: Arc<str>,
    scheme: &'static str,
    status: &'static str,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct DurationLabels {
    network: Arc<str>,
    scheme: &'static str,
    operation: &'static str,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct NetworkLabels {
    network: Arc<str>,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct RequestLabels {
    operation: &'static str,
    status: &'static str,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct SignerLabels {
    network: Arc<str>,
    signer: Arc<str>,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct AssetLabels {
    network: Arc<str>,
    asset: Arc<str>,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct DebtLabels {
    debtor: &'static str,
    network: Arc<str>,
    asset: Arc<str>,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct WhyLabels {
    why: &'static str,
}

#[derive(Clone, Copy)]
struct Buckets(&'static [f64]);

impl MetricConstructor<Histogram> for Buckets {
    fn new_metric(&self) -> Histogram {
        Histogram::new(self.0.iter().copied())
    }
}

type BalanceGauge = Gauge<f64, AtomicU64>;

struct Inner {
    registry: Registry,
    networks: HashSet<Arc<str>>,
    signers: Mutex<HashSet<Arc<str>>>,
    other: Arc<str>,
    payment_attempts: Family<AttemptLabels, Counter>,
    payment_duration: Family<DurationLabels, Histogram, Buckets>,
    active_payments: Family<NetworkLabels, Gauge>,
    facilitator_requests: Family<RequestLabels, Counter>,
    gas_used: Family<NetworkLabels, Histogram, Buckets>,
    gas_per_payment: Family<NetworkLabels, Histogram, Buckets>,
    payments_per_transaction: Family<NetworkLabels, Histogram, Buckets>,
    signer_balance: Family<SignerLabels, BalanceGauge>,
    unresolved_payments: Gauge,
    endpoints: Endpoints,
    cache: Cache,
    exposure: Family<AssetLabels, Gauge>,
    deferred_queue: Gauge,
    deferred_oldest_secs: Gauge,
    deferred_aside: Gauge,
    not_deferred: Family<WhyLabels, Counter>,
    open_debts: Family<DebtLabels, Gauge>,
    open_debt_units: Family<DebtLabels, Gauge>,
}

/// The registry of one process. Cheap to clone; clones count into the same series.
#[derive(Clone)]
pub struct Metrics {
    inner: Arc<Inner>,
}

impl std::fmt::Debug for Metrics {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Metrics").field("networks", &self.inner.networks).finish_non_exhaustive()
    }
}

impl Metrics {
    /// A registry that knows these networks (CAIP-2 ids) as label values.
    #[must_use]
    pub fn new(networks: impl IntoIterator<Item = String>) -> Self {
        let mut inner = Inner {
            registry: Registry::default(),
            networks: networks.into_iter().map(Arc::from).collect(),
            signers: Mutex::default(),
            other: Arc::from(OTHER),
            payment_attempts: Family::default(),
            payment_duration: Family::new_with_constructor(Buckets(&DURATION_BUCKETS_SECS)),
            active_payments: Family::default(),
            facilitator_requests: Family::default(),
            gas_used: Family::new_with_constructor(Buckets(&GAS_BUCKETS)),
            gas_per_payment: Family::new_with_constructor(Buckets(&GAS_BUCKETS)),
            payments_per_transaction: Family::new_with_constructor(Buckets(&PAYMENT_BUCKETS)),
            signer_balance: Family::default(),
            unresolved_payments: Gauge::default(),
            endpoints: Endpoints::default(),
            cache: Cache::default(),
            exposure: Family::default(),
            deferred_queue: Gauge::default(),
            deferred_oldest_secs: Gauge::default(),
            deferred_aside: Gauge::default(),
            not_deferred: Family::default(),
            open_debts: Family::default(),
            open_debt_units: Family::default(),
        };
        inner.register();
        Self { inner: Arc::new(inner) }
    }

    /// Counts a payment that came to an end. `x402_payment_attempts_total`.
    pub fn payment_attempt(&self, network: &str, scheme: &str, status: &'static str) {
        let labels =
            AttemptLabels { network: self.network(network), scheme: known(scheme), status };
        self.inner.payment_attempts.get_or_create_owned(&labels).inc();
    }

    /// How long `operation` (`verify`, `settle`, ...) took. `x402_payment_duration_seconds`.
    pub fn payment_duration(
        &self,
        network: &str,
        scheme: &str,
        operation: &'static str,
        took: Duration,
    ) {
        let scheme = known(scheme);
        let labels = DurationLabels { network: self.network(network), scheme, operation };
        self.inner.payment_duration.get_or_create_owned(&labels).observe(took.as_secs_f64());
    }

    /// Counts a payment as being worked on until the guard is dropped. `x402_active_payments`.
    #[must_use = "the payment counts as active only while the guard lives"]
    pub fn active_payment(&self, network: &str) -> ActiveGuard {
        let labels = NetworkLabels { network: self.network(network) };
        let gauge = self.inner.active_payments.get_or_create_owned(&labels);
        gauge.inc();
        ActiveGuard { gauge }
    }

    /// Counts a request to or at a facilitator. `x402_facilitator_requests_total`.
    pub fn facilitator_request(&self, operation: &'static str, status: &'static str) {
        let labels = RequestLabels { operation, status };
        self.inner.facilitator_requests.get_or_create_owned(&labels).inc();
    }

    /// Gas that a mined transaction used, in units of gas. `x402_gas_used`.
    pub fn gas_used(&self, network: &str, gas: u64) {
        let labels = NetworkLabels { network: self.network(network) };
        self.inner.gas_used.get_or_create_owned(&labels).observe(gas as f64);
    }

    /// A payment's part of the gas of its transaction. `faregate_gas_per_payment`.
    pub fn gas_per_payment(&self, network: &str, gas: u64) {
        let labels = NetworkLabels { network: self.network(network) };
        self.inner.gas_per_payment.get_or_create_owned(&labels).observe(gas as f64);
    }

    /// Payments that a mined transaction made: how full batches are.
    /// `faregate_payments_per_transaction`.
    pub fn payments_per_transaction(&self, network: &str, payments: u64) {
        let labels = NetworkLabels { network: self.network(network) };
        let histogram = self.inner.payments_per_transaction.get_or_create_owned(&labels);
        histogram.observe(payments as f64);
    }

    /// Balance of a signer of the configuration, in wei (a double is exact enough for a graph and
    /// decides nothing). `faregate_signer_balance_wei`.
    pub fn signer_balance(&self, network: &str, signer: &str, wei: u128) {
        let labels = SignerLabels { network: self.network(network), signer: self.named(signer) };
        self.inner.signer_balance.get_or_create_owned(&labels).set(wei as f64);
    }

    /// Payments sent and not proven either way, now. `faregate_unresolved_payments`.
    pub fn unresolved_payments(&self, count: u64) {
        self.inner.unresolved_payments.set(i64::try_from(count).unwrap_or(i64::MAX));
    }

    /// The series of one JSON-RPC endpoint of the configuration. `endpoint` must hold no secret.
    #[must_use]
    pub fn rpc_endpoint(&self, network: &str, endpoint: &str) -> EndpointMetrics {
        self.inner.endpoints.of(self.network(network), endpoint)
    }

    /// The series of the cache layers; they are shown from the first call on.
    #[must_use]
    pub fn cache(&self) -> CacheMetrics {
        self.inner.cache.series()
    }

    /// What was served and is not proven settled, in atomic units of an asset of the
    /// configuration. `faregate_deferred_exposure_units`.
    pub fn exposure(&self, network: &str, asset: &str, units: i64) {
        let labels = AssetLabels { network: self.network(network), asset: self.named(asset) };
        self.inner.exposure.get_or_create_owned(&labels).set(units);
    }

    /// Deferred settlements that are due, those that wait for an operator, and the age of the
    /// oldest that is due. `faregate_deferred_queue_depth`, `faregate_deferred_quarantined`,
    /// `faregate_deferred_oldest_age_seconds`.
    pub fn deferred_queue(&self, depth: u64, aside: u64, oldest_ms: u64) {
        let stored = |number: u64| i64::try_from(number).unwrap_or(i64::MAX);
        self.inner.deferred_queue.set(stored(depth));
        self.inner.deferred_aside.set(stored(aside));
        self.inner.deferred_oldest_secs.set(stored(oldest_ms / MILLIS_PER_SEC));
    }

    /// Counts a payment on a deferred route that was settled before its answer, and why.
    /// `faregate_not_deferred_total`.
    pub fn not_deferred(&self, why: &'static str) {
        self.inner.not_deferred.get_or_create_owned(&WhyLabels { why }).inc();
    }

    /// All open debts: who owes them (`payee`, `payer`), network and asset, how many, how much in
    /// atomic units. `faregate_open_debts`, `faregate_open_debt_units`.
    pub fn open_debts<'a>(
        &self,
        debts: impl Iterator<Item = ((&'static str, &'a str, &'a str), u64, i64)>,
    ) {
        // What is not named any more is not owed any more.
        self.inner.open_debts.clear();
        self.inner.open_debt_units.clear();
        for ((debtor, network, asset), count, units) in debts {
            let (network, asset) = (self.network(network), self.named(asset));
            let labels = DebtLabels { debtor, network, asset };
            let count = i64::try_from(count).unwrap_or(i64::MAX);
            self.inner.open_debts.get_or_create_owned(&labels).inc_by(count);
            self.inner.open_debt_units.get_or_create_owned(&labels).inc_by(units);
        }
    }

    /// The OpenMetrics text of all series; serve it as [`CONTENT_TYPE`].
    #[must_use]
    pub fn render(&self) -> String {
        let mut text = String::new();
        // Writing into a String cannot fail.
        let _ = encode(&mut text, &self.inner.registry);
        text
    }

    fn network(&self, name: &str) -> Arc<str> {
        self.inner.networks.get(name).unwrap_or(&self.inner.other).clone()
    }

    /// Signers and assets, as far as there is room.
    fn named(&self, address: &str) -> Arc<str> {
        let mut seen = self.inner.signers.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = seen.get(address) {
            return known.clone();
        }
        if seen.len() >= MAX_SIGNERS {
            return self.inner.other.clone();
        }
        let new: Arc<str> = Arc::from(address);
        seen.insert(new.clone());
        new
    }
}

impl Inner {
    fn register(&mut self) {
        let registry = &mut self.registry;
        self.endpoints.register(registry);
        self.cache.register(registry);
        registry.register(
            PAYMENT_ATTEMPTS,
            "Total number of payment attempts",
            self.payment_attempts.clone(),
        );
        registry.register(
            PAYMENT_DURATION,
            "Duration of payment verification and settlement",
            self.payment_duration.clone(),
        );
        registry.register(
            ACTIVE_PAYMENTS,
            "Number of payments currently being processed",
            self.active_payments.clone(),
        );
        registry.register(
            FACILITATOR_REQUESTS,
            "Total facilitator requests",
            self.facilitator_requests.clone(),
        );
        registry.register(GAS_USED, "Gas used for settlement transactions", self.gas_used.clone());
        registry.register(
            GAS_PER_PAYMENT,
            "A payment's part of the gas of its transaction",
            self.gas_per_payment.clone(),
        );
        registry.register(
            PAYMENTS_PER_TRANSACTION,
            "Payments that a settlement transaction made",
            self.payments_per_transaction.clone(),
        );
        registry.register(BUILD, "What runs", Info::new([("version", env!("CARGO_PKG_VERSION"))]));
        registry.register(
            SIGNER_BALANCE,
            "Balance of a settling signer in wei",
            self.signer_balance.clone(),
        );
        registry.register(
            UNRESOLVED_PAYMENTS,
            "Payments that were sent and are not proven either way",
            self.unresolved_payments.clone(),
        );
        self.register_deferred();
    }

    fn register_deferred(&mut self) {
        let registry = &mut self.registry;
        registry.register(
            EXPOSURE,
            "Served and not proven settled, in atomic units",
            self.exposure.clone(),
        );
        registry.register(
            DEFERRED_QUEUE,
            "Deferred settlements that are due",
            self.deferred_queue.clone(),
        );
        registry.register(
            DEFERRED_OLDEST,
            "Age of the oldest deferred settlement that is due, in seconds",
            self.deferred_oldest_secs.clone(),
        );
        registry.register(
            DEFERRED_ASIDE,
            "Deferred settlements that wait for an operator",
            self.deferred_aside.clone(),
        );
        registry.register(
            NOT_DEFERRED,
            "Payments on deferred routes that were settled before their answer",
            self.not_deferred.clone(),
        );
        registry.register(OPEN_DEBTS, "Debts that are open", self.open_debts.clone());
        registry.register(
            OPEN_DEBT_UNITS,
            "Debts that are open, in atomic units",
            self.open_debt_units.clone(),
        );
    }
}

fn known(scheme: &str) -> &'static str {
    SCHEMES.iter().find(|known| **known == scheme).copied().unwrap_or(OTHER)
}

/// While it lives, one payment counts as active.
#[derive(Debug)]
pub struct ActiveGuard {
    gauge: Gauge,
}

impl Drop for ActiveGuard {
    fn drop(&mut self) {
        self.gauge.dec();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BASE: &str = "eip155:84532";

    fn metrics() -> Metrics {
        Metrics::new([BASE.to_owned()])
    }

    #[track_caller]
    fn assert_scraped(metrics: &Metrics, line: &str) {
        let text = metrics.render();
        assert!(text.lines().any(|found| found == line), "no line {line:?} in\n{text}");
    }

    #[test]
    fn the_scraped_names_and_labels_are_those_of_the_dashboards() {
        let metrics = metrics();
        metrics.payment_attempt(BASE, "exact", "settled");
        metrics.payment_duration(BASE, "upto", "verify", Duration::from_millis(400));
        metrics.facilitator_request("verify", "valid");
        metrics.gas_used(BASE, 86_000);
        metrics.signer_balance(BASE, "0xabc", 1_000_000_000_000_000_000);
        metrics.unresolved_payments(2);
        let endpoint = metrics.rpc_endpoint(BASE, "1 example.com");
        endpoint.calls(3);
        endpoint.request(EndpointOutcome::Limited);
        endpoint.hedge(HedgeOutcome::Won);
        endpoint.sent(SendOutcome::Refused);
        endpoint.breaker(2);
        endpoint.score(125);
        endpoint.lag_blocks(9);
        let cache = metrics.cache();
        cache.lookup(CacheLayer::Redis, CacheKind::Token, LookupOutcome::Hit);
        cache.lookup(CacheLayer::Memory, CacheKind::Refusal, LookupOutcome::Miss);
        cache.write(CacheKind::Refusal, WriteOutcome::Dropped);
        cache.up(true);
        metrics.exposure(BASE, "0xusd", 10_000);
        metrics.deferred_queue(3, 1, 2_500);
        metrics.not_deferred("payer_limit");
        metrics.open_debts([(("payee", BASE, "0xusd"), 1, 1)].into_iter());
        metrics.open_debts([(("payer", BASE, "0xusd"), 2, 700)].into_iter());
        let guard = metrics.active_payment(BASE);
        for line in [
            r#"x402_payment_attempts_total{network="eip155:84532",scheme="exact",status="settled"} 1"#,
            r#"x402_payment_duration_seconds_count{network="eip155:84532",scheme="upto",operation="verify"} 1"#,
            r#"x402_payment_duration_seconds_bucket{le="0.1",network="eip155:84532",scheme="upto",operation="verify"} 0"#,
            r#"x402_payment_duration_seconds_bucket{le="0.5",network="eip155:84532",scheme="upto",operation="verify"} 1"#,
            r#"x402_payment_duration_seconds_bucket{le="10.0",network="eip155:84532",scheme="upto",operation="verify"} 1"#,
            r#"x402_active_payments{network="eip155:84532"} 1"#,
            r#"x402_facilitator_requests_total{operation="verify",status="valid"} 1"#,
            r#"x402_gas_used_bucket{le="50000.0",network="eip155:84532"} 0"#,
            r#"x402_gas_used_bucket{le="250000.0",network="eip155:84532"} 1"#,
            r#"faregate_signer_balance_wei{network="eip155:84532",signer="0xabc"} 1000000000000000000.0"#,
            "faregate_unresolved_payments 2",
            r#"faregate_rpc_calls_total{network="eip155:84532",endpoint="1 example.com"} 3"#,
            r#"faregate_rpc_requests_total{network="eip155:84532",endpoint="1 example.com",outcome="limited"} 1"#,
            r#"faregate_rpc_hedges_total{network="eip155:84532",endpoint="1 example.com",outcome="won"} 1"#,
            r#"faregate_rpc_sends_total{network="eip155:84532",endpoint="1 example.com",outcome="refused"} 1"#,
            r#"faregate_rpc_breaker{network="eip155:84532",endpoint="1 example.com"} 2"#,
            r#"faregate_rpc_score_per_mille{network="eip155:84532",endpoint="1 example.com"} 125"#,
            r#"faregate_rpc_lag_blocks{network="eip155:84532",endpoint="1 example.com"} 9"#,
            r#"faregate_cache_lookups_total{layer="redis",kind="token",outcome="hit"} 1"#,
            r#"faregate_cache_lookups_total{layer="memory",kind="refusal",outcome="miss"} 1"#,
            r#"faregate_cache_writes_total{kind="refusal",outcome="dropped"} 1"#,
            r#"faregate_cache_up{layer="redis"} 1"#,
            r#"faregate_deferred_exposure_units{network="eip155:84532",asset="0xusd"} 10000"#,
            "faregate_deferred_queue_depth 3",
            "faregate_deferred_quarantined 1",
            "faregate_deferred_oldest_age_seconds 2",
            r#"faregate_not_deferred_total{why="payer_limit"} 1"#,
            r#"faregate_open_debts{debtor="payer",network="eip155:84532",asset="0xusd"} 2"#,
            r#"faregate_open_debt_units{debtor="payer",network="eip155:84532",asset="0xusd"} 700"#,
            concat!(r#"faregate_build_info{version=""#, env!("CARGO_PKG_VERSION"), r#""} 1"#),
        ] {
            assert_scraped(&metrics, line);
        }
        drop(guard);
        assert_scraped(&metrics, r#"x402_active_payments{network="eip155:84532"} 0"#);
        assert!(!metrics.render().contains("payee"), "what is paid back is not owed");
        assert!(metrics.render().ends_with("# EOF\n"));
    }

    #[test]
    fn strangers_cannot_make_series() {
        let metrics = metrics();
        let series = |metrics: &Metrics| metrics.render().lines().count();
        let touch = |network: &str| {
            metrics.payment_attempt(network, network, "refused");
            metrics.payment_duration(network, network, "verify", Duration::ZERO);
            metrics.gas_used(network, 1);
            drop(metrics.active_payment(network));
        };
        touch("first stranger");
        let before = series(&metrics);
        for i in 0..10_000 {
            touch(&format!("eip155:{i}\n\""));
        }
        assert_eq!(series(&metrics), before);
        let line =
            r#"x402_payment_attempts_total{network="other",scheme="other",status="refused"} 10001"#;
        assert_scraped(&metrics, line);
    }

    #[test]
    fn the_number_of_signers_is_bounded() {
        let metrics = metrics();
        for i in 0..MAX_SIGNERS + 50 {
            metrics.signer_balance(BASE, &format!("0x{i}"), 1);
        }
        let lines = metrics.render();
        let found = lines.lines().filter(|line| line.starts_with(SIGNER_BALANCE)).count();
        assert_eq!(found, MAX_SIGNERS + 1);
    }
}
