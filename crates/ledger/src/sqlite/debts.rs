//! Debts on SQLite.

use async_trait::async_trait;
use faregate_protocol::{Amount, PaymentKey};
use sqlx::sqlite::SqliteRow;

use super::{SqliteLedger, Turn, bytes32, column, journal, now_ms, unavailable};
use crate::LedgerError;
use crate::debts::statements::{self, debt_records};
use crate::debts::{Debt, DebtFilter, DebtRecords, Debtor, OpenDebts, add_up, closing};

const OPEN: &str = concat!(
    "insert into debts (payment_key, debtor, reason, payer, opened_at_ms) ",
    "select payment_key, ?, ?, lower(payer), ",
    now_ms!(),
    " from claims where payment_key = ? on conflict (payment_key) do update set reason = excluded.reason"
);

const CLOSE: &str = concat!(
    "update debts set closed_at_ms = ",
    now_ms!(),
    " where payment_key = ? and closed_at_ms is null"
);

debt_records!(SqliteLedger, reader, SqliteRow);

/// The debt of a claim, in the transaction that makes it.
pub(super) async fn open(
    tx: &mut Turn,
    key: &PaymentKey,
    debtor: Debtor,
    reason: &str,
) -> Result<(), LedgerError> {
    let query = sqlx::query(OPEN).bind(debtor.number()).bind(reason).bind(key.0.as_slice());
    query.execute(&mut **tx).await.map(|_| ()).map_err(unavailable)
}

/// `false`: it is not open.
pub(super) async fn close(tx: &mut Turn, key: &PaymentKey) -> Result<bool, LedgerError> {
    let done = sqlx::query(CLOSE).bind(key.0.as_slice()).execute(&mut **tx).await;
    Ok(done.map_err(unavailable)?.rows_affected() == 1)
}

async fn close_for_operator(
    ledger: &SqliteLedger,
    key: &PaymentKey,
    note: &str,
) -> Result<bool, LedgerError> {
    let mut tx = ledger.begin().await?;
    if !close(&mut tx, key).await? {
        return Ok(false);
    }
    let ((actor, subject), states, evidence) = closing(note);
    journal(&mut tx, actor, subject, key, states, &evidence).await?;
    tx.commit().await.map_err(unavailable)?;
    Ok(true)
}
