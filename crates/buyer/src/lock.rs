//! One run at a time for one logical request, over all processes that share the state directory.
//!
//! The lock is the kernel's: it ends with the process, however that ends. Lock files stay, since
//! removing one races with somebody who has just opened it; so requests share a fixed number of
//! them.

use std::fs::{File, OpenOptions, TryLockError};
use std::io;
use std::path::Path;
use std::time::{Duration, Instant};

/// Leading hex digits of a request's id that name its lock file: 4096 files at most.
const SHARD_DIGITS: usize = 3;
const FIRST_PAUSE: Duration = Duration::from_millis(5);
const MAX_PAUSE: Duration = Duration::from_millis(25);

/// Held for as long as this lives.
pub(crate) struct Lock {
    _file: File,
}

/// Takes the lock of the request `id`, or `None` when it was not free within `wait`.
pub(crate) async fn take(dir: &Path, id: &str, wait: Duration) -> io::Result<Option<Lock>> {
    let shard = id.get(..SHARD_DIGITS).unwrap_or(id);
    let path = dir.join(format!("{shard}.lock"));
    let file = OpenOptions::new().create(true).truncate(false).write(true).open(path)?;
    let until = Instant::now().checked_add(wait);
    let mut pause = FIRST_PAUSE;
    loop {
        match file.try_lock() {
            Ok(()) => return Ok(Some(Lock { _file: file })),
            Err(TryLockError::Error(error)) => return Err(error),
            Err(TryLockError::WouldBlock) => {}
        }
        if until.is_some_and(|until| Instant::now() >= until) {
            return Ok(None);
        }
        tokio::time::sleep(pause).await;
        pause = pause.saturating_mul(2).min(MAX_PAUSE);
    }
}
