//! In which slot a payment lives (U7), on SQLite: it leaves it, and comes back to its newest one.

use faregate_protocol::PaymentKey;

use super::{Turn, column, unavailable};
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
pub(super) async fn leave(tx: &mut Turn, key: &PaymentKey) -> Result<(), LedgerError> {
    sqlx::query("update slot_items set live = 0 where payment_key = ? and live = 1")
        .bind(key.0.as_slice())
        .execute(&mut **tx)
        .await
        .map_err(unavailable)?;
    Ok(())
}

/// The slot of the payment's newest transaction: network, signer, nonce.
pub(super) async fn newest(
    tx: &mut Turn,
    key: &PaymentKey,
) -> Result<Option<(String, String, i64)>, LedgerError> {
    let newest = sqlx::query(NEWEST)
        .bind(key.0.as_slice())
        .fetch_optional(&mut **tx)
        .await
        .map_err(unavailable)?;
    let name = newest
        .map(|row| Ok((column(&row, "network")?, column(&row, "signer")?, column(&row, "nonce")?)));
    name.transpose()
}

/// The payment lives in that slot again.
pub(super) async fn come_back(
    tx: &mut Turn,
    key: &PaymentKey,
    (network, signer, nonce): &(String, String, i64),
) -> Result<(), LedgerError> {
    for sql in [REVIVE, SIGNED_AGAIN] {
        sqlx::query(sql)
            .bind(network)
            .bind(signer)
            .bind(nonce)
            .bind(key.0.as_slice())
            .execute(&mut **tx)
            .await
            .map_err(unavailable)?;
    }
    Ok(())
}
