//! A process: one engine over its own view of ledger and chain. It can die and start again.

use std::sync::{Arc, Mutex, PoisonError};

use faregate_chain::Chain;
use faregate_chain::simulated::SimulatedChain;
use faregate_engine::clock::Clock;
use faregate_engine::{Engine, Limits, Running};
use faregate_ledger::{MemoryLedger, SettlementStore};
use faregate_telemetry::Metrics;
use tokio::sync::futures::Notified;
use tokio::sync::{Notify, broadcast};

use crate::audit::Audit;
use crate::chain::ProcessChain;
use crate::clock::SimulatedClock;
use crate::control::Control;
use crate::payments::NETWORK;
use crate::rng::Dice;
use crate::sabotage::Sabotage;
use crate::store::ProcessStore;

/// What all processes of a run share.
#[derive(Clone)]
pub(crate) struct Ground {
    pub(crate) chain: Arc<SimulatedChain>,
    pub(crate) ledger: MemoryLedger,
    pub(crate) audit: Audit,
    pub(crate) clock: SimulatedClock,
    pub(crate) dice: Dice,
    pub(crate) sabotage: Sabotage,
    pub(crate) limits: Limits,
}

pub(crate) struct Process {
    pub(crate) control: Arc<Control>,
    /// It hears no hints of the ledger.
    deaf: bool,
    alive: Mutex<Option<Alive>>,
}

struct Alive {
    engine: Engine,
    running: Running,
    death: Arc<Death>,
}

/// Tells callers that the process they ask is no more, in the order in which they came.
#[derive(Default)]
pub(crate) struct Death(Notify);

impl Death {
    pub(crate) fn comes(&self) -> Notified<'_> {
        self.0.notified()
    }
}

impl Process {
    pub(crate) fn new(name: u64, ground: &Ground) -> Self {
        let control = Arc::new(Control::new(name, ground.dice.clone()));
        Self { control, deaf: ground.dice.chance(300), alive: Mutex::new(None) }
    }

    fn alive(&self) -> std::sync::MutexGuard<'_, Option<Alive>> {
        self.alive.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn is_alive(&self) -> bool {
        self.alive().is_some()
    }

    pub(crate) fn engine(&self) -> Option<(Engine, Arc<Death>)> {
        self.alive().as_ref().map(|alive| (alive.engine.clone(), Arc::clone(&alive.death)))
    }

    pub(crate) fn start(&self, ground: &Ground) {
        let (control, audit) = (Arc::clone(&self.control), ground.audit.clone());
        let store: Arc<dyn SettlementStore> = Arc::new(ProcessStore {
            ledger: ground.ledger.clone(),
            control: Arc::clone(&control),
            audit: audit.clone(),
            sabotage: ground.sabotage,
            deaf: self.deaf.then(|| broadcast::channel(1).0),
        });
        let chain: Arc<dyn Chain> = Arc::new(ProcessChain {
            chain: Arc::clone(&ground.chain),
            control,
            audit,
            clock: ground.clock,
            dice: ground.dice.clone(),
            sabotage: ground.sabotage,
        });
        let clock: Arc<dyn Clock> = Arc::new(ground.clock);
        let metrics = Metrics::new([NETWORK.to_owned()]);
        let (engine, running) = Engine::start(vec![chain], &store, &clock, &metrics, ground.limits);
        *self.alive() = Some(Alive { engine, running, death: Arc::default() });
    }

    /// Dies wherever it is; nothing is given up.
    pub(crate) fn kill(&self) {
        if let Some(alive) = self.alive().take() {
            alive.death.0.notify_waiters();
        }
    }

    /// Ends in good order.
    pub(crate) async fn stop(&self) {
        let alive = self.alive().take();
        if let Some(Alive { running, .. }) = alive {
            running.stop().await;
        }
    }
}
