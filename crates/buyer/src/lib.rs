//! The payer. It asks for a resource, and when the answer is 402 it chooses, pays at most once,
//! and does not let go until it knows what came of the payment.
//!
//! ```text
//!  request.rs    method, URL, body: the logical request, and its id
//!  lock.rs       one run at a time for one logical request, over all processes
//!  journal.rs    is there a payment whose end is unknown?  yes: the same header again
//!  exchange.rs   ask without paying (same-origin redirects of GET only)
//!  challenge.rs  402: what is asked for
//!  choose.rs     which option, within spend.rs's limit; known assets only
//!  sign.rs       one authorization, built from checked values
//!  journal.rs    the signed header is on disk before it is sent
//!  present.rs    send it, the same one again while the outcome is unknown
//!  verdict.rs    what an answer to a payment means
//!  version.rs    1 or 2: how the seller asks and is paid
//!  outcome.rs    what to tell the caller
//! ```
//!
//! Architecture invariant: one logical request never has two live authorizations.

pub mod challenge;
pub mod choose;
pub mod config;
pub mod error;
pub mod journal;
pub mod outcome;
pub mod pay;
pub mod request;
pub mod spend;
pub mod version;

mod exchange;
mod lock;
mod present;
mod sign;
mod verdict;

pub use config::{AllowedAsset, BuyerConfig, Limits};
pub use error::BuyerError;
pub use outcome::{Outcome, PaymentReport};
pub use pay::{Buyer, Quote, Quoted};
pub use request::BuyerRequest;
pub use spend::MaxPrice;
pub use version::Version;
