//! Leases on SQLite: one holder at a time, and a token that every write checks (U5).

use uuid::Uuid;

use super::{SqliteLedger, Turn, column, now_ms, signed, unavailable};
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

pub(super) async fn take(
    ledger: &SqliteLedger,
    name: &str,
    owner: Uuid,
    ttl_ms: u64,
) -> Result<Option<Lease>, LedgerError> {
    let mut tx = ledger.begin().await?;
    let row = sqlx::query(TAKE)
        .bind(name)
        .bind(owner.to_string())
        .bind(signed(ttl_ms))
        .fetch_optional(&mut *tx)
        .await
        .map_err(unavailable)?;
    let Some(row) = row else { return Ok(None) };
    let token = column(&row, "token")?;
    tx.commit().await.map_err(unavailable)?;
    Ok(Some(Lease { name: name.to_owned(), owner, token }))
}

pub(super) async fn give_up(ledger: &SqliteLedger, lease: &Lease) -> Result<(), LedgerError> {
    let mut tx = ledger.begin().await?;
    sqlx::query("update leases set until_ms = 0 where name = ? and owner = ? and token = ?")
        .bind(&lease.name)
        .bind(lease.owner.to_string())
        .bind(lease.token)
        .execute(&mut *tx)
        .await
        .map_err(unavailable)?;
    tx.commit().await.map_err(unavailable)
}

/// Begins a write that only the holder of `lease` may make.
pub(super) async fn begin(ledger: &SqliteLedger, lease: &Lease) -> Result<Turn, LedgerError> {
    let mut tx = ledger.begin().await?;
    let held = sqlx::query(HELD)
        .bind(&lease.name)
        .bind(lease.token)
        .bind(lease.owner.to_string())
        .fetch_optional(&mut *tx)
        .await
        .map_err(unavailable)?;
    match held {
        Some(_) => Ok(tx),
        None => Err(LedgerError::LeaseLost { name: lease.name.clone() }),
    }
}
