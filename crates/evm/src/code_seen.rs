//! Accounts that were seen to have code. Only "yes" is remembered, for a while.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::Instant;

use alloy_primitives::Address;

use crate::limits::{CODE_SEEN_ENTRIES, CODE_SEEN_FOR};

/// A bounded set of accounts with code.
#[derive(Debug, Default)]
pub(crate) struct CodeSeen {
    seen: Mutex<HashMap<Address, Instant>>,
}

impl CodeSeen {
    /// Whether `account` was seen with code lately.
    pub(crate) fn contains(&self, account: Address) -> bool {
        self.contains_at(account, Instant::now())
    }

    /// Notes what was seen now.
    pub(crate) fn note(&self, account: Address, has_code: bool) {
        self.note_at(account, has_code, Instant::now());
    }

    /// Notes code that somebody saw at `at`.
    pub(crate) fn note_seen(&self, account: Address, at: Instant) {
        self.note_at(account, true, at);
    }

    fn contains_at(&self, account: Address, now: Instant) -> bool {
        let seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        seen.get(&account).is_some_and(|at| now.duration_since(*at) < CODE_SEEN_FOR)
    }

    fn note_at(&self, account: Address, has_code: bool, now: Instant) {
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        if !has_code {
            seen.remove(&account);
            return;
        }
        if seen.len() >= CODE_SEEN_ENTRIES && !seen.contains_key(&account) {
            seen.retain(|_, at| now.duration_since(*at) < CODE_SEEN_FOR);
        }
        if seen.len() >= CODE_SEEN_ENTRIES && !seen.contains_key(&account) {
            // Forgetting costs one question; a queue of ages would cost more than that.
            seen.clear();
        }
        seen.insert(account, now);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn yes_is_remembered_for_a_while() {
        let (seen, start) = (CodeSeen::default(), Instant::now());
        let account = Address::repeat_byte(1);
        assert!(!seen.contains_at(account, start));
        seen.note_at(account, true, start);
        assert!(seen.contains_at(account, start + CODE_SEEN_FOR - Duration::from_secs(1)));
        assert!(!seen.contains_at(account, start + CODE_SEEN_FOR));
        seen.note_at(account, false, start);
        assert!(!seen.contains_at(account, start));
    }

    #[test]
    fn memory_is_bounded() {
        let (seen, start) = (CodeSeen::default(), Instant::now());
        for n in 0..(3 * CODE_SEEN_ENTRIES as u64) {
            seen.note_at(Address::left_padding_from(&n.to_be_bytes()), true, start);
            assert!(seen.seen.lock().unwrap().len() <= CODE_SEEN_ENTRIES);
        }
    }
}
