//! A line on the terminal that says how far it is. There is none where nobody looks.

use std::io::{IsTerminal as _, Write as _};
use std::time::Duration;

const BAR: usize = 30;

/// The line; it disappears when this is dropped.
pub(crate) struct Progress {
    shown: bool,
}

impl Progress {
    pub(crate) fn new() -> Self {
        Self { shown: std::io::stderr().is_terminal() }
    }

    /// `done` of `all`, and something that is counted.
    pub(crate) fn show(&self, what: &str, done: u64, all: u64, said: &str) {
        if self.shown {
            self.write(&format!("\r\x1b[K{what:<10} {} {said}", bar(done, all)));
        }
    }

    /// The same for time that passes.
    pub(crate) fn time(&self, what: &str, passed: Duration, whole: Duration, outcomes: u64) {
        let millis = |time: Duration| u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
        let said = format!("{} s   {outcomes} outcomes", passed.as_secs());
        self.show(what, millis(passed), millis(whole), &said);
    }

    fn write(&self, text: &str) {
        let mut out = std::io::stderr().lock();
        // A terminal that is gone needs no line.
        let _ = out.write_all(text.as_bytes()).and_then(|()| out.flush());
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        if self.shown {
            self.write("\r\x1b[K");
        }
    }
}

fn bar(done: u64, all: u64) -> String {
    let part = done.min(all).saturating_mul(BAR as u64).checked_div(all).unwrap_or_default();
    let full = usize::try_from(part).unwrap_or(BAR);
    format!("[{}{}]", "#".repeat(full), ".".repeat(BAR - full))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_bar_is_as_full_as_it_should_be() {
        assert_eq!(bar(0, 10), format!("[{}]", ".".repeat(30)));
        assert_eq!(bar(5, 10), format!("[{}{}]", "#".repeat(15), ".".repeat(15)));
        assert_eq!(bar(11, 10), format!("[{}]", "#".repeat(30)));
        assert_eq!(bar(0, 0), format!("[{}]", ".".repeat(30)));
    }
}
