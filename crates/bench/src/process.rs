//! What the kernel says about a process: processor time of all its threads, also of those that
//! have ended, and memory.

use std::fs;

/// The kernel's unit for processor time in `/proc`: 100 in a second on every Linux we build for.
const MICROS_PER_TICK: u64 = 10_000;
const KIB: u64 = 1024;

/// A process, by its id.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Process {
    pid: u32,
}

/// Memory of a process, in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Memory {
    pub(crate) now: u64,
    pub(crate) peak: u64,
}

impl Process {
    /// The process with this id, whether there is one or not.
    pub(crate) fn of(pid: u32) -> Self {
        Self { pid }
    }

    /// The process with this id, if there is one.
    pub(crate) fn find(pid: u32) -> Option<Self> {
        let process = Self::of(pid);
        process.processor_micros().map(|_| process)
    }

    /// This process.
    pub(crate) fn own() -> Self {
        Self::of(std::process::id())
    }

    /// Processor time since its start, in microseconds, in steps of ten milliseconds; `None` if it
    /// has ended.
    pub(crate) fn processor_micros(self) -> Option<u64> {
        let text = fs::read_to_string(format!("/proc/{}/stat", self.pid)).ok()?;
        ticks(&text).map(|ticks| ticks.saturating_mul(MICROS_PER_TICK))
    }

    /// Memory that it has in use, and the most that it had; `None` if it has ended.
    pub(crate) fn memory(self) -> Option<Memory> {
        let text = fs::read_to_string(format!("/proc/{}/status", self.pid)).ok()?;
        Some(Memory { now: kib(&text, "VmRSS:")? * KIB, peak: kib(&text, "VmHWM:")? * KIB })
    }
}

/// User and system time of a `stat` line; `None` for one that has ended and waits to be collected.
fn ticks(stat: &str) -> Option<u64> {
    const AFTER_NAME_TO_USER: usize = 11;
    // The name, in parentheses, may hold anything.
    let (_, fields) = stat.rsplit_once(')')?;
    let mut fields = fields.split_whitespace();
    let state = fields.next()?;
    let mut times = fields.skip(AFTER_NAME_TO_USER - 1).take(2).map(str::parse::<u64>);
    let sum = times.next()?.ok()?.checked_add(times.next()?.ok()?)?;
    (!matches!(state, "Z" | "X")).then_some(sum)
}

fn kib(status: &str, name: &str) -> Option<u64> {
    let line = status.lines().find_map(|line| line.strip_prefix(name))?;
    line.trim().trim_end_matches("kB").trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_times_are_added_whatever_the_name_is() {
        let line = |state: &str| {
            format!("7 (a) b (c) {state} 1 7 7 0 -1 4194560 99 0 0 0 123 45 6 7 20 0 9 0 500\n")
        };
        assert_eq!(ticks(&line("S")), Some(168));
        assert_eq!(ticks(&line("Z")), None);
        assert_eq!(ticks("7 (a"), None);
    }

    #[test]
    fn this_process_has_time_and_memory_and_a_dead_one_has_neither() {
        let own = Process::own();
        assert_eq!(Process::find(std::process::id()), Some(own));
        let memory = own.memory().unwrap();
        assert!(memory.now > 0 && memory.peak >= memory.now, "{memory:?}");
        let mut child = std::process::Command::new("true").spawn().unwrap();
        child.wait().unwrap();
        let dead = Process::of(child.id());
        assert_eq!((dead.processor_micros(), dead.memory()), (None, None));
    }
}
