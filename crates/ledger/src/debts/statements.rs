//! The same statements and the same reading of rows for both databases.

/// Closed ones too or not (0, 1), debtor or nothing, payer or nothing, limit.
pub(crate) const LIST: &str = "\
    select d.payment_key, d.debtor, d.reason, d.opened_at_ms, d.closed_at_ms, c.network, c.payer, \
    c.pay_to, c.asset, c.amount from debts d join claims c using (payment_key) \
    where ($1 = 1 or d.closed_at_ms is null) and ($2 is null or d.debtor = $2) \
    and ($3 is null or d.payer = lower($3)) \
    order by d.opened_at_ms desc, d.payment_key limit $4";

/// Payment key.
pub(crate) const FIND: &str = "\
    select d.payment_key, d.debtor, d.reason, d.opened_at_ms, d.closed_at_ms, c.network, c.payer, \
    c.pay_to, c.asset, c.amount from debts d join claims c using (payment_key) \
    where d.payment_key = $1";

/// What is added up.
pub(crate) const OPEN: &str = "\
    select d.payment_key, d.debtor, d.reason, d.opened_at_ms, d.closed_at_ms, c.network, c.payer, \
    c.pay_to, c.asset, c.amount from debts d join claims c using (payment_key) \
    where d.closed_at_ms is null";

/// Implements [`DebtRecords`](crate::DebtRecords) for a ledger whose `pool` field and row type are
/// named; the columns are read by the `column` and `bytes32` of the module.
macro_rules! debt_records {
    ($ledger:ident, $pool:ident, $row:ty) => {
        #[async_trait]
        impl DebtRecords for $ledger {
            async fn list_debts(
                &self,
                filter: &DebtFilter,
                limit: u32,
            ) -> Result<Vec<Debt>, LedgerError> {
                let query = sqlx::query(statements::LIST).bind(i64::from(filter.closed_too));
                let query = query.bind(filter.debtor.map(Debtor::number)).bind(&filter.payer);
                let rows = query.bind(i64::from(limit)).fetch_all(&self.$pool).await;
                rows.map_err(unavailable)?.iter().map(debt).collect()
            }

            async fn find_debt(&self, key: &PaymentKey) -> Result<Option<Debt>, LedgerError> {
                let query = sqlx::query(statements::FIND).bind(key.0.as_slice());
                let row = query.fetch_optional(&self.$pool).await.map_err(unavailable)?;
                row.as_ref().map(debt).transpose()
            }

            async fn close_debt(&self, key: &PaymentKey, note: &str) -> Result<bool, LedgerError> {
                close_for_operator(self, key, note).await
            }

            async fn open_debts(&self) -> Result<Vec<OpenDebts>, LedgerError> {
                let rows = sqlx::query(statements::OPEN).fetch_all(&self.$pool).await;
                let open: Result<Vec<_>, _> = rows.map_err(unavailable)?.iter().map(debt).collect();
                Ok(add_up(&open?))
            }
        }

        fn debt(row: &$row) -> Result<Debt, LedgerError> {
            Ok(Debt {
                key: PaymentKey(bytes32(row, "payment_key")?),
                debtor: Debtor::from_number(column(row, "debtor")?)
                    .ok_or(LedgerError::Corrupt { what: "debts.debtor" })?,
                reason: column(row, "reason")?,
                network: column(row, "network")?,
                payer: column(row, "payer")?,
                pay_to: column(row, "pay_to")?,
                asset: column(row, "asset")?,
                amount: Amount::from_be_bytes(bytes32(row, "amount")?),
                opened_unix_ms: column(row, "opened_at_ms")?,
                closed_unix_ms: column(row, "closed_at_ms")?,
            })
        }
    };
}
pub(crate) use debt_records;
