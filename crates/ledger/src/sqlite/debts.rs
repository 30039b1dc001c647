//! Debts on SQLite.

use async_trait::async_trait;
use faregate_protocol::{Amount, PaymentKey};
use rusqlite::{Connection, Row, params};

use super::SqliteLedger;
use super::asking::Turn;
use super::statements::{all, bytes32, column, journal, now_ms, one, run};
use crate::LedgerError;
use crate::debts::statements::{self, debt_rows};
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

debt_rows!(Row<'_>);

#[async_trait]
impl DebtRecords for SqliteLedger {
    async fn list_debts(&self, filter: &DebtFilter, limit: u32) -> Result<Vec<Debt>, LedgerError> {
        let filter = filter.clone();
        self.read(move |on| {
            let debtor = filter.debtor.map(Debtor::number);
            let values = params![filter.closed_too, debtor, filter.payer, limit];
            all(on, statements::LIST, values, debt)
        })
        .await
    }

    async fn find_debt(&self, key: &PaymentKey) -> Result<Option<Debt>, LedgerError> {
        let key = *key;
        self.read(move |on| one(on, statements::FIND, params![key.0.as_slice()], debt)).await
    }

    async fn close_debt(&self, key: &PaymentKey, note: &str) -> Result<bool, LedgerError> {
        let (key, note) = (*key, note.to_owned());
        self.write(move |tx| {
            if !close(tx, &key)? {
                return Ok(Turn::TakenBack(false));
            }
            let ((actor, subject), states, evidence) = closing(&note);
            journal(tx, actor, subject, &key, states, &evidence)?;
            Ok(Turn::Kept(true))
        })
        .await
    }

    async fn open_debts(&self) -> Result<Vec<OpenDebts>, LedgerError> {
        self.read(|on| all(on, statements::OPEN, (), debt).map(|open| add_up(&open))).await
    }
}

/// The debt of a claim, in the turn that makes it.
pub(super) fn open(
    tx: &Connection,
    key: &PaymentKey,
    debtor: Debtor,
    reason: &str,
) -> Result<(), LedgerError> {
    run(tx, OPEN, params![debtor.number(), reason, key.0.as_slice()]).map(|_| ())
}

/// `false`: it is not open.
pub(super) fn close(tx: &Connection, key: &PaymentKey) -> Result<bool, LedgerError> {
    Ok(run(tx, CLOSE, params![key.0.as_slice()])? == 1)
}
