//! The same statements and the same reading of rows for both databases. Statements keep to the SQL
//! that SQLite and PostgreSQL share.

/// Two sets of states as bits, network, payer, payee, limit.
pub(crate) const LIST: &str = "\
    select coalesce(s.payment_key, c.payment_key) as payment_key, \
    c.state as claim_state, s.state as settlement_state, \
    coalesce(s.network, c.network) as network, coalesce(s.payer, c.payer) as payer, \
    coalesce(s.pay_to, c.pay_to) as pay_to, coalesce(s.asset, c.asset) as asset, \
    coalesce(s.amount, c.amount) as amount, \
    case when c.updated_at_ms is null or s.updated_at_ms > c.updated_at_ms \
    then s.updated_at_ms else c.updated_at_ms end as moved_at_ms, \
    coalesce((select e.transaction_hash from evidence e where e.payment_key = s.payment_key), \
    nullif(c.transaction_hash, ''), (select a.transaction_hash from attempts a \
    join slot_items i using (network, signer, nonce) where i.payment_key = s.payment_key \
    order by a.made_order desc limit 1), '') as transaction_hash \
    from claims c full outer join settlements s on s.payment_key = c.payment_key \
    where (($1 = 0 and $2 = 0) or ($1 >> cast(c.state as integer)) & 1 = 1 \
    or ($2 >> cast(s.state as integer)) & 1 = 1) \
    and ($3 is null or coalesce(s.network, c.network) = $3) \
    and ($4 is null or lower(coalesce(s.payer, c.payer)) = lower($4)) \
    and ($5 is null or lower(coalesce(s.pay_to, c.pay_to)) = lower($5)) \
    order by moved_at_ms desc, payment_key limit $6";

/// Lowest key, highest key, transaction or nothing, limit.
pub(crate) const FIND: &str = "\
    select payment_key from claims where payment_key between $1 and $2 \
    union select payment_key from settlements where payment_key between $1 and $2 \
    union select i.payment_key from attempts a join slot_items i using (network, signer, nonce) \
    where a.transaction_hash = $3 \
    union select payment_key from evidence where transaction_hash = $3 \
    union select payment_key from claims where $3 <> '' and transaction_hash = $3 \
    order by payment_key limit $4";

/// Payment key.
pub(crate) const SENT: &str = "\
    select a.transaction_hash, a.network, a.signer, a.nonce, a.max_fee_wei, a.tip_wei, \
    a.created_at_ms, n.kind, n.state, case when i.live then 1 else 0 end as lives \
    from attempts a join slot_items i using (network, signer, nonce) \
    join nonce_slots n using (network, signer, nonce) \
    where i.payment_key = $1 order by a.made_order";

/// Reads the rows of a database whose row type is named; the columns are read by the `column`,
/// `bytes32` and `unsigned` of the module.
macro_rules! payment_rows {
    ($row:ty, $small:ty) => {
        fn summary(row: &$row) -> Result<PaymentSummary, LedgerError> {
            let corrupt = |what| LedgerError::Corrupt { what };
            let claim: Option<i64> = column(row, "claim_state")?;
            let settlement: Option<i64> = column(row, "settlement_state")?;
            let state = |number| ClaimState::from_number(number).ok_or(corrupt("claims.state"));
            let claim = claim.map(state).transpose()?;
            let state =
                |number| SettlementState::from_number(number).ok_or(corrupt("settlements.state"));
            let settlement = settlement.map(state).transpose()?;
            Ok(PaymentSummary {
                key: PaymentKey(bytes32(row, "payment_key")?),
                claim,
                settlement,
                network: column(row, "network")?,
                payer: column(row, "payer")?,
                pay_to: column(row, "pay_to")?,
                asset: column(row, "asset")?,
                amount: Amount::from_be_bytes(bytes32(row, "amount")?),
                transaction: column(row, "transaction_hash")?,
                updated_unix_ms: column(row, "moved_at_ms")?,
            })
        }

        fn sent(row: &$row) -> Result<SentTransaction, LedgerError> {
            let corrupt = |what| LedgerError::Corrupt { what };
            let wei = |name: &'static str| {
                let text: String = column(row, name)?;
                text.parse::<u128>().map_err(|_| corrupt(name))
            };
            let lives: $small = column(row, "lives")?;
            Ok(SentTransaction {
                transaction: column(row, "transaction_hash")?,
                network: column(row, "network")?,
                signer: column(row, "signer")?,
                nonce: unsigned(row, "nonce")?,
                kind: SlotKind::from_number(column(row, "kind")?)
                    .ok_or(corrupt("nonce_slots.kind"))?,
                slot: SlotState::from_number(column(row, "state")?)
                    .ok_or(corrupt("nonce_slots.state"))?,
                live: lives != 0,
                max_fee_wei: wei("max_fee_wei")?,
                tip_wei: wei("tip_wei")?,
                signed_unix_ms: column(row, "created_at_ms")?,
            })
        }
    };
}
pub(crate) use payment_rows;
