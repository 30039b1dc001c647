//! Settlements as SQLite returns them, with their transactions and their proof.

use std::collections::HashSet;

use faregate_protocol::{Amount, PaymentKey, PaymentRequest};
use rusqlite::{Connection, Row, params};

use super::statements::{all, blob, bytes32, column, one, unsigned, uuid};
use crate::sealing::{Sealed, Sealer};
use crate::{EvidenceRow, LedgerError, NewSettlement, Settlement, SettlementState};

const TRANSACTIONS: &str = concat!(
    "select a.transaction_hash, a.signer, a.nonce from attempts a join slot_items i using (network, signer, nonce) ",
    "where i.payment_key = ? order by a.made_order"
);

pub(super) fn read(
    sealer: &Sealer,
    on: &Connection,
    row: &Row<'_>,
) -> Result<Settlement, LedgerError> {
    let key = PaymentKey(bytes32(row, "payment_key")?);
    let request = sealer.open(Sealed::Request, &key.0, blob(row, "request")?)?;
    let request: PaymentRequest =
        serde_json::from_slice(&request).map_err(|_| LedgerError::Corrupt { what: "request" })?;
    let state: i64 = column(row, "state")?;
    let (transactions, nonces) = transactions(on, &key)?;
    let truth = |name: &'static str| column::<i64>(row, name).map(|number| number != 0);
    let reported: Option<String> = column(row, "success_reported_to")?;
    Ok(Settlement {
        new: NewSettlement {
            key,
            settle_id: uuid(row, "settle_id")?,
            caller_has_key: truth("caller_has_key")?,
            requirements_hash: bytes32(row, "requirements_hash")?,
            payload_hash: bytes32(row, "payload_hash")?,
            request,
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
        wanted: truth("wanted")?,
        looks: u32::try_from(unsigned(row, "looks")?).unwrap_or(u32::MAX),
        in_open_slot: truth("in_open_slot")?,
        transactions,
        nonces,
        evidence: evidence(on, &key)?,
        reserved_unix_ms: column(row, "created_at_ms")?,
        updated_unix_ms: column(row, "updated_at_ms")?,
        read_unix_ms: column(row, "read_at_ms")?,
    })
}

/// The transactions, oldest first, and for how many nonces they were signed.
fn transactions(on: &Connection, key: &PaymentKey) -> Result<(Vec<String>, usize), LedgerError> {
    let mut nonces: HashSet<(String, i64)> = HashSet::new();
    let transactions = all(on, TRANSACTIONS, params![key.0.as_slice()], |row| {
        nonces.insert((column(row, "signer")?, column(row, "nonce")?));
        column(row, "transaction_hash")
    })?;
    Ok((transactions, nonces.len()))
}

fn evidence(on: &Connection, key: &PaymentKey) -> Result<Option<EvidenceRow>, LedgerError> {
    const OF_ONE: &str = "select * from evidence where payment_key = ?";
    one(on, OF_ONE, params![key.0.as_slice()], |row| {
        Ok(EvidenceRow {
            transaction: column(row, "transaction_hash")?,
            log_index: unsigned(row, "log_index")?,
            block_number: unsigned(row, "block_number")?,
            block_hash: column(row, "block_hash")?,
            gas_used: unsigned(row, "gas_used")?,
        })
    })
}
