//! How money is moved on an EVM chain, one mechanism a file: encode and check, once each.

pub mod eip3009;
