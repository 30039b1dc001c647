//! Where the ledger of a command is, and how it answers.

use std::path::{Path, PathBuf};

use anyhow::Context as _;
use clap::Args;

use crate::config::{self, Settings};
use crate::dev_file;

const DEFAULT_CONFIG: &str = "faregate.toml";

/// The configuration that a command looks at.
#[derive(Args)]
pub(crate) struct Place {
    /// The configuration file; by default faregate.toml, else that of a running `faregate dev`.
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Print JSON on stdout.
    #[arg(long)]
    pub(crate) json: bool,
}

impl Place {
    /// Reads it.
    pub(crate) fn settings(&self) -> anyhow::Result<Settings> {
        let path = match &self.config {
            Some(path) => path.clone(),
            None if Path::new(DEFAULT_CONFIG).exists() => PathBuf::from(DEFAULT_CONFIG),
            None => dev_file::config().with_context(|| {
                format!(
                    "there is no {DEFAULT_CONFIG} here and no `faregate dev` runs: name the \
                     configuration with --config"
                )
            })?,
        };
        Ok(config::load(&path, std::env::vars())?)
    }
}
