//! What people read, on PostgreSQL.

use async_trait::async_trait;
use faregate_protocol::{Amount, PaymentKey};
use sqlx::postgres::PgRow;

use super::rows::{bytes32, column, unsigned};
use super::{PostgresLedger, unavailable};
use crate::records::statements::{self, payment_rows};
use crate::records::{PaymentFilter, PaymentName, PaymentRecords, PaymentSummary, SentTransaction};
use crate::{ClaimState, LedgerError, SettlementState, SlotKind, SlotState};

payment_rows!(PgRow, i32);

#[async_trait]
impl PaymentRecords for PostgresLedger {
    async fn list_payments(
        &self,
        filter: &PaymentFilter,
        limit: u32,
    ) -> Result<Vec<PaymentSummary>, LedgerError> {
        let (claims, settlements) = filter.masks();
        let query = sqlx::query(statements::LIST).bind(claims).bind(settlements);
        let query = query.bind(&filter.network).bind(&filter.payer).bind(&filter.pay_to);
        let rows = query.bind(i64::from(limit)).fetch_all(&self.pool).await;
        rows.map_err(unavailable)?.iter().map(summary).collect()
    }

    async fn find_payments(
        &self,
        name: &PaymentName,
        limit: u32,
    ) -> Result<Vec<PaymentKey>, LedgerError> {
        let (low, high) = name.range();
        let query = sqlx::query(statements::FIND).bind(low.as_slice());
        let query = query.bind(high.as_slice()).bind(name.transaction());
        let rows = query.bind(i64::from(limit)).fetch_all(&self.pool).await;
        let rows = rows.map_err(unavailable)?;
        rows.iter().map(|row| Ok(PaymentKey(bytes32(row, "payment_key")?))).collect()
    }

    async fn sent_transactions(
        &self,
        key: &PaymentKey,
    ) -> Result<Vec<SentTransaction>, LedgerError> {
        let query = sqlx::query(statements::SENT).bind(key.0.as_slice());
        let rows = query.fetch_all(&self.pool).await.map_err(unavailable)?;
        rows.iter().map(sent).collect()
    }
}
