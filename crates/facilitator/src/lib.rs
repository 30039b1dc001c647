//! The door for sellers' servers: the facilitator's HTTP API over whatever implements
//! [`faregate_protocol::Facilitator`]. No rule about money lives here.
//!
//! ```text
//!  serve.rs      connections: header timeout, header size, number, drain
//!  router.rs     request id -> panic net -> route
//!  body.rs       bytes, at most so many, in so much time
//!  message.rs    strict JSON -> PaymentRequest, or what is wrong with it; v1 becomes v2
//!  version.rs    answers in the names of the caller's protocol version
//!  terms.rs      our own headers -> SettleTerms
//!  verify.rs     a verdict within its time; dropped with its client
//!  settle.rs     a settlement that outlives its client; no answer is "pending", never "failed"
//!  settlement.rs what became of one, for those who lost the answer
//!  supported.rs  what can be settled
//!  measure.rs    how long answers took
//!  openapi.rs    the description of all this
//!  answer.rs     every answer that is not the protocol's
//! ```

pub mod answer;
pub mod body;
pub mod callers;
pub mod limits;
pub mod message;
pub mod openapi;
pub mod router;
pub mod serve;
pub mod settle;
pub mod settlement;
pub mod supported;
pub mod terms;
pub mod verify;
pub mod version;

mod measure;
mod own_wakes;

pub use callers::{Caller, Callers};
pub use limits::Limits;
pub use router::{FacilitatorState, router};
pub use serve::{ServeLimits, serve};
