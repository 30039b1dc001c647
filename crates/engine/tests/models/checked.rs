//! Runs a model to the end and keeps what the tests ask: which properties found something.

use std::collections::BTreeSet;
use std::fmt::Debug;
use std::hash::Hash;
use std::time::Instant;

use stateright::{Checker, HasDiscoveries, Model};

/// What an exhaustive search found.
pub(crate) struct Checked {
    /// Different states that were visited.
    pub(crate) states: usize,
    /// `always` properties with a counterexample and `sometimes` properties with an example.
    pub(crate) found: BTreeSet<&'static str>,
}

impl Checked {
    /// Searches all of `model`. Prints the number of states and the shortest way to each find.
    pub(crate) fn all_of<M>(name: &str, model: M) -> Self
    where
        M: Model + Clone + Send + Sync + 'static,
        M::State: Clone + Debug + Hash + PartialEq + Send + Sync + 'static,
        M::Action: Clone + Debug + PartialEq + Send + Sync + 'static,
    {
        Self::search(name, model, HasDiscoveries::All)
    }

    /// Searches until one of the `always` properties is broken. A mutant has many more states
    /// than the design, and one counterexample is enough.
    pub(crate) fn until_broken<M>(name: &str, model: M, property: &'static str) -> Self
    where
        M: Model + Clone + Send + Sync + 'static,
        M::State: Clone + Debug + Hash + PartialEq + Send + Sync + 'static,
        M::Action: Clone + Debug + PartialEq + Send + Sync + 'static,
    {
        Self::search(name, model, HasDiscoveries::AllOf(BTreeSet::from([property])))
    }

    fn search<M>(name: &str, model: M, until: HasDiscoveries) -> Self
    where
        M: Model + Clone + Send + Sync + 'static,
        M::State: Clone + Debug + Hash + PartialEq + Send + Sync + 'static,
        M::Action: Clone + Debug + PartialEq + Send + Sync + 'static,
    {
        let began = Instant::now();
        let checker = model.checker().threads(1).finish_when(until).spawn_bfs().join();
        let states = checker.unique_state_count();
        println!("{name}: {states} states in {:?}", began.elapsed());
        let mut found = BTreeSet::new();
        for (property, path) in checker.discoveries() {
            let actions = path.into_actions();
            println!("  {property} [{} steps]: {actions:?}", actions.len());
            found.insert(property);
        }
        Self { states, found }
    }
}
