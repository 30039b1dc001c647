//! One run of one seed, in a runtime of its own whose time stands still until all wait.

use std::collections::BTreeMap;

use crate::audit::Violation;
use crate::sabotage::Sabotage;
use crate::world::World;
use crate::{checks, events};

/// Steps of the stormy part of a run.
const STEPS: (u64, u64) = (20, 45);

/// What a run showed.
pub(crate) struct Outcome {
    pub(crate) violations: Vec<Violation>,
    /// Hash and number of its events.
    pub(crate) trace: u64,
    pub(crate) notes: u64,
    /// How often what happened.
    pub(crate) counts: BTreeMap<&'static str, u64>,
    /// Its last events, a line each.
    pub(crate) story: String,
}

/// The same seed runs the same way, event by event.
pub(crate) fn run(seed: u64, sabotage: Sabotage) -> Outcome {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .build()
        .unwrap();
    runtime.block_on(async {
        let mut world = World::new(seed, sabotage);
        let steps = world.dice.between(STEPS.0, STEPS.1);
        for _ in 0..steps {
            events::one(&mut world).await;
            checks::after_step(&mut world).await;
            if !world.audit.violations().is_empty() {
                break;
            }
        }
        if world.audit.violations().is_empty() {
            events::calm(&mut world).await;
            checks::at_the_end(&mut world).await;
        }
        let (trace, notes) = world.audit.trace();
        world.end().await;
        Outcome {
            violations: world.audit.violations(),
            trace,
            notes,
            counts: world.audit.counts(),
            story: world.audit.story(),
        }
    })
}
