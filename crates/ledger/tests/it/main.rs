//! What every store must do, run on each of them, and what each has of its own.

#![allow(clippy::unwrap_used)] // a panic is how a test fails

mod batches;
mod bench;
mod changed_parts;
mod claims;
mod cluster;
mod deferral;
mod deferred_grant;
mod failing_calls;
mod parts;
mod payees;
mod postgres;
mod proofs;
mod random_walk;
mod records;
mod samples;
mod seed;
mod settlements;
mod slots;
mod sqlite_file;
mod stores;
