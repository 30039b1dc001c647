//! Named places at which a process can be told to die, so that a test reaches every state that a
//! crash can leave behind. Without the feature `crash-points` a place is no code at all.
//!
//! A place is written `crash_point!("F5")`. The binary arms at most one of them, and the process
//! ends there as if it had been killed: nothing is flushed, nothing is dropped. With
//! `crash_point!("G12", soon)` it goes on for a moment, for what happens outside of our code.

use std::fmt;
use std::str::FromStr;
#[cfg(feature = "crash-points")]
use std::sync::OnceLock;
#[cfg(feature = "crash-points")]
use std::sync::atomic::{AtomicU32, Ordering};

/// Ends the process here if this place is armed and it is its turn; see
/// [`crash_point!`](crate::crash_point!).
#[cfg(feature = "crash-points")]
#[macro_export]
macro_rules! crash_point {
    ($name:literal) => {
        $crate::crash_point::pass($name)
    };
    ($name:literal, soon) => {
        $crate::crash_point::pass_on($name)
    };
}

/// Nothing: this build cannot be told to die.
#[cfg(not(feature = "crash-points"))]
#[macro_export]
macro_rules! crash_point {
    ($name:literal) => {};
    ($name:literal, soon) => {};
}

/// Where a process dies: `F5` at the first pass, `F5:3` at the third.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CrashAt {
    /// Name of the place.
    pub name: String,
    /// Which pass, counted from 1.
    pub pass: u32,
}

/// A text that names no place.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a crash point is written NAME or NAME:PASS, and passes count from 1")]
pub struct NoCrashPoint;

impl FromStr for CrashAt {
    type Err = NoCrashPoint;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (name, pass) = match text.split_once(':') {
            Some((name, pass)) => (name, pass.parse().map_err(|_| NoCrashPoint)?),
            None => (text, 1),
        };
        let is_name = !name.is_empty() && name.bytes().all(|b| b.is_ascii_alphanumeric());
        if !is_name || pass == 0 {
            return Err(NoCrashPoint);
        }
        Ok(Self { name: name.to_owned(), pass })
    }
}

impl fmt::Display for CrashAt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.name, self.pass)
    }
}

#[cfg(feature = "crash-points")]
static ARMED: OnceLock<CrashAt> = OnceLock::new();
#[cfg(feature = "crash-points")]
static PASSED: AtomicU32 = AtomicU32::new(0);

/// Arms a place for the rest of this process. Only the first call counts.
#[cfg(feature = "crash-points")]
pub fn arm(at: CrashAt) {
    let _ = ARMED.set(at);
}

/// How long a process goes on after a place at which it dies soon.
#[cfg(feature = "crash-points")]
const SOON: std::time::Duration = std::time::Duration::from_millis(3);

/// What [`crash_point!`](crate::crash_point!) expands to.
#[cfg(feature = "crash-points")]
pub fn pass(name: &str) {
    if is_its_turn(name) {
        std::process::abort();
    }
}

/// The same for a place at which a process dies soon.
#[cfg(feature = "crash-points")]
pub fn pass_on(name: &str) {
    if is_its_turn(name) {
        std::thread::spawn(|| {
            std::thread::sleep(SOON);
            std::process::abort();
        });
    }
}

#[cfg(feature = "crash-points")]
fn is_its_turn(name: &str) -> bool {
    let at = ARMED.get().filter(|at| at.name == name);
    at.is_some_and(|at| PASSED.fetch_add(1, Ordering::SeqCst) + 1 == at.pass)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_and_its_pass_are_read_and_written() {
        for (text, name, pass) in [("F5", "F5", 1), ("G12:3", "G12", 3)] {
            let at: CrashAt = text.parse().unwrap();
            assert_eq!((at.name.as_str(), at.pass), (name, pass));
            assert_eq!(at.to_string().parse(), Ok(at));
        }
        for text in ["", ":1", "F5:", "F5:0", "F5:x", "F5:1:2", "F 5"] {
            assert_eq!(text.parse::<CrashAt>(), Err(NoCrashPoint), "{text:?}");
        }
    }

    #[test]
    fn an_unarmed_place_is_passed() {
        crate::crash_point!("F5");
        crate::crash_point!("G12", soon);
    }
}
