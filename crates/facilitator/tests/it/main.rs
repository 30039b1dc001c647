//! The door over real HTTP, in front of a facilitator that does as it is told.

#![allow(clippy::unwrap_used)] // all of this binary is tests

mod bad_input;
mod callers;
mod description;
mod harness;
mod limits;
mod mutation;
mod outcomes;
mod schema;
mod settled_once;
mod settlements;
mod terms;
mod version_1;
