//! The buyer over real HTTP, in front of sellers that do as they are told.

#![allow(clippy::unwrap_used)] // all of this binary is tests

mod concurrent;
mod harness;
mod honest;
mod hostile;
mod mutation;
mod redirects;
mod resume;
mod unknown;
mod version_1;
