//! The books on PostgreSQL: sums of what is served and not settled. A sum is raised by one
//! statement that names the limit, so of any number of gates none reads a sum that another is
//! about to raise. Everybody's row is taken last and is held for the shortest time.

use faregate_protocol::{Amount, PaymentKey};
use sqlx::{Postgres, Transaction};

use super::rows::{bytes32, column, text};
use super::{Failure, now_ms};
use crate::{ExposureLimits, LedgerError, NotDeferred};

/// A limit that cannot hold the amount itself is seen before.
const RAISE: &str = "insert into exposures as e (network, asset, payer, unsettled) \
     values ($1, $2, $3, $4::text::numeric) on conflict (network, asset, payer) do update \
     set unsettled = e.unsettled + excluded.unsettled \
     where e.unsettled + excluded.unsettled <= $5::text::numeric";

const LOWER: &str = "update exposures set unsettled = unsettled - $4::text::numeric \
     where network = $1 and asset = $2 and payer = $3";

const OWES: &str = "select 1 from debts where payer = $1 and debtor = 1 and closed_at_ms is null";

const DROP: &str = "delete from deferrals where payment_key = $1 and state = 0 \
     returning network, asset, payer, amount";

const DUE: &str = concat!(
    "update deferrals set state = 1, due_ms = ",
    now_ms!(),
    ", updated_at_ms = ",
    now_ms!(),
    " where payment_key = $1 and state = 0"
);

/// Everybody's row.
const ALL: &str = "";

/// What one payment has on the books; payer and asset in lower case.
pub(super) struct Entry {
    pub(super) network: String,
    pub(super) asset: String,
    pub(super) payer: String,
    pub(super) amount: Amount,
}

impl Entry {
    /// Puts it on the books, if the limits have room for it.
    pub(super) async fn book(
        &self,
        tx: &mut Transaction<'static, Postgres>,
        limits: ExposureLimits,
    ) -> Result<Result<(), NotDeferred>, Failure> {
        if !self.raise(tx, &self.payer, limits.payer).await? {
            return Ok(Err(NotDeferred::PayerLimit));
        }
        // The payer's row is held now, and a debt is only made by who holds it.
        let owes = sqlx::query(OWES).bind(text(&self.payer)).fetch_optional(&mut **tx).await?;
        if owes.is_some() {
            return Ok(Err(NotDeferred::OpenDebt));
        }
        if !self.raise(tx, ALL, limits.total).await? {
            return Ok(Err(NotDeferred::TotalLimit));
        }
        Ok(Ok(()))
    }

    /// Takes it off the books.
    pub(super) async fn unbook(
        &self,
        tx: &mut Transaction<'static, Postgres>,
    ) -> Result<(), Failure> {
        for payer in [self.payer.as_str(), ALL] {
            let query = sqlx::query(LOWER).bind(text(&self.network)).bind(text(&self.asset));
            let query = query.bind(text(payer)).bind(self.amount.to_string());
            if query.execute(&mut **tx).await?.rows_affected() != 1 {
                return Err(LedgerError::Corrupt { what: "exposures.unsettled" }.into());
            }
        }
        Ok(())
    }

    async fn raise(
        &self,
        tx: &mut Transaction<'static, Postgres>,
        payer: &str,
        limit: Amount,
    ) -> Result<bool, Failure> {
        if self.amount > limit {
            return Ok(false);
        }
        let query = sqlx::query(RAISE).bind(text(&self.network)).bind(text(&self.asset));
        let query = query.bind(text(payer)).bind(self.amount.to_string()).bind(limit.to_string());
        Ok(query.execute(&mut **tx).await?.rows_affected() == 1)
    }
}

/// Takes a payment off the books that was not served, and out of the queue. Nothing, if it is not
/// there.
pub(super) async fn forget_waiting(
    tx: &mut Transaction<'static, Postgres>,
    key: &PaymentKey,
) -> Result<(), Failure> {
    let row = sqlx::query(DROP).bind(key.0.as_slice()).fetch_optional(&mut **tx).await?;
    let Some(row) = row else { return Ok(()) };
    let entry = Entry {
        network: column(&row, "network")?,
        asset: column(&row, "asset")?,
        payer: column(&row, "payer")?,
        amount: Amount::from_be_bytes(bytes32(&row, "amount")?),
    };
    entry.unbook(tx).await
}

/// The granted row becomes due. `false`: it is not waiting.
pub(super) async fn make_due(
    tx: &mut Transaction<'static, Postgres>,
    key: &PaymentKey,
) -> Result<bool, Failure> {
    let done = sqlx::query(DUE).bind(key.0.as_slice()).execute(&mut **tx).await?;
    Ok(done.rows_affected() == 1)
}
