//! Debts on PostgreSQL.

use async_trait::async_trait;
use faregate_protocol::{Amount, PaymentKey};
use sqlx::postgres::PgRow;
use sqlx::{Postgres, Transaction};

use super::rows::{bytes32, column, text};
use super::{Failure, PostgresLedger, journal, now_ms, unavailable};
use crate::LedgerError;
use crate::debts::statements::{self, debt_rows};
use crate::debts::{Debt, DebtFilter, DebtRecords, Debtor, OpenDebts, add_up, closing};

const OPEN: &str = concat!(
    "insert into debts (payment_key, debtor, reason, payer, opened_at_ms) ",
    "select payment_key, $1, $2, lower(payer), ",
    now_ms!(),
    " from claims where payment_key = $3 ",
    "on conflict (payment_key) do update set reason = excluded.reason"
);

const CLOSE: &str = concat!(
    "update debts set closed_at_ms = ",
    now_ms!(),
    " where payment_key = $1 and closed_at_ms is null"
);

debt_rows!(PgRow);

#[async_trait]
impl DebtRecords for PostgresLedger {
    async fn list_debts(&self, filter: &DebtFilter, limit: u32) -> Result<Vec<Debt>, LedgerError> {
        let query = sqlx::query(statements::LIST).bind(i64::from(filter.closed_too));
        let query = query.bind(filter.debtor.map(Debtor::number)).bind(&filter.payer);
        let rows = query.bind(i64::from(limit)).fetch_all(&self.pool).await;
        rows.map_err(unavailable)?.iter().map(debt).collect()
    }

    async fn find_debt(&self, key: &PaymentKey) -> Result<Option<Debt>, LedgerError> {
        let query = sqlx::query(statements::FIND).bind(key.0.as_slice());
        let row = query.fetch_optional(&self.pool).await.map_err(unavailable)?;
        row.as_ref().map(debt).transpose()
    }

    async fn close_debt(&self, key: &PaymentKey, note: &str) -> Result<bool, LedgerError> {
        close_for_operator(self, key, note).await
    }

    async fn open_debts(&self) -> Result<Vec<OpenDebts>, LedgerError> {
        let rows = sqlx::query(statements::OPEN).fetch_all(&self.pool).await;
        let open: Result<Vec<_>, _> = rows.map_err(unavailable)?.iter().map(debt).collect();
        Ok(add_up(&open?))
    }
}

/// The debt of a claim, in the transaction that makes it.
pub(super) async fn open(
    tx: &mut Transaction<'static, Postgres>,
    key: &PaymentKey,
    debtor: Debtor,
    reason: &str,
) -> Result<(), Failure> {
    let query = sqlx::query(OPEN).bind(debtor.number()).bind(text(reason));
    query.bind(key.0.as_slice()).execute(&mut **tx).await?;
    Ok(())
}

/// `false`: it is not open.
pub(super) async fn close(
    tx: &mut Transaction<'static, Postgres>,
    key: &PaymentKey,
) -> Result<bool, Failure> {
    let done = sqlx::query(CLOSE).bind(key.0.as_slice()).execute(&mut **tx).await?;
    Ok(done.rows_affected() == 1)
}

async fn close_for_operator(
    ledger: &PostgresLedger,
    key: &PaymentKey,
    note: &str,
) -> Result<bool, LedgerError> {
    let close = || async {
        let mut tx = ledger.begin().await?;
        if !close(&mut tx, key).await? {
            return Ok(false);
        }
        let (who, states, evidence) = closing(note);
        journal(&mut tx, who, key, states, &evidence).await?;
        tx.commit().await?;
        Ok(true)
    };
    ledger.retried(close).await
}
