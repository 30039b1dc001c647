//! The dev chain over real HTTP.

#![allow(clippy::unwrap_used, reason = "a test ends where its world breaks")]

#[path = "it/blocks.rs"]
mod blocks;
#[path = "it/calls.rs"]
mod calls;
#[path = "it/control.rs"]
mod control;
#[path = "it/hostile.rs"]
mod hostile;
#[path = "it/http.rs"]
mod http;
#[path = "it/pool.rs"]
mod pool;
#[path = "it/token.rs"]
mod token;
#[path = "it/world.rs"]
mod world;
