//! `faregate bench`: the figures on stdout, and whether they stand for anything.

use std::process::ExitCode;

use anyhow::Context as _;
use faregate_bench::BenchCommand;

use crate::{server, stdout};

pub(crate) async fn run(command: BenchCommand) -> anyhow::Result<ExitCode> {
    let program = std::env::current_exe().context("this program does not know where it is")?;
    let json = command.json();
    let stop = async {
        let _ = server::until_told_to_stop().await;
    };
    let report = faregate_bench::run(command, &program, stop).await?;
    if json {
        stdout::write(&format!("{}\n", serde_json::to_string(&report)?))?;
    } else {
        stdout::write(&report.to_string())?;
    }
    if !report.is_good() {
        let (accepted, lost) = (report.accepted, report.lost);
        eprintln!("faregate: {accepted} requests were accepted and {lost} payments were lost");
        return Ok(ExitCode::FAILURE);
    }
    Ok(ExitCode::SUCCESS)
}
