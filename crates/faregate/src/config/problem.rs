//! What is wrong with a configuration: all of it at once, each with key, value, reason and fix.

use std::fmt;

/// Where a value came from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Origin {
    /// A line of the file, from 1.
    File(usize),
    /// An environment variable.
    Env(String),
    /// Nowhere: the key is missing.
    Missing,
}

/// One fault.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Problem {
    pub(crate) origin: Origin,
    /// Dotted key such as `gate.route[0].pay_to`.
    pub(crate) key: String,
    /// The value, masked if it may be secret; empty when missing.
    pub(crate) value: String,
    pub(crate) reason: String,
    pub(crate) fix: String,
}

/// Everything that is wrong with one file and the environment around it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Problems {
    pub(crate) file: String,
    pub(crate) list: Vec<Problem>,
}

impl std::error::Error for Problems {}

impl fmt::Display for Problems {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for problem in &self.list {
            match &problem.origin {
                Origin::File(line) => write!(f, "{}:{line}: {}", self.file, problem.key)?,
                Origin::Env(name) => write!(f, "${name}: {}", problem.key)?,
                Origin::Missing => write!(f, "{}: {}", self.file, problem.key)?,
            }
            if !problem.value.is_empty() {
                write!(f, " = {}", problem.value)?;
            }
            writeln!(f, "\n    {}", problem.reason)?;
            if !problem.fix.is_empty() {
                writeln!(f, "    fix: {}", problem.fix)?;
            }
        }
        let count = self.list.len();
        write!(f, "{count} problem{} in the configuration", if count == 1 { "" } else { "s" })
    }
}
