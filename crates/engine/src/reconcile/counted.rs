//! Which transactions were counted: a batch is met once for each of its payments, its gas counts
//! once.

use std::collections::{HashSet, VecDeque};
use std::sync::{Mutex, PoisonError};

/// Transactions that are remembered. One that comes up again after so many others counts twice.
const REMEMBERED: usize = 1024;

#[derive(Default)]
pub(super) struct Counted {
    seen: Mutex<(HashSet<String>, VecDeque<String>)>,
}

impl Counted {
    /// `true` the first time.
    pub(super) fn is_new(&self, transaction: &str) -> bool {
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        let (set, order) = &mut *seen;
        if !set.insert(transaction.to_owned()) {
            return false;
        }
        order.push_back(transaction.to_owned());
        if order.len() > REMEMBERED
            && let Some(oldest) = order.pop_front()
        {
            set.remove(&oldest);
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use super::{Counted, REMEMBERED};

    #[test]
    fn a_transaction_is_new_once_and_memory_is_bounded() {
        let counted = Counted::default();
        assert!(counted.is_new("a"));
        assert!(!counted.is_new("a"));
        for n in 0..2 * REMEMBERED {
            assert!(counted.is_new(&n.to_string()));
            assert!(counted.seen.lock().unwrap().0.len() <= REMEMBERED);
        }
        assert!(counted.is_new("a"), "forgotten by now");
    }
}
