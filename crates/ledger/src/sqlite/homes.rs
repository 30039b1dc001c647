//! In which slot a payment lives (U7), on SQLite: it leaves it, and comes back to its newest one.

use faregate_protocol::PaymentKey;
use rusqlite::{Connection, params};

use super::statements::{column, one, run};
use crate::LedgerError;

const NEWEST: &str = concat!(
    "select a.network, a.signer, a.nonce from attempts a join slot_items i ",
    "using (network, signer, nonce) where i.payment_key = ? order by a.made_order desc limit 1"
);

const REVIVE: &str = concat!(
    "update slot_items set live = 1 where network = ?1 and signer = ?2 and nonce = ?3 ",
    "and payment_key = ?4"
);

const SIGNED_AGAIN: &str = concat!(
    "update nonce_slots set state = 1 where network = ?1 and signer = ?2 and nonce = ?3 ",
    "and ?4 is not null"
);

/// The payment no longer lives in a slot.
pub(super) fn leave(tx: &Connection, key: &PaymentKey) -> Result<(), LedgerError> {
    const LEAVE: &str = "update slot_items set live = 0 where payment_key = ? and live = 1";
    run(tx, LEAVE, params![key.0.as_slice()]).map(|_| ())
}

/// The slot of the payment's newest transaction: network, signer, nonce.
pub(super) fn newest(
    tx: &Connection,
    key: &PaymentKey,
) -> Result<Option<(String, String, i64)>, LedgerError> {
    one(tx, NEWEST, params![key.0.as_slice()], |row| {
        Ok((column(row, "network")?, column(row, "signer")?, column(row, "nonce")?))
    })
}

/// The payment lives in that slot again.
pub(super) fn come_back(
    tx: &Connection,
    key: &PaymentKey,
    (network, signer, nonce): &(String, String, i64),
) -> Result<(), LedgerError> {
    for sql in [REVIVE, SIGNED_AGAIN] {
        run(tx, sql, params![network, signer, nonce, key.0.as_slice()])?;
    }
    Ok(())
}
