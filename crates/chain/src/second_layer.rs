//! What processes may tell each other about a chain, as a port, so that a question is asked once
//! for all of them.
//!
//! It saves questions and decides nothing: whoever reads from it checks every byte, believes only
//! what may be wrong without harm, and goes on without it at any time. A good verdict never passes
//! through here.

use std::fmt;
use std::sync::Weak;
use std::time::Duration;

use async_trait::async_trait;

/// Why a question to the layer has no answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NoFact {
    /// Something stands there that is no fact: another type, or too large.
    Unusable,
    /// The layer is lost, or did not answer within its budget.
    NoAnswer,
}

/// A layer that several processes share.
#[async_trait]
pub trait SecondLayer: fmt::Debug + Send + Sync {
    /// What a process kept under `name`, if it is there. Takes no longer than the layer's own small
    /// budget, and no time at all while the layer is lost.
    ///
    /// # Errors
    /// [`NoFact`].
    async fn fact(&self, name: &str) -> Result<Option<Vec<u8>>, NoFact>;

    /// Keeps a fact for so long, replacing whatever stands there. Returns at once.
    fn keep_fact(&self, name: &str, value: Vec<u8>, keep_for: Duration);

    /// Tells the other processes that a payment on `chain` is refused for good. Returns at once.
    fn tell_refusal(&self, chain: &str, entry: Vec<u8>);

    /// From now on `listener` hears what is told about `chain`, and what was told lately, until it
    /// is dropped. It may hear the same more than once, and its own words too.
    fn follow_refusals(&self, chain: &str, listener: Weak<dyn RefusalListener>);
}

/// Hears of refusals.
pub trait RefusalListener: Send + Sync {
    /// What somebody told. Nothing in it is believed before it was checked.
    fn told(&self, entry: &[u8]);
}
