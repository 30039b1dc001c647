//! `faregate bench`: what a facilitator or a gate does for its money, by one method for ours and
//! for everybody else's.
//!
//! What is measured runs as a process of its own, so that its processor time is told from ours:
//!
//! ```text
//!  payments, signed ahead ──► load ──► under test ──► proxy (counts, delays) ──► dev chain
//!                               │          │                                        │
//!                            waits    /proc/PID                         receipts: audit
//!                               └──────────┴──────────► report ◄────────────────────┘
//! ```
//!
//! Everything listens on loopback, every wait has a limit (`limits`), and what was started here is
//! ended by its process id, whatever happens.

mod answers;
mod arguments;
mod audit;
mod books;
mod config;
mod connection;
mod cores;
mod error;
mod limits;
mod load;
mod payments;
mod plot;
mod ports;
mod process;
mod progress;
mod proxy;
mod report;
mod requests;
mod run;
mod under_test;
mod upstream;
mod world;

pub use arguments::BenchCommand;
pub use error::BenchError;
pub use report::Report;
pub use run::run;
