//! What an operator sees: metrics, logs, request ids, readiness; and what nobody sees: secrets.
//!
//! Architecture invariant: the only crate that names the metrics and log exporters, and the only
//! place where a metric's name is written. Everything is a value that its owner passes on; there
//! is no global but the log subscriber, and the crash point of a build that was made for tests.

pub mod crash_point;
pub mod logs;
pub mod metrics;
pub mod ops;
pub mod readiness;
pub mod redact;
pub mod request_id;

pub use logs::{LogConfig, LogFormat};
pub use metrics::{
    ActiveGuard, CacheKind, CacheLayer, CacheMetrics, EndpointMetrics, EndpointOutcome,
    HedgeOutcome, LookupOutcome, Metrics, SendOutcome, WriteOutcome,
};
pub use readiness::{Checks, Readiness};
pub use redact::Redacted;
pub use request_id::RequestId;
