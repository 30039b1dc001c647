//! The settlement of a payment, from the verdict to the proof.
//!
//! ```text
//!  verify.rs      would it settle now? (advice)
//!  settle.rs      reserve the key, hand it to a lane, wait for the outcome
//!  lane.rs        one worker a signer: nonce -> sign -> STORE THE BYTES -> send
//!  reconcile.rs   one worker a chain: looks for proof; the only one who says paid or dead
//!  wake.rs        tells waiting callers that a payment moved
//!  facilitator.rs the port that doors see
//! ```
//!
//! Architecture invariants: never broadcasts what the ledger has not recorded; never records paid
//! or dead what the chain has not shown; a timeout is never a failure.

pub mod clock;
mod desk;
mod engine;
mod facilitator;
mod lane;
pub mod limits;
mod reconcile;
mod settle;
mod verify;
mod wake;

pub use engine::{Engine, Running};
pub use limits::Limits;
