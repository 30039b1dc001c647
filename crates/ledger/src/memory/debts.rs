//! Debts in memory.

use std::cmp::Reverse;

use async_trait::async_trait;
use faregate_protocol::PaymentKey;

use super::MemoryLedger;
use super::rows::{DebtRow, Rows};
use crate::LedgerError;
use crate::debts::{Debt, DebtFilter, DebtRecords, Debtor, OpenDebts, add_up, closing};

#[async_trait]
impl DebtRecords for MemoryLedger {
    async fn list_debts(&self, filter: &DebtFilter, limit: u32) -> Result<Vec<Debt>, LedgerError> {
        let (rows, _) = self.open();
        let mut found: Vec<_> =
            rows.debts.iter().filter_map(|(key, row)| rows.debt(key, row)).collect();
        found.retain(|debt| {
            (filter.closed_too || debt.closed_unix_ms.is_none())
                && filter.debtor.is_none_or(|debtor| debtor == debt.debtor)
                && filter.payer.as_ref().is_none_or(|p| p.eq_ignore_ascii_case(&debt.payer))
        });
        found.sort_by_key(|debt| (Reverse(debt.opened_unix_ms), debt.key));
        found.truncate(usize::try_from(limit).unwrap_or(usize::MAX));
        Ok(found)
    }

    async fn find_debt(&self, key: &PaymentKey) -> Result<Option<Debt>, LedgerError> {
        let (rows, _) = self.open();
        Ok(rows.debts.get(key).and_then(|row| rows.debt(key, row)))
    }

    async fn close_debt(&self, key: &PaymentKey, note: &str) -> Result<bool, LedgerError> {
        let (mut rows, now) = self.open();
        let debt = rows.debts.get_mut(key).filter(|debt| debt.closed_at_ms.is_none());
        let Some(debt) = debt else { return Ok(false) };
        debt.closed_at_ms = Some(now);
        let (who, states, evidence) = closing(note);
        rows.note(now, who, key, states, &evidence);
        Ok(true)
    }

    async fn open_debts(&self) -> Result<Vec<OpenDebts>, LedgerError> {
        let (rows, _) = self.open();
        let open = rows.debts.iter().filter(|(_, row)| row.closed_at_ms.is_none());
        let open: Vec<_> = open.filter_map(|(key, row)| rows.debt(key, row)).collect();
        Ok(add_up(&open))
    }
}

impl Rows {
    pub(super) fn open_debt(&mut self, now: i64, key: &PaymentKey, debtor: Debtor, reason: String) {
        let new = DebtRow { debtor, reason: reason.clone(), opened_at_ms: now, closed_at_ms: None };
        self.debts.entry(*key).or_insert(new).reason = reason;
    }

    fn debt(&self, key: &PaymentKey, row: &DebtRow) -> Option<Debt> {
        let claim = &self.claims.get(key)?.new;
        Some(Debt {
            key: *key,
            debtor: row.debtor,
            reason: row.reason.clone(),
            network: claim.network.clone(),
            payer: claim.payer.clone(),
            pay_to: claim.pay_to.clone(),
            asset: claim.asset.clone(),
            amount: claim.amount,
            opened_unix_ms: row.opened_at_ms,
            closed_unix_ms: row.closed_at_ms,
        })
    }
}
