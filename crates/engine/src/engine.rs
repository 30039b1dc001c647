//! The engine: chains, their workers, and the life of both.

use std::sync::Arc;

use faregate_chain::Chain;
use faregate_ledger::SettlementStore;
use faregate_protocol::Network;
use faregate_telemetry::Metrics;
use tokio::sync::watch;
use tokio::task::JoinSet;

use crate::clock::Clock;
use crate::desk::{Desk, pass_on_hints};
use crate::{Limits, lane, reconcile};

/// Verifies and settles payments on its chains. Cheap to clone.
#[derive(Clone)]
pub struct Engine {
    pub(crate) desks: Arc<[Arc<Desk>]>,
    pub(crate) store: Arc<dyn SettlementStore>,
}

/// The engine's workers. Dropping it ends them; what they had begun is in the ledger.
pub struct Running {
    stop: watch::Sender<bool>,
    workers: JoinSet<()>,
}

impl Engine {
    /// Starts one lane worker for each signer and one reconciler for each chain. Must be called
    /// within a tokio runtime.
    pub fn start(
        chains: Vec<Arc<dyn Chain>>,
        store: &Arc<dyn SettlementStore>,
        clock: &Arc<dyn Clock>,
        metrics: &Metrics,
        limits: Limits,
    ) -> (Self, Running) {
        let (stop, stopped) = watch::channel(false);
        let mut workers = JoinSet::new();
        let mut desks = Vec::with_capacity(chains.len());
        for chain in chains {
            let (store, clock) = (Arc::clone(store), Arc::clone(clock));
            let hints = store.hints();
            let desk = Arc::new(Desk::new(chain, store, clock, metrics.clone(), limits));
            for signer in desk.chain.signers() {
                workers.spawn(lane::run(Arc::clone(&desk), signer, stopped.clone()));
            }
            workers.spawn(reconcile::run(Arc::clone(&desk), stopped.clone()));
            workers.spawn(pass_on_hints(Arc::clone(&desk), hints, stopped.clone()));
            desks.push(desk);
        }
        (Self { desks: desks.into(), store: Arc::clone(store) }, Running { stop, workers })
    }

    pub(crate) fn desk(&self, network: &Network) -> Option<&Arc<Desk>> {
        self.desks.iter().find(|desk| desk.chain.network() == network)
    }
}

impl Running {
    /// Tells the workers to stop after their present step and waits for them.
    pub async fn stop(mut self) {
        let _ = self.stop.send(true);
        while self.workers.join_next().await.is_some() {}
    }
}
