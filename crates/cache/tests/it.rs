//! The layer against a real server that is well, and against everything that can become of it.

#![allow(clippy::unwrap_used)] // a panic is how a test fails

#[path = "it/misfortunes.rs"]
mod misfortunes;
#[path = "it/redis_server.rs"]
mod redis_server;
#[path = "it/sharing.rs"]
mod sharing;
#[path = "it/world.rs"]
mod world;
