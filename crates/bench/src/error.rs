//! Why there is no measurement.

use std::io;
use std::path::PathBuf;

use crate::limits;

/// Why there is no measurement.
#[derive(Debug, thiserror::Error)]
pub enum BenchError {
    /// Flags that do not go together.
    #[error("{0}")]
    Flags(String),
    /// The chain could not be started.
    #[error("the chain could not be started: {0}")]
    Chain(#[from] faregate_devnet::DevnetError),
    /// A file or a socket of ours.
    #[error("{what}: {source}")]
    Io {
        /// What was attempted.
        what: String,
        /// Why it failed.
        source: io::Error,
    },
    /// A payment could not be signed.
    #[error("a payment could not be signed: {0}")]
    Sign(String),
    /// What is under test did not start, or ended.
    #[error("{what} ended ({status}) and said:\n{said}")]
    Ended {
        /// What it is.
        what: String,
        /// How it ended.
        status: String,
        /// The end of its stderr.
        said: String,
    },
    /// What is under test did not answer.
    #[error("{what} did not answer within {} seconds; {last}", limits::START.as_secs())]
    Silent {
        /// What was asked.
        what: String,
        /// The last that was heard.
        last: String,
    },
    /// What is under test answered something that no measurement can go on with.
    #[error("{0}")]
    Unexpected(String),
    /// There is no such process, or it has ended.
    #[error("there is no process {0}")]
    NoProcess(u32),
    /// Somebody asked for an end.
    #[error("stopped before the end; nothing was measured")]
    Stopped,
    /// A picture could not be written.
    #[error("{}: {source}", path.display())]
    Plot {
        /// Where to.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
}

impl BenchError {
    /// For `map_err`: what was attempted.
    pub(crate) fn io(what: impl Into<String>) -> impl FnOnce(io::Error) -> Self {
        let what = what.into();
        move |source| Self::Io { what, source }
    }
}
