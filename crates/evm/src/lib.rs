//! The EVM adapter of the port [`faregate_chain::Chain`]: scheme `exact` by EIP-3009.
//!
//! ```text
//!  adapter.rs -> claim.rs      what a payment says, judged without the chain
//!             -> inspect.rs    would it settle now?            --+
//!             -> prepare.rs    sign the transaction of a slot    |   rpc.rs: bounded JSON-RPC
//!             -> broadcast.rs  send it, classify the answer      +-> over HTTP, several endpoints
//!             -> observe.rs    what became of the money          |
//!             -> lane.rs       nonces and balance of a signer  --+
//! ```
//!
//! A scheme says which mechanism and which amount rule; a mechanism encodes and checks, once.
//!
//! Architecture invariant: only this crate names other alloy crates than `alloy-primitives`.

pub mod adapter;
pub mod assets;
pub mod batch;
mod broadcast;
mod claim;
mod code_seen;
pub mod config;
mod contracts;
mod erc6492;
pub mod fees;
mod gathering;
mod inspect;
mod lane;
pub mod limits;
pub mod mechanisms;
mod observe;
mod prepare;
mod refusals;
mod rpc;
mod schemes;
mod shared_tokens;
pub mod signature;
mod signatures_seen;
pub mod signer;
pub mod wallet;

pub use adapter::EvmChain;
pub use assets::AssetProfile;
pub use batch::BatchMode;
pub use config::{EndpointPolicy, EvmConfig, TransactionType};
pub use fees::quiet::{QuietHours, QuietPolicy};
pub use mechanisms::eip3009::{SignError, random_nonce, sign_authorization};
pub use signer::{SignerError, TransactionSigner};
pub use wallet::{Wallet, WalletError};
