//! Writing results to stdout. A reader that has seen enough, such as `head`, is no failure.

use std::io::{ErrorKind, Write as _};

/// Writes `text` as it is.
///
/// # Errors
/// When stdout cannot be written for another reason than that nobody reads it.
pub(crate) fn write(text: &str) -> std::io::Result<()> {
    let mut out = std::io::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Err(error) if error.kind() == ErrorKind::BrokenPipe => Ok(()),
        written => written,
    }
}
