//! Stories: the binary and real parts, each started and stopped by the test that needs it. The
//! names read as sentences.

#![allow(clippy::unwrap_used)] // a panic is how a test fails

mod application;
mod chain_reader;
mod dev_chain;
mod dev_world;
mod draft;
mod http;
mod node_server;
mod payment;
mod ports;
mod real_chain;
#[path = "../../../crates/cache/tests/it/redis_server.rs"]
mod redis_server;
mod roles;
mod scripted_server;
mod service;

mod axum_seller;
mod bad_payments;
mod bench_command;
mod crash;
mod dev_life;
mod facilitator_faults;
mod figures;
mod hostile_tokens;
mod large_answers;
mod official_client;
mod pay_command;
mod payer_tricks;
mod real_parts;
mod replays;
mod restored_backup;
mod rpc_faults;
mod second_layer;
mod settle_modes;
mod settlements_command;
mod shared_payee;
mod shared_reads;
mod slow_clients;
mod smart_accounts;
mod unpaid_requests;
mod upstream_faults;
mod version_1;
