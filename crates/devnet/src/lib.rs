//! An in-process EVM chain with JSON-RPC, for development and tests.
//!
//! One [`Devnet::start`] gives a chain with ten funded accounts, a dollar token that answers as
//! USDC does on Base Sepolia, a multicall contract, and an HTTP endpoint that ordinary tools talk
//! to. The [`DevnetHandle`] adds what a test needs and a real chain refuses: mining on demand,
//! moving the clock, dropping a transaction, replacing the last blocks by others.
//!
//! ```text
//!  HTTP POST / -> server -> rpc (decode, answer) -> chain -> evm (revm)
//!                                                    |-> pool    waiting transactions
//!                                                    |-> state   accounts, undo of the last blocks
//!                                                    `-> block   headers, receipts, hashes
//! ```
//!
//! What differs from a public chain, on purpose: the newest block is mined the moment a transaction
//! arrives unless a block time is set; `safe` and `finalized` are two blocks behind `latest`; a
//! call against `latest` sees the wall clock rather than the (possibly old) time of the newest
//! block; state roots are not roots of a trie, so there are no proofs; the state of old blocks is
//! kept for [`limits::STATE_HISTORY_BLOCKS`] blocks only.

pub mod accounts;
pub mod contracts;
pub mod limits;

mod block;
mod call;
mod chain;
mod clock;
mod config;
mod error;
mod evm;
mod genesis;
mod handle;
mod node;
mod pool;
mod rpc;
mod server;
mod state;
mod transaction;

pub use chain::reorg::{Orphans, Reorg};
pub use config::{DevnetConfig, FundedAccount, Predeploy, TokenConfig};
pub use error::{ChainError, DevnetError};
pub use handle::{Devnet, DevnetHandle};
