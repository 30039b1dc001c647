//! What is said in x402: the messages, the one header codec, amounts, networks, assets, reason
//! codes, the payment key, and the port to a facilitator.
//!
//! ```text
//!  buyer                         seller (gate)                     facilitator
//!    | GET                         |                                 |
//!    |---------------------------->| challenge.rs                    |
//!    |<-- 402 PAYMENT-REQUIRED ----|                                 |
//!    | payload.rs                  |                                 |
//!    |-- PAYMENT-SIGNATURE ------->| header.rs -> matching.rs        |
//!    |                             |-- facilitator.rs: verify ------>| verdict.rs
//!    |                             |-- facilitator.rs: settle ------>| receipt.rs
//!    |<-- PAYMENT-RESPONSE --------|                                 |
//! ```
//!
//! Architecture invariant: no async runtime, no I/O, and of alloy only `alloy-primitives`.

pub mod address;
pub mod amount;
pub mod assets;
pub mod canonical;
pub mod challenge;
pub mod eip3009;
pub mod facilitator;
pub mod header;
pub mod json;
pub mod matching;
pub mod network;
pub mod payload;
pub mod payment_key;
pub mod price;
pub mod reason;
pub mod receipt;
pub mod settlement_status;
pub mod supported;
pub mod v1;
pub mod verdict;

pub use amount::Amount;
pub use challenge::{PaymentRequired, PaymentRequirements, ResourceInfo};
pub use facilitator::{Facilitator, FacilitatorError, PaymentRequest, SettleTerms};
pub use network::Network;
pub use payload::PaymentPayload;
pub use payment_key::PaymentKey;
pub use reason::Reason;
pub use receipt::SettleResponse;
pub use supported::{SupportedKind, SupportedResponse};
pub use verdict::VerifyResponse;

/// The protocol version this crate speaks on the wire.
pub const X402_VERSION: u32 = 2;
