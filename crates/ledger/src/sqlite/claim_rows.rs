//! Rows of claims as our types, and back.

use faregate_protocol::{Amount, PaymentKey};
use rusqlite::{Connection, Row, params};

use super::statements::{bytes32, column, now_ms, run, signed, unsigned, uuid};
use crate::{Claim, ClaimState, DeferralState, Hold, LedgerError, NewClaim};

const INSERT: &str = concat!(
    "insert into claims (payment_key, settle_id, facilitator, request_fp, requirements_hash, ",
    "payload_hash, route, network, payer, pay_to, asset, amount, valid_before, state, ",
    "lease_until_ms, created_at_ms, updated_at_ms) ",
    "values (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, 0, ",
    now_ms!(),
    " + ?, ",
    now_ms!(),
    ", ",
    now_ms!(),
    ") on conflict (payment_key) do nothing"
);

pub(super) fn insert(tx: &Connection, new: &NewClaim, lease_ms: u64) -> Result<bool, LedgerError> {
    let amount = new.amount.to_be_bytes();
    let values = params![
        new.key.0.as_slice(),
        new.settle_id.to_string(),
        new.facilitator,
        new.request_fp.as_slice(),
        new.requirements_hash.as_slice(),
        new.payload_hash.as_slice(),
        new.route,
        new.network,
        new.payer,
        new.pay_to,
        new.asset,
        amount.as_slice(),
        signed(new.valid_before),
        signed(lease_ms),
    ];
    Ok(run(tx, INSERT, values)? == 1)
}

pub(super) fn hold(row: &Row<'_>, key: PaymentKey) -> Result<Hold, LedgerError> {
    Ok(Hold {
        key,
        token: column(row, "lease_token")?,
        epoch: column(row, "epoch")?,
        settle_id: uuid(row, "settle_id")?,
    })
}

pub(super) fn read(row: &Row<'_>) -> Result<Claim, LedgerError> {
    let state: i64 = column(row, "state")?;
    Ok(Claim {
        new: NewClaim {
            key: PaymentKey(bytes32(row, "payment_key")?),
            settle_id: uuid(row, "settle_id")?,
            facilitator: column(row, "facilitator")?,
            request_fp: bytes32(row, "request_fp")?,
            requirements_hash: bytes32(row, "requirements_hash")?,
            payload_hash: bytes32(row, "payload_hash")?,
            route: column(row, "route")?,
            network: column(row, "network")?,
            payer: column(row, "payer")?,
            pay_to: column(row, "pay_to")?,
            asset: column(row, "asset")?,
            amount: Amount::from_be_bytes(bytes32(row, "amount")?),
            valid_before: unsigned(row, "valid_before")?,
        },
        state: ClaimState::from_number(state).ok_or(LedgerError::Corrupt { what: "state" })?,
        token: column(row, "lease_token")?,
        epoch: column(row, "epoch")?,
        held: column::<i64>(row, "held")? != 0,
        handler_started: column::<i64>(row, "handler_started")? != 0,
        transaction: column(row, "transaction_hash")?,
        deferral: column::<Option<i64>>(row, "deferral")?
            .map(|state| {
                let state = DeferralState::from_number(state);
                state.ok_or(LedgerError::Corrupt { what: "deferrals.state" })
            })
            .transpose()?,
    })
}
