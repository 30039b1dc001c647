//! Leases on PostgreSQL: one holder at a time, and a token that every write checks (U5).

use sqlx::{Postgres, Transaction};
use uuid::Uuid;

use super::rows::{column, signed};
use super::{Failure, PostgresLedger, now_ms};
use crate::{Lease, LedgerError};

const TAKE: &str = concat!(
    "insert into leases as l (name, owner, token, until_ms) values ($1, $2, 1, ",
    now_ms!(),
    " + $3) on conflict (name) do update set ",
    "token = case when l.owner = $2 then l.token else l.token + 1 end, owner = $2, until_ms = ",
    now_ms!(),
    " + $3 where l.owner = $2 or l.until_ms <= ",
    now_ms!(),
    " returning l.token"
);

/// The row stays locked until the write is committed: nobody takes the lease over in between.
const HELD: &str = concat!(
    "select 1 from leases where name = $1 and token = $2 and owner = $3 and until_ms > ",
    now_ms!(),
    " for no key update"
);

const GIVE_UP: &str =
    "update leases set until_ms = 0 where name = $1 and owner = $2 and token = $3";

pub(super) async fn take(
    ledger: &PostgresLedger,
    name: &str,
    owner: Uuid,
    ttl_ms: u64,
) -> Result<Option<Lease>, Failure> {
    let mut tx = ledger.begin().await?;
    let row = sqlx::query(TAKE)
        .bind(name)
        .bind(owner.to_string())
        .bind(signed(ttl_ms))
        .fetch_optional(&mut *tx)
        .await?;
    let Some(row) = row else { return Ok(None) };
    let token = column(&row, "token")?;
    tx.commit().await?;
    Ok(Some(Lease { name: name.to_owned(), owner, token }))
}

pub(super) async fn give_up(ledger: &PostgresLedger, lease: &Lease) -> Result<(), Failure> {
    let mut tx = ledger.begin().await?;
    sqlx::query(GIVE_UP)
        .bind(&lease.name)
        .bind(lease.owner.to_string())
        .bind(lease.token)
        .execute(&mut *tx)
        .await?;
    Ok(tx.commit().await?)
}

/// Begins a write that only the holder of `lease` may make.
pub(super) async fn begin(
    ledger: &PostgresLedger,
    lease: &Lease,
) -> Result<Transaction<'static, Postgres>, Failure> {
    let mut tx = ledger.begin().await?;
    let held = sqlx::query(HELD)
        .bind(&lease.name)
        .bind(lease.token)
        .bind(lease.owner.to_string())
        .fetch_optional(&mut *tx)
        .await?;
    match held {
        Some(_) => Ok(tx),
        None => Err(LedgerError::LeaseLost { name: lease.name.clone() }.into()),
    }
}
