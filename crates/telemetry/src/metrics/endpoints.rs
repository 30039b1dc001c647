//! What each JSON-RPC endpoint of a chain does. An endpoint is named by its place in the
//! configuration and the end of its host's name: never by a URL, which may hold a key.

use std::sync::Arc;

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;

const CALLS: &str = "faregate_rpc_calls";
const REQUESTS: &str = "faregate_rpc_requests";
const HEDGES: &str = "faregate_rpc_hedges";
const SENDS: &str = "faregate_rpc_sends";
const BREAKER: &str = "faregate_rpc_breaker";
const SCORE: &str = "faregate_rpc_score_per_mille";
const LAG: &str = "faregate_rpc_lag_blocks";

/// What became of an HTTP request to an endpoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EndpointOutcome {
    /// It was answered.
    Answered,
    /// The endpoint refused it, or answered nonsense.
    Refused,
    /// The endpoint said that it is asked too much.
    Limited,
    /// It could not be reached, broke off, or did not answer in time.
    Failed,
    /// Another endpoint answered first though it was asked later.
    Overtaken,
    /// It was not sent, to keep to a limit of the configuration or of the endpoint.
    Held,
}

/// How a race between two endpoints ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HedgeOutcome {
    /// The second question to this endpoint was answered first.
    Won,
    /// The second question to this endpoint was needless.
    Lost,
}

/// What an endpoint said to signed bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SendOutcome {
    /// It took them.
    Accepted,
    /// It had them.
    Known,
    /// It refused them.
    Refused,
    /// It gave no answer.
    Unanswered,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct EndpointLabels {
    network: Arc<str>,
    endpoint: Arc<str>,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct OutcomeLabels {
    network: Arc<str>,
    endpoint: Arc<str>,
    outcome: &'static str,
}

/// The families.
#[derive(Default)]
pub(super) struct Endpoints {
    calls: Family<EndpointLabels, Counter>,
    requests: Family<OutcomeLabels, Counter>,
    hedges: Family<OutcomeLabels, Counter>,
    sends: Family<OutcomeLabels, Counter>,
    breaker: Family<EndpointLabels, Gauge>,
    score: Family<EndpointLabels, Gauge>,
    lag: Family<EndpointLabels, Gauge>,
}

impl Endpoints {
    pub(super) fn register(&self, registry: &mut Registry) {
        registry.register(CALLS, "JSON-RPC calls sent to an endpoint", self.calls.clone());
        registry.register(
            REQUESTS,
            "HTTP requests to an endpoint by outcome",
            self.requests.clone(),
        );
        registry.register(
            HEDGES,
            "Second questions to an endpoint while another took long",
            self.hedges.clone(),
        );
        registry.register(SENDS, "Signed bytes sent to an endpoint", self.sends.clone());
        registry.register(
            BREAKER,
            "0: the endpoint is asked, 1: it is tried, 2: it is shut out",
            self.breaker.clone(),
        );
        registry.register(
            SCORE,
            "Share of the last requests that the endpoint answered, per mille",
            self.score.clone(),
        );
        registry.register(
            LAG,
            "Blocks that the endpoint was behind the others when last compared",
            self.lag.clone(),
        );
    }

    pub(super) fn of(&self, network: Arc<str>, endpoint: &str) -> EndpointMetrics {
        let endpoint: Arc<str> = Arc::from(endpoint);
        let labels = EndpointLabels { network: network.clone(), endpoint: endpoint.clone() };
        let one = |family: &Family<OutcomeLabels, Counter>, outcome| {
            family.get_or_create_owned(&OutcomeLabels {
                network: network.clone(),
                endpoint: endpoint.clone(),
                outcome,
            })
        };
        let requests = ["answered", "refused", "limited", "failed", "overtaken", "held"];
        let score = self.score.get_or_create_owned(&labels);
        score.set(1000);
        EndpointMetrics {
            calls: self.calls.get_or_create_owned(&labels),
            requests: requests.map(|outcome| one(&self.requests, outcome)),
            hedges: ["won", "lost"].map(|outcome| one(&self.hedges, outcome)),
            sends: ["accepted", "known", "refused", "unanswered"]
                .map(|outcome| one(&self.sends, outcome)),
            breaker: self.breaker.get_or_create_owned(&labels),
            score,
            lag: self.lag.get_or_create_owned(&labels),
        }
    }
}

/// The series of one endpoint.
#[derive(Clone, Debug)]
pub struct EndpointMetrics {
    calls: Counter,
    requests: [Counter; 6],
    hedges: [Counter; 2],
    sends: [Counter; 4],
    breaker: Gauge,
    score: Gauge,
    lag: Gauge,
}

impl EndpointMetrics {
    /// Counts JSON-RPC calls that were sent. `faregate_rpc_calls_total`.
    pub fn calls(&self, count: u64) {
        self.calls.inc_by(count);
    }

    /// Counts an HTTP request. `faregate_rpc_requests_total`.
    pub fn request(&self, outcome: EndpointOutcome) {
        let place = match outcome {
            EndpointOutcome::Answered => 0,
            EndpointOutcome::Refused => 1,
            EndpointOutcome::Limited => 2,
            EndpointOutcome::Failed => 3,
            EndpointOutcome::Overtaken => 4,
            EndpointOutcome::Held => 5,
        };
        inc(&self.requests, place);
    }

    /// Counts the end of a race. `faregate_rpc_hedges_total`.
    pub fn hedge(&self, outcome: HedgeOutcome) {
        inc(&self.hedges, usize::from(outcome == HedgeOutcome::Lost));
    }

    /// Counts signed bytes. `faregate_rpc_sends_total`.
    pub fn sent(&self, outcome: SendOutcome) {
        let place = match outcome {
            SendOutcome::Accepted => 0,
            SendOutcome::Known => 1,
            SendOutcome::Refused => 2,
            SendOutcome::Unanswered => 3,
        };
        inc(&self.sends, place);
    }

    /// 0: it is asked, 1: it is tried, 2: it is shut out. `faregate_rpc_breaker`.
    pub fn breaker(&self, standing: i64) {
        self.breaker.set(standing);
    }

    /// Share of the last requests that it answered. `faregate_rpc_score_per_mille`.
    pub fn score(&self, per_mille: u32) {
        self.score.set(i64::from(per_mille));
    }

    /// Blocks that it is behind the others. `faregate_rpc_lag_blocks`.
    pub fn lag_blocks(&self, blocks: u64) {
        self.lag.set(i64::try_from(blocks).unwrap_or(i64::MAX));
    }
}

fn inc(counters: &[Counter], place: usize) {
    if let Some(counter) = counters.get(place) {
        counter.inc();
    }
}
