//! Parts of answers on SQLite.

use async_trait::async_trait;
use faregate_protocol::PaymentKey;
use sqlx::Row as _;

use super::{SqliteLedger, Turn, column, unavailable};
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
     where payment_key in (select p.payment_key from kept_parts p join claims c using (payment_key) \
     where p.number = 0 and (c.state in (5, 8) or (c.state in (4, 7) and not exists \
     (select 1 from kept k where k.payment_key = p.payment_key))) limit ?1) \
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
        let mut tx = self.begin().await?;
        let done = sqlx::query(KEEP)
            .bind(number)
            .bind(sealed)
            .bind(hold.key.0.as_slice())
            .bind(hold.token)
            .execute(&mut *tx)
            .await
            .map_err(unavailable)?;
        if done.rows_affected() != 1 {
            return Ok(false);
        }
        if number == 0 {
            let query = sqlx::query(FORGET_EARLIER).bind(hold.key.0.as_slice());
            query.execute(&mut *tx).await.map_err(unavailable)?;
        }
        tx.commit().await.map_err(unavailable)?;
        Ok(true)
    }

    async fn find_part(
        &self,
        key: &PaymentKey,
        body: &BodyParts,
        number: u32,
    ) -> Result<Option<Vec<u8>>, LedgerError> {
        let row = sqlx::query(FIND)
            .bind(key.0.as_slice())
            .bind(number)
            .bind(body.epoch)
            .fetch_optional(&self.reader)
            .await
            .map_err(unavailable)?;
        let Some(row) = row else { return Ok(None) };
        let sealed: &[u8] = column(&row, "part")?;
        let place = place(key, body.epoch, number);
        self.sealer.open(Sealed::Part, &place, sealed).map(Some)
    }

    async fn forget_parts(&self, key: &PaymentKey) -> Result<(), LedgerError> {
        let mut tx = self.begin().await?;
        let query = sqlx::query(FORGET_RELEASED).bind(key.0.as_slice());
        query.execute(&mut *tx).await.map_err(unavailable)?;
        tx.commit().await.map_err(unavailable)
    }
}

/// Whether a body can be read to its end.
pub(super) async fn are_all_there(
    executor: impl sqlx::SqliteExecutor<'_>,
    key: &PaymentKey,
    body: &BodyParts,
) -> Result<bool, LedgerError> {
    let query = sqlx::query(COUNT).bind(key.0.as_slice()).bind(body.count).bind(body.epoch);
    let row = query.fetch_one(executor).await.map_err(unavailable)?;
    let there: i64 = row.try_get(0).map_err(unavailable)?;
    Ok(there == i64::from(body.count))
}

/// Forgets at most `limit` parts that nobody can get any more.
pub(super) async fn forget(tx: &mut Turn, limit: u32) -> Result<u64, LedgerError> {
    let query = sqlx::query(FORGET).bind(limit);
    let done = query.execute(&mut **tx).await.map_err(unavailable)?;
    Ok(done.rows_affected())
}
