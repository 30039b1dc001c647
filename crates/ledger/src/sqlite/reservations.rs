//! The row of a settlement on SQLite: how it comes to be, and the compare-and-set of its moves.

use faregate_protocol::PaymentKey;
use rusqlite::{Connection, params};
use serde_json::json;

use super::SqliteLedger;
use super::asking::Turn;
use super::settlements::SUBJECT;
use super::statements::{column, journal, now_ms, one, run, signed, unsigned};
use crate::sealing::Sealed;
use crate::{LedgerError, NewSettlement, Settlement, SettlementState};

const INSERT: &str = concat!(
    "insert into settlements (payment_key, settle_id, caller_has_key, requirements_hash, ",
    "payload_hash, request, network, payer, pay_to, asset, amount, valid_before, head_at_claim, ",
    "state, wanted_until_ms, next_look_ms, created_at_ms, updated_at_ms) ",
    "values (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, 0, ",
    now_ms!(),
    " + ?, ",
    now_ms!(),
    ", ",
    now_ms!(),
    ", ",
    now_ms!(),
    ") on conflict (payment_key) do nothing returning valid_before, head_at_claim, created_at_ms"
);

/// Bytes that may still be mined carry who lives in an open slot, so none of those is RESERVED again.
const MOVE: &str = concat!(
    "update settlements set state = ?1, version = version + 1, looks = 0, next_look_ms = ",
    now_ms!(),
    ", updated_at_ms = ",
    now_ms!(),
    " where payment_key = ?2 and state = ?3 and not (?1 = 0 and ?3 in (1, 2) and exists ",
    "(select 1 from slot_items i join nonce_slots n using (network, signer, nonce) ",
    "where i.payment_key = ?2 and i.live = 1 and n.state <> 2))"
);

/// The largest second whose milliseconds can be stored stands for never.
pub(super) const WANTED_TO_THE_END: &str = concat!(
    "update settlements set wanted_until_ms = min(valid_before, 9223372036854775) * 1000 ",
    "where payment_key = ?"
);

const FORGET_TRIES: &str = "update settlements set tries = 0 where payment_key = ?";

/// The compare-and-set of every move.
pub(super) fn step(
    tx: &Connection,
    key: &PaymentKey,
    from: SettlementState,
    to: SettlementState,
) -> Result<bool, LedgerError> {
    Ok(run(tx, MOVE, params![to.number(), key.0.as_slice(), from.number()])? == 1)
}

pub(super) fn seal(ledger: &SqliteLedger, new: &NewSettlement) -> Result<Vec<u8>, LedgerError> {
    let request = serde_json::to_vec(&new.request)
        .map_err(|_| LedgerError::Corrupt { what: "settlements.request" })?;
    ledger.sealer.seal(Sealed::Request, &new.key.0, &request)
}

/// The settlement as it is stored from now on; `None`: its key is taken.
pub(super) fn insert(
    tx: &Connection,
    new: &NewSettlement,
    request: &[u8],
    wait_ms: u64,
) -> Result<Option<Settlement>, LedgerError> {
    let amount = new.amount.to_be_bytes();
    let values = params![
        new.key.0.as_slice(),
        new.settle_id.to_string(),
        new.caller_has_key,
        new.requirements_hash.as_slice(),
        new.payload_hash.as_slice(),
        request,
        new.network,
        new.payer,
        new.pay_to,
        new.asset,
        amount.as_slice(),
        signed(new.valid_before),
        signed(new.head_at_claim),
        signed(wait_ms),
    ];
    one(tx, INSERT, values, |row| {
        let stored = NewSettlement {
            valid_before: unsigned(row, "valid_before")?,
            head_at_claim: unsigned(row, "head_at_claim")?,
            ..new.clone()
        };
        Ok(Settlement::reserved(stored, wait_ms, column(row, "created_at_ms")?))
    })
}

/// What an operator does with a payment that was set aside.
pub(super) async fn retry(ledger: &SqliteLedger, key: &PaymentKey) -> Result<bool, LedgerError> {
    let key = *key;
    ledger
        .write(move |tx| {
            let (from, to) = (SettlementState::Quarantined, SettlementState::Reserved);
            if !step(tx, &key, from, to)? {
                return Ok(Turn::TakenBack(false));
            }
            for sql in [FORGET_TRIES, WANTED_TO_THE_END] {
                run(tx, sql, params![key.0.as_slice()])?;
            }
            let evidence = json!({ "retried": true });
            journal(tx, "operator", SUBJECT, &key, (from.name(), to.name()), &evidence)?;
            Ok(Turn::Kept(true))
        })
        .await
}
