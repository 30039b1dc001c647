//! The gate as a tower layer.

use std::sync::Arc;

use tower::Layer;

use crate::gate::Gate;
use crate::service::GateService;

/// Puts a gate before a service. It has to be the outermost layer that sees the path: a router that
/// rewrites or strips paths before it would make the gate judge other bytes than the client sent.
#[derive(Clone, Debug)]
pub struct GateLayer {
    gate: Arc<Gate>,
}

impl GateLayer {
    /// A layer of this gate.
    #[must_use]
    pub const fn new(gate: Arc<Gate>) -> Self {
        Self { gate }
    }
}

impl<S> Layer<S> for GateLayer {
    type Service = GateService<S>;

    fn layer(&self, inner: S) -> GateService<S> {
        GateService::new(inner, Arc::clone(&self.gate))
    }
}
