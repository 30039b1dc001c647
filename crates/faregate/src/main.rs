//! The faregate binary: commands, configuration, wiring. Everything else lives in the libraries.

mod cli;
mod config;
mod demo_api;
mod dev;
mod dev_file;
mod init;
mod pay;
mod roles;
mod server;

use std::process::ExitCode;

use clap::Parser as _;

fn main() -> ExitCode {
    let cli = cli::Cli::parse();
    match cli.run() {
        Ok(code) => code,
        Err(error) => {
            eprintln!("faregate: {error:#}");
            ExitCode::FAILURE
        }
    }
}
