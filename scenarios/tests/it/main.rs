//! Stories: the binary and real parts, each started and stopped by the test that needs it. The
//! names read as sentences.

#![allow(clippy::unwrap_used)] // a panic is how a test fails

mod application;
mod chain_reader;
mod dev_world;
mod http;
mod node_server;
mod payment;
mod ports;
mod real_chain;
mod roles;
mod service;

mod axum_seller;
mod crash;
mod dev_life;
mod official_client;
mod pay_command;
mod real_parts;
mod replays;
mod unpaid_requests;
mod version_1;
