//! The EVM adapter.
mod contracts;
mod erc6492;
pub mod limits;
pub mod mechanisms;
mod schemes;
pub mod signature;
pub mod signer;
pub mod wallet;
