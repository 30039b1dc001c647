//! Settlements as PostgreSQL returns them: one statement reads a whole settlement, with its
//! transactions, its proof and the slot it lives in, as of one moment.

use faregate_protocol::{Amount, PaymentKey, PaymentRequest};
use sqlx::postgres::PgRow;

use super::PostgresLedger;
use super::rows::{bytes32, column, unsigned, uuid};
use crate::sealing::Sealed;
use crate::{EvidenceRow, LedgerError, NewSettlement, Settlement, SettlementState};

/// The beginning of every statement that [`read`] understands.
macro_rules! select {
    ($rest:expr) => {
        concat!(
            "select s.*, s.wanted_until_ms > ",
            $crate::postgres::now_ms!(),
            " as wanted, ",
            $crate::postgres::now_ms!(),
            " as read_at_ms, exists (select 1 from slot_items i join nonce_slots n ",
            "using (network, signer, nonce) where i.payment_key = s.payment_key and i.live ",
            "and n.state <> 2) as in_open_slot, array(select a.transaction_hash from attempts a ",
            "join slot_items i using (network, signer, nonce) ",
            "where i.payment_key = s.payment_key order by a.made_order) as transactions, ",
            "(select count(distinct (a.signer, a.nonce)) from attempts a ",
            "join slot_items i using (network, signer, nonce) ",
            "where i.payment_key = s.payment_key) as nonces, ",
            "e.transaction_hash as proof, e.log_index, e.block_number, e.block_hash, e.gas_used ",
            "from settlements s left join evidence e on e.payment_key = s.payment_key ",
            $rest
        )
    };
}
pub(super) use select;

pub(super) fn read(ledger: &PostgresLedger, row: &PgRow) -> Result<Settlement, LedgerError> {
    let key = PaymentKey(bytes32(row, "payment_key")?);
    let state: i64 = column(row, "state")?;
    let reported: Option<String> = column(row, "success_reported_to")?;
    Ok(Settlement {
        new: NewSettlement {
            key,
            settle_id: uuid(row, "settle_id")?,
            caller_has_key: column(row, "caller_has_key")?,
            requirements_hash: bytes32(row, "requirements_hash")?,
            payload_hash: bytes32(row, "payload_hash")?,
            request: request(ledger, row, &key)?,
            network: column(row, "network")?,
            payer: column(row, "payer")?,
            pay_to: column(row, "pay_to")?,
            asset: column(row, "asset")?,
            amount: Amount::from_be_bytes(bytes32(row, "amount")?),
            valid_before: unsigned(row, "valid_before")?,
            head_at_claim: unsigned(row, "head_at_claim")?,
        },
        state: SettlementState::from_number(state).ok_or(LedgerError::Corrupt { what: "state" })?,
        version: column(row, "version")?,
        success_reported_to: reported
            .map(|text| text.parse())
            .transpose()
            .map_err(|_| LedgerError::Corrupt { what: "success_reported_to" })?,
        tries: column(row, "tries")?,
        wanted: column(row, "wanted")?,
        looks: u32::try_from(unsigned(row, "looks")?).unwrap_or(u32::MAX),
        in_open_slot: column(row, "in_open_slot")?,
        transactions: column(row, "transactions")?,
        nonces: usize::try_from(unsigned(row, "nonces")?).unwrap_or(usize::MAX),
        evidence: evidence(row)?,
        reserved_unix_ms: column(row, "created_at_ms")?,
        updated_unix_ms: column(row, "updated_at_ms")?,
        read_unix_ms: column(row, "read_at_ms")?,
    })
}

/// What can be read of them: one row that cannot must not hide the others.
pub(super) fn read_all(ledger: &PostgresLedger, rows: &[PgRow]) -> Vec<Settlement> {
    let read = |row| {
        read(ledger, row)
            .inspect_err(|error| tracing::error!(%error, "a settlement is skipped"))
            .ok()
    };
    rows.iter().filter_map(read).collect()
}

fn request(
    ledger: &PostgresLedger,
    row: &PgRow,
    key: &PaymentKey,
) -> Result<PaymentRequest, LedgerError> {
    let sealed: &[u8] = column(row, "request")?;
    let request = ledger.sealer.open(Sealed::Request, &key.0, sealed)?;
    serde_json::from_slice(&request).map_err(|_| LedgerError::Corrupt { what: "request" })
}

fn evidence(row: &PgRow) -> Result<Option<EvidenceRow>, LedgerError> {
    let Some(transaction) = column(row, "proof")? else { return Ok(None) };
    Ok(Some(EvidenceRow {
        transaction,
        log_index: unsigned(row, "log_index")?,
        block_number: unsigned(row, "block_number")?,
        block_hash: column(row, "block_hash")?,
        gas_used: unsigned(row, "gas_used")?,
    }))
}
