//! Parts of answers on PostgreSQL.

use async_trait::async_trait;
use faregate_protocol::PaymentKey;
use sqlx::{PgExecutor, Postgres, Row as _, Transaction};

use super::rows::column;
use super::{Failure, PostgresLedger};
use crate::parts::place;
use crate::sealing::Sealed;
use crate::{BodyParts, Hold, LedgerError, PartStore};

/// Nobody takes the claim over before the part is there.
const KEEP: &str = "insert into kept_parts (payment_key, number, epoch, part) \
     select payment_key, $1, epoch, $2 from claims \
     where payment_key = $3 and state in (0, 9) and lease_token = $4 for share \
     on conflict (payment_key, number) do update set epoch = excluded.epoch, part = excluded.part";

const FORGET_EARLIER: &str = "delete from kept_parts where payment_key = $1 and number > 0";

const FIND: &str =
    "select part from kept_parts where payment_key = $1 and number = $2 and epoch = $3";

const COUNT: &str =
    "select count(*) from kept_parts where payment_key = $1 and number < $2 and epoch = $3";

const FORGET_RELEASED: &str = "delete from kept_parts where payment_key in \
     (select payment_key from claims where payment_key = $1 and state = 5 for share)";

/// Parts that nobody can get any more: nothing was sold, or what was sold is forgotten. Number 0,
/// by which a body is found, goes last. What somebody is taking up again is left to them.
const FORGET: &str = "with useless as (select p.payment_key \
     from kept_parts p join claims c using (payment_key) \
     where p.number = 0 and (c.state in (5, 8) or (c.state in (4, 7) and not exists \
     (select 1 from kept k where k.payment_key = p.payment_key))) \
     limit $1 for share of c skip locked) \
     delete from kept_parts where (payment_key, number) in (select payment_key, p.number \
     from kept_parts p join useless using (payment_key) \
     order by payment_key, p.number desc limit $1)";

#[async_trait]
impl PartStore for PostgresLedger {
    async fn keep_part(
        &self,
        hold: &Hold,
        number: u32,
        part: Vec<u8>,
    ) -> Result<bool, LedgerError> {
        // Nobody closes it, so there always is one.
        let _turn = self.turns_of_parts.acquire().await.ok();
        let place = place(&hold.key, hold.epoch, number);
        let sealed = self.sealer.seal(Sealed::Part, &place, &part)?;
        self.retried(|| keep(self, hold, number, &sealed)).await
    }

    async fn find_part(
        &self,
        key: &PaymentKey,
        body: &BodyParts,
        number: u32,
    ) -> Result<Option<Vec<u8>>, LedgerError> {
        let find = || async {
            let query = sqlx::query(FIND).bind(key.0.as_slice());
            let query = query.bind(i64::from(number)).bind(body.epoch);
            let row = query.fetch_optional(&self.pool).await?;
            let sealed: Option<Vec<u8>> = row.map(|row| column(&row, "part")).transpose()?;
            Ok(sealed)
        };
        let Some(sealed) = self.retried(find).await? else { return Ok(None) };
        let place = place(key, body.epoch, number);
        self.sealer.open(Sealed::Part, &place, &sealed).map(Some)
    }

    async fn forget_parts(&self, key: &PaymentKey) -> Result<(), LedgerError> {
        let forget = || async {
            let mut tx = self.begin().await?;
            let query = sqlx::query(FORGET_RELEASED).bind(key.0.as_slice());
            query.execute(&mut *tx).await?;
            Ok(tx.commit().await?)
        };
        self.retried(forget).await
    }
}

async fn keep(
    ledger: &PostgresLedger,
    hold: &Hold,
    number: u32,
    sealed: &[u8],
) -> Result<bool, Failure> {
    let mut tx = ledger.begin().await?;
    let done = sqlx::query(KEEP)
        .bind(i64::from(number))
        .bind(sealed)
        .bind(hold.key.0.as_slice())
        .bind(hold.token)
        .execute(&mut *tx)
        .await?;
    if done.rows_affected() != 1 {
        return Ok(false);
    }
    if number == 0 {
        let query = sqlx::query(FORGET_EARLIER).bind(hold.key.0.as_slice());
        query.execute(&mut *tx).await?;
    }
    tx.commit().await?;
    Ok(true)
}

/// Whether a body can be read to its end.
pub(super) async fn are_all_there(
    executor: impl PgExecutor<'_>,
    key: &PaymentKey,
    body: &BodyParts,
) -> Result<bool, Failure> {
    let query = sqlx::query(COUNT).bind(key.0.as_slice());
    let row = query.bind(i64::from(body.count)).bind(body.epoch).fetch_one(executor).await?;
    Ok(row.try_get::<i64, _>(0)? == i64::from(body.count))
}

/// Forgets at most `limit` parts that nobody can get any more.
pub(super) async fn forget(
    tx: &mut Transaction<'static, Postgres>,
    limit: u32,
) -> Result<u64, Failure> {
    let done = sqlx::query(FORGET).bind(i64::from(limit)).execute(&mut **tx).await?;
    Ok(done.rows_affected())
}
