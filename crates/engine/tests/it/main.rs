//! The engine over the simulated chain and a ledger in memory: money moves once, whatever fails.

#![allow(clippy::unwrap_used)] // a panic is how a test fails

mod batches;
mod blocks;
mod callers;
mod chain_faults;
mod failing_store;
mod kth_call;
mod world;
