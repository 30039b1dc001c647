//! What may be asked of a chain, as a port. Four verbs: *inspect* a payment, *prepare* a
//! transaction, *broadcast* it, *observe* what became of the money.
//!
//! Architecture invariant: names no chain. An adapter (EVM, Solana) implements [`Chain`]; the
//! engine sees nothing else.

pub mod adapter;
pub mod authorization;
pub mod error;
pub mod observation;
pub mod second_layer;
#[cfg(feature = "simulated")]
pub mod simulated;

pub use adapter::{
    BatchRoom, Broadcast, Chain, Fees, Inspection, Intent, LaneState, Prepared, SendTime, Slot,
};
pub use authorization::Authorization;
pub use error::ChainError;
pub use observation::{
    BlockSeen, DeathCause, DeathProof, Evidence, Heights, InBlock, Observation, Outcome, Standing,
    Watch,
};
pub use second_layer::{NoFact, RefusalListener, SecondLayer};
