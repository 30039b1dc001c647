//! What people read, on SQLite.

use async_trait::async_trait;
use faregate_protocol::{Amount, PaymentKey};
use rusqlite::{Row, params};

use super::SqliteLedger;
use super::statements::{all, bytes32, column, unsigned};
use crate::records::statements::{self, payment_rows};
use crate::records::{PaymentFilter, PaymentName, PaymentRecords, PaymentSummary, SentTransaction};
use crate::{ClaimState, LedgerError, SettlementState, SlotKind, SlotState};

payment_rows!(Row<'_>, i64);

#[async_trait]
impl PaymentRecords for SqliteLedger {
    async fn list_payments(
        &self,
        filter: &PaymentFilter,
        limit: u32,
    ) -> Result<Vec<PaymentSummary>, LedgerError> {
        let (claims, settlements) = filter.masks();
        let PaymentFilter { network, payer, pay_to, .. } = filter.clone();
        self.read(move |on| {
            let values = params![claims, settlements, network, payer, pay_to, limit];
            all(on, statements::LIST, values, summary)
        })
        .await
    }

    async fn find_payments(
        &self,
        name: &PaymentName,
        limit: u32,
    ) -> Result<Vec<PaymentKey>, LedgerError> {
        let name = name.clone();
        self.read(move |on| {
            let (low, high) = name.range();
            let values = params![low.as_slice(), high.as_slice(), name.transaction(), limit];
            all(on, statements::FIND, values, |row| bytes32(row, "payment_key").map(PaymentKey))
        })
        .await
    }

    async fn sent_transactions(
        &self,
        key: &PaymentKey,
    ) -> Result<Vec<SentTransaction>, LedgerError> {
        let key = *key;
        self.read(move |on| all(on, statements::SENT, params![key.0.as_slice()], sent)).await
    }
}
