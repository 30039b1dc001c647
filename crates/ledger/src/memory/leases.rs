//! Leases in memory: one holder at a time, and a token that every write checks (U5).

use std::collections::btree_map::Entry;
use std::sync::MutexGuard;

use uuid::Uuid;

use super::rows::{LeaseRow, Rows};
use super::{MemoryLedger, stored};
use crate::{Lease, LedgerError};

const FIRST_TOKEN: i64 = 1;

pub(super) fn take(ledger: &MemoryLedger, name: &str, owner: Uuid, ttl_ms: u64) -> Option<Lease> {
    let (mut rows, now) = ledger.open();
    let until_ms = now.saturating_add(stored(ttl_ms));
    let token = match rows.leases.entry(name.to_owned()) {
        Entry::Vacant(free) => free.insert(LeaseRow { owner, token: FIRST_TOKEN, until_ms }).token,
        Entry::Occupied(held) => {
            let row = held.into_mut();
            if row.owner != owner {
                if row.until_ms > now {
                    return None;
                }
                row.owner = owner;
                row.token = row.token.saturating_add(1);
            }
            row.until_ms = until_ms;
            row.token
        }
    };
    Some(Lease { name: name.to_owned(), owner, token })
}

pub(super) fn give_up(ledger: &MemoryLedger, lease: &Lease) {
    let (mut rows, _) = ledger.open();
    if let Some(row) = rows.leases.get_mut(&lease.name)
        && (row.owner, row.token) == (lease.owner, lease.token)
    {
        row.until_ms = 0;
    }
}

/// Begins a write that only the holder of `lease` may make.
pub(super) fn begin<'a>(
    ledger: &'a MemoryLedger,
    lease: &Lease,
) -> Result<(MutexGuard<'a, Rows>, i64), LedgerError> {
    let (rows, now) = ledger.open();
    let held = rows.leases.get(&lease.name).is_some_and(|row| {
        (row.owner, row.token) == (lease.owner, lease.token) && row.until_ms > now
    });
    if held { Ok((rows, now)) } else { Err(LedgerError::LeaseLost { name: lease.name.clone() }) }
}
