//! What the cache layers serve and what they cost. The series exist only where a second layer is
//! configured.

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;

const LOOKUPS: &str = "faregate_cache_lookups";
const WRITES: &str = "faregate_cache_writes";
const UP: &str = "faregate_cache_up";

const LAYERS: [&str; 2] = ["memory", "redis"];
const KINDS: [&str; 2] = ["token", "refusal"];
const LOOKUP_OUTCOMES: [&str; 4] = ["hit", "miss", "unusable", "error"];
const WRITE_OUTCOMES: [&str; 3] = ["kept", "error", "dropped"];

/// Which layer was asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CacheLayer {
    /// This process's own memory.
    Memory,
    /// What processes share.
    Redis,
}

/// What was asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CacheKind {
    /// What a token says of itself.
    Token,
    /// A payment that is refused for good.
    Refusal,
}

/// What a layer answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LookupOutcome {
    /// It had it.
    Hit,
    /// It did not have it.
    Miss,
    /// It had something that is not believed, or cannot be read.
    Unusable,
    /// It gave no answer in time, or none at all.
    Error,
}

/// What became of something that was to be kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WriteOutcome {
    /// It is kept.
    Kept,
    /// The layer refused it or gave no answer.
    Error,
    /// It was not sent: the layer is lost, or too much waits.
    Dropped,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct LookupLabels {
    layer: &'static str,
    kind: &'static str,
    outcome: &'static str,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct WriteLabels {
    kind: &'static str,
    outcome: &'static str,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct UpLabels {
    layer: &'static str,
}

/// The families.
#[derive(Default)]
pub(super) struct Cache {
    lookups: Family<LookupLabels, Counter>,
    writes: Family<WriteLabels, Counter>,
    up: Family<UpLabels, Gauge>,
}

impl Cache {
    pub(super) fn register(&self, registry: &mut Registry) {
        registry.register(LOOKUPS, "Questions to a cache layer", self.lookups.clone());
        registry.register(WRITES, "What was to be kept in the second layer", self.writes.clone());
        registry.register(UP, "1: the second layer answers, 0: it is lost", self.up.clone());
    }

    pub(super) fn series(&self) -> CacheMetrics {
        let lookup = |layer, kind| {
            LOOKUP_OUTCOMES.map(|outcome| {
                self.lookups.get_or_create_owned(&LookupLabels { layer, kind, outcome })
            })
        };
        let write = |kind| {
            WRITE_OUTCOMES
                .map(|outcome| self.writes.get_or_create_owned(&WriteLabels { kind, outcome }))
        };
        CacheMetrics {
            lookups: LAYERS.map(|layer| KINDS.map(|kind| lookup(layer, kind))),
            writes: KINDS.map(write),
            up: self
                .up
                .get_or_create_owned(&UpLabels { layer: LAYERS[CacheLayer::Redis as usize] }),
        }
    }
}

/// The series of the cache layers.
#[derive(Clone, Debug)]
pub struct CacheMetrics {
    lookups: [[[Counter; 4]; 2]; 2],
    writes: [[Counter; 3]; 2],
    up: Gauge,
}

impl CacheMetrics {
    /// Counts a question to a layer. `faregate_cache_lookups_total`.
    pub fn lookup(&self, layer: CacheLayer, kind: CacheKind, outcome: LookupOutcome) {
        self.lookups[layer as usize][kind as usize][outcome as usize].inc();
    }

    /// Counts something that was to be kept. `faregate_cache_writes_total`.
    pub fn write(&self, kind: CacheKind, outcome: WriteOutcome) {
        self.writes[kind as usize][outcome as usize].inc();
    }

    /// Whether the second layer answers. `faregate_cache_up`.
    pub fn up(&self, up: bool) {
        self.up.set(i64::from(up));
    }
}
