//! The adapter against the in-process chain and against endpoints that misbehave.

#![allow(clippy::unwrap_used)] // a panic is how a test fails

#[path = "it/batches.rs"]
mod batches;
#[path = "it/blocks.rs"]
mod blocks;
#[path = "it/contract_payers.rs"]
mod contract_payers;
#[path = "it/death.rs"]
mod death;
#[path = "it/endpoint.rs"]
mod endpoint;
#[path = "it/happy.rs"]
mod happy;
#[path = "it/hostile_tokens.rs"]
mod hostile_tokens;
#[path = "it/misbehaviour.rs"]
mod misbehaviour;
#[path = "it/pool.rs"]
mod pool;
#[path = "it/precedence.rs"]
mod precedence;
#[path = "../../cache/tests/it/redis_server.rs"]
mod redis_server;
#[path = "it/second_layer.rs"]
mod second_layer;
#[path = "it/start.rs"]
mod start;
#[path = "it/together.rs"]
mod together;
#[path = "it/world.rs"]
mod world;
