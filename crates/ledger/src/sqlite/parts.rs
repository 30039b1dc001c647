//! Parts of answers on SQLite.

use std::sync::Arc;

use async_trait::async_trait;
use faregate_protocol::PaymentKey;
use rusqlite::{Connection, params};

use super::SqliteLedger;
use super::asking::Turn;
use super::statements::{blob, exactly_one, one, run, unavailable};
use crate::parts::place;
use crate::sealing::Sealed;
use crate::{BodyParts, Hold, LedgerError, PartStore};

const KEEP: &str = "insert into kept_parts (payment_key, number, epoch, part) \
     select payment_key, ?, epoch, ? from claims \
     where payment_key = ? and state in (0, 9) and lease_token = ? \
     on conflict (payment_key, number) do update set epoch = excluded.epoch, part = excluded.part";

const FORGET_EARLIER: &str = "delete from kept_parts where payment_key = ? and number > 0";

const FIND: &str = "select part from kept_parts where payment_key = ? and number = ? and epoch = ?";

const COUNT: &str =
    "select count(*) from kept_parts where payment_key = ? and number < ? and epoch = ?";

const FORGET_RELEASED: &str = "delete from kept_parts where payment_key in \
     (select payment_key from claims where payment_key = ? and state = 5)";

/// Parts that nobody can get any more: nothing was sold, or what was sold is forgotten. Number 0,
/// by which a body is found, goes last.
const FORGET: &str = "delete from kept_parts where rowid in (select rowid from kept_parts \
     where payment_key in (select p.payment_key from kept_parts p cross join claims c using (payment_key) \
     where p.number = 0 and (c.state in (5, 8) or (c.state in (4, 7) and not exists \
     (select 1 from kept k where k.settle_id = c.settle_id))) limit ?1) \
     order by payment_key, number desc limit ?1)";

#[async_trait]
impl PartStore for SqliteLedger {
    async fn keep_part(
        &self,
        hold: &Hold,
        number: u32,
        part: Vec<u8>,
    ) -> Result<bool, LedgerError> {
        // Nobody closes it, so there always is one.
        let _turn = self.turn_of_parts.acquire().await.ok();
        let place = place(&hold.key, hold.epoch, number);
        let sealed = self.sealer.seal(Sealed::Part, &place, &part)?;
        let hold = *hold;
        self.write(move |tx| {
            let key = hold.key.0.as_slice();
            if run(tx, KEEP, params![number, sealed, key, hold.token])? != 1 {
                return Ok(Turn::TakenBack(false));
            }
            if number == 0 {
                run(tx, FORGET_EARLIER, params![key])?;
            }
            Ok(Turn::Kept(true))
        })
        .await
    }

    async fn find_part(
        &self,
        key: &PaymentKey,
        body: &BodyParts,
        number: u32,
    ) -> Result<Option<Vec<u8>>, LedgerError> {
        let (key, epoch, sealer) = (*key, body.epoch, Arc::clone(&self.sealer));
        self.read(move |on| {
            one(on, FIND, params![key.0.as_slice(), number, epoch], |row| {
                let place = place(&key, epoch, number);
                sealer.open(Sealed::Part, &place, blob(row, "part")?)
            })
        })
        .await
    }

    async fn forget_parts(&self, key: &PaymentKey) -> Result<(), LedgerError> {
        let key = *key;
        self.write(move |tx| {
            run(tx, FORGET_RELEASED, params![key.0.as_slice()])?;
            Ok(Turn::Kept(()))
        })
        .await
    }
}

/// Whether a body can be read to its end.
pub(super) fn are_all_there(
    on: &Connection,
    key: &PaymentKey,
    body: &BodyParts,
) -> Result<bool, LedgerError> {
    let values = params![key.0.as_slice(), body.count, body.epoch];
    let there: i64 = exactly_one(on, COUNT, values, |row| row.get(0).map_err(unavailable))?;
    Ok(there == i64::from(body.count))
}

/// Forgets at most `limit` parts that nobody can get any more.
pub(super) fn forget(tx: &Connection, limit: u32) -> Result<usize, LedgerError> {
    run(tx, FORGET, params![limit])
}
