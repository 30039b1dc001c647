//! Whether it is worth asking for all receipts of a block at once.

use std::sync::{Mutex, PoisonError};
use std::time::Instant;

use crate::limits::WHOLE_BLOCKS_PAUSED_FOR;

/// Remembers that it was asked in vain.
#[derive(Debug, Default)]
pub(crate) struct WholeBlocks(Mutex<Option<Instant>>);

impl WholeBlocks {
    pub(crate) fn is_open(&self) -> bool {
        let paused = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        paused.is_none_or(|since| since.elapsed() >= WHOLE_BLOCKS_PAUSED_FOR)
    }

    pub(crate) fn pause(&self) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(Instant::now());
    }
}
