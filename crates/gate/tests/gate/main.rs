//! Whole flows through the public interface of the gate: in process, and over real sockets for the
//! proxy, the server and the remote facilitator. Flows that touch the ledger run on a store in
//! memory and on SQLite.
#![allow(clippy::unwrap_used)] // a panic is how a test fails

mod abandoned;
mod answers;
mod before_run;
mod captured_log;
mod deferred;
mod disconnect;
mod dispatching;
mod faulty_ledger;
mod fingerprints;
mod interrupted;
mod kept_answers;
mod large_answers;
mod ledger_faults;
mod metrics;
mod outcome_log;
mod paths;
mod payment;
mod proxy;
mod races;
mod remote;
mod request_ids;
mod retries;
mod route_faults;
mod scripted_facilitator;
mod secrets;
mod serving;
mod settling;
mod sweeping;
mod upstream;
mod upstreams;
mod version_1;
mod world;
