//! How long answered verifications and settlements took: from the decoded message to the answer.
//! Waiting for a slow client's body is no part of it.

use std::time::Instant;

use faregate_telemetry::Metrics;

use crate::message::Message;

/// A running measurement.
pub(crate) struct Stopwatch {
    began: Instant,
    network: String,
    scheme: String,
}

impl Stopwatch {
    /// Starts; a message without a network or scheme of ours counts as `other`.
    pub(crate) fn start(message: &Message) -> Self {
        let (network, scheme) = match message {
            Message::Payment { request, .. } => {
                let requirements = &request.payment_requirements;
                (requirements.network.to_string(), requirements.scheme.clone())
            }
            Message::UnknownNetwork { .. } | Message::OtherVersion { .. } => Default::default(),
        };
        Self { began: Instant::now(), network, scheme }
    }

    /// Records an answer to `operation`.
    pub(crate) fn stop(self, metrics: &Metrics, operation: &'static str) {
        metrics.payment_duration(&self.network, &self.scheme, operation, self.began.elapsed());
    }
}
