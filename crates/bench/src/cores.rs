//! Which processors what runs on, by `taskset`: what is measured on some, everything else on the
//! others.

use std::process::{Command, Stdio};

use crate::error::BenchError;

/// A division of the processors that this process may use.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Cores {
    /// For what is measured.
    measured: Vec<usize>,
    /// For everything else; empty if none is left.
    others: Vec<usize>,
}

impl Cores {
    /// The first `count` for what is measured.
    pub(crate) fn divide(count: usize) -> Result<Self, BenchError> {
        let status = std::fs::read_to_string("/proc/self/status")
            .map_err(BenchError::io("/proc/self/status"))?;
        let list = status.lines().find_map(|line| line.strip_prefix("Cpus_allowed_list:"));
        let allowed = list.and_then(parse).unwrap_or_default();
        if allowed.len() < count {
            let have = allowed.len();
            return Err(BenchError::Flags(format!("--cores {count}: there are {have} to use")));
        }
        let (measured, others) = allowed.split_at(count);
        Ok(Self { measured: measured.to_vec(), others: others.to_vec() })
    }

    /// The words before a command that keep it on its processors. They replace themselves by the
    /// command, which so has the process id of what was started.
    pub(crate) fn prefix(&self) -> [String; 3] {
        ["taskset".to_owned(), "-c".to_owned(), text(&self.measured)]
    }

    /// Takes this process off the processors of what is measured, with all its threads.
    pub(crate) fn step_aside(&self) -> Result<(), BenchError> {
        if self.others.is_empty() {
            return Ok(());
        }
        let own = std::process::id().to_string();
        let status = Command::new("taskset")
            .args(["-a", "-c", "-p", &text(&self.others), &own])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .status()
            .map_err(BenchError::io("--cores needs the command taskset"))?;
        let failed = || BenchError::Unexpected(format!("taskset failed ({status})"));
        status.success().then_some(()).ok_or_else(failed)
    }
}

/// A list of the kernel, such as `0-3,6`.
fn parse(list: &str) -> Option<Vec<usize>> {
    let mut found = Vec::new();
    for part in list.trim().split(',') {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        found.extend(first.parse::<usize>().ok()?..=last.parse().ok()?);
    }
    Some(found)
}

fn text(cores: &[usize]) -> String {
    cores.iter().map(usize::to_string).collect::<Vec<_>>().join(",")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kernels_lists_are_read() {
        assert_eq!(parse("\t0-1\n"), Some(vec![0, 1]));
        assert_eq!(parse("0,2-4,7"), Some(vec![0, 2, 3, 4, 7]));
        assert_eq!(parse("many"), None);
    }

    #[test]
    fn no_more_processors_are_given_than_there_are() {
        let one = Cores::divide(1).unwrap();
        assert_eq!(one.measured.len(), 1);
        assert!(!one.others.contains(&one.measured[0]));
        let said = Cores::divide(1_000_000).unwrap_err().to_string();
        assert!(said.starts_with("--cores 1000000: there are "), "{said}");
    }
}
