//! Leases on SQLite: one holder at a time, and a token that every write checks (U5).

use rusqlite::{Connection, params};
use uuid::Uuid;

use super::SqliteLedger;
use super::asking::Turn;
use super::statements::{column, now_ms, one, run, signed};
use crate::{Lease, LedgerError};

const TAKE: &str = concat!(
    "insert into leases (name, owner, token, until_ms) values (?1, ?2, 1, ",
    now_ms!(),
    " + ?3) on conflict (name) do update set ",
    "token = case when owner = ?2 then token else token + 1 end, owner = ?2, until_ms = ",
    now_ms!(),
    " + ?3 where owner = ?2 or until_ms <= ",
    now_ms!(),
    " returning token"
);

const HELD: &str = concat!(
    "select 1 from leases where name = ? and token = ? and owner = ? and until_ms > ",
    now_ms!()
);

const GIVE_UP: &str = "update leases set until_ms = 0 where name = ? and owner = ? and token = ?";

pub(super) async fn take(
    ledger: &SqliteLedger,
    name: &str,
    owner: Uuid,
    ttl_ms: u64,
) -> Result<Option<Lease>, LedgerError> {
    let name = name.to_owned();
    ledger
        .write(move |tx| {
            let values = params![name, owner.to_string(), signed(ttl_ms)];
            match one(tx, TAKE, values, |row| column(row, "token"))? {
                Some(token) => Ok(Turn::Kept(Some(Lease { name: name.clone(), owner, token }))),
                None => Ok(Turn::TakenBack(None)),
            }
        })
        .await
}

pub(super) async fn give_up(ledger: &SqliteLedger, lease: &Lease) -> Result<(), LedgerError> {
    let lease = lease.clone();
    ledger
        .write(move |tx| {
            run(tx, GIVE_UP, params![lease.name, lease.owner.to_string(), lease.token])?;
            Ok(Turn::Kept(()))
        })
        .await
}

/// Does `work` in a turn, as only the holder of `lease` may.
pub(super) async fn write<T, F>(
    ledger: &SqliteLedger,
    lease: &Lease,
    work: F,
) -> Result<T, LedgerError>
where
    T: Send + 'static,
    F: Fn(&Connection) -> Result<Turn<T>, LedgerError> + Send + 'static,
{
    let lease = lease.clone();
    ledger
        .write(move |tx| {
            let values = params![lease.name, lease.token, lease.owner.to_string()];
            match one(tx, HELD, values, |_| Ok(()))? {
                Some(()) => work(tx),
                None => Err(LedgerError::LeaseLost { name: lease.name.clone() }),
            }
        })
        .await
}
