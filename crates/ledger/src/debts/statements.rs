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

/// Reads the rows of a database whose row type is named; the columns are read by the `column` and
/// `bytes32` of the module.
macro_rules! debt_rows {
    ($row:ty) => {
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
pub(crate) use debt_rows;
