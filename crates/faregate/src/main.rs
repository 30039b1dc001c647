//! The faregate binary: commands, configuration, wiring. Everything else lives in the libraries.

mod bench;
mod cli;
mod config;
mod debts;
mod demo_api;
mod dev;
mod dev_file;
mod init;
mod ledger;
mod pay;
mod payees;
mod place;
mod roles;
mod second_layer;
mod server;
mod settlements;
mod stdout;
mod token;
mod wording;

use std::process::ExitCode;

use clap::Parser as _;

fn main() -> ExitCode {
    let cli = cli::Cli::parse();
    #[cfg(feature = "crash-points")]
    arm_crash_point();
    match cli.run() {
        Ok(code) => code,
        Err(error) => {
            eprintln!("faregate: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// A build for crash tests dies where this variable says; a text that names no place ends it at
/// once, so that a misspelt test is noticed.
#[cfg(feature = "crash-points")]
fn arm_crash_point() {
    use faregate_telemetry::crash_point;
    let Ok(text) = std::env::var("FAREGATE_CRASH_AT") else { return };
    match text.parse() {
        Ok(at) => crash_point::arm(at),
        Err(error) => {
            eprintln!("faregate: FAREGATE_CRASH_AT: {error}");
            std::process::exit(2);
        }
    }
}
