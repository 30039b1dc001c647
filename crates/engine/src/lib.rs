//! The settlement of a payment, from the verdict to the proof.
//!
//! ```text
//!  verify.rs      would it settle now? (advice)
//!  settle.rs      reserve the key, wait for the outcome
//!  lane.rs        one worker a signer: nonce -> sign -> STORE THE BYTES -> send
//!  tenure.rs      the lease that makes it one, over all processes
//!  reconcile.rs   one worker a chain: looks for proof; the only one who says paid or dead
//!  examine.rs     for operators: the chain beside the ledger
//!  backlog.rs     how many have no outcome yet
//!  wake.rs        tells waiting callers that a payment moved
//!  facilitator.rs the port that doors see
//! ```
//!
//! Architecture invariants: never broadcasts what the ledger has not recorded; never records paid
//! or dead what the chain has not shown; a timeout is never a failure.

mod backlog;
pub mod clock;
mod desk;
mod engine;
pub mod examine;
mod facilitator;
mod lane;
pub mod limits;
mod reconcile;
mod settle;
mod status;
mod tenure;
mod verify;
mod wake;

pub use engine::{Engine, Running};
pub use examine::{Examiner, Shown, Standing};
pub use facilitator::NotReady;
pub use limits::Limits;
