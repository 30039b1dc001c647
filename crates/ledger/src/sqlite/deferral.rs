//! The queue of deferred money on SQLite.

use async_trait::async_trait;
use faregate_protocol::{Amount, PaymentKey, PaymentRequest};
use serde_json::{Value, json};
use sqlx::Row as _;
use sqlx::sqlite::SqliteRow;

use super::exposure::Entry;
use super::{
    SqliteLedger, Turn, bytes32, claims, column, debts, journal, kept, now_ms, signed, unavailable,
    unsigned, uuid,
};
use crate::deferral::{MAX_DEATHS, after, settle_by_ms};
use crate::{
    AssetExposure, Claimed, Debtor, DeferralState, DeferredClaim, DeferredStore, Due, DueHold,
    ExposureLimits, LedgerError, NewClaim, QueueFigures, Tried,
};

const DISPATCHER: &str = "dispatcher";
const SUBJECT: &str = "deferral";

const INSERT: &str = concat!(
    "insert into deferrals (payment_key, state, facilitator, network, payer, asset, amount, ",
    "settle_by_ms, due_ms, created_at_ms, updated_at_ms) select ?1, 0, ?2, ?3, ?4, ?5, ?6, ?7, ",
    "now, now, now from (select ",
    now_ms!(),
    " as now)"
);

/// Of a facilitator, due and free.
macro_rules! free {
    () => {
        concat!("facilitator = ?1 and due_ms <= ", now_ms!(), " and lease_until_ms <= ", now_ms!())
    };
}

const DUE: &str = concat!(
    "select payment_key from deferrals where state in (1, 2) and deaths < ?2 and ",
    free!(),
    " order by settle_by_ms limit ?3"
);

const WATCHED: &str = concat!(
    "select payment_key from deferrals where state = 4 and deaths < ?2 and ",
    free!(),
    " order by due_ms limit ?3"
);

const POISONED: &str = concat!(
    "select payment_key from deferrals where state = 2 and deaths >= ?2 and ",
    free!(),
    " limit ?3"
);

/// Asked of a reader first, so that an idle dispatcher is in no writer's way.
const ANY: &str = concat!(
    "select exists (select 1 from deferrals where state in (1, 2) and ",
    free!(),
    ") or exists (select 1 from deferrals where state = 4 and ",
    free!(),
    ") as found"
);

const START: &str = concat!(
    "update deferrals set state = case state when 1 then 2 else state end, deaths = deaths + 1, ",
    "lease_token = lease_token + 1, lease_until_ms = ",
    now_ms!(),
    " + ?2, updated_at_ms = ",
    now_ms!(),
    " where payment_key = ?1 returning *"
);

const SELECT: &str = "select d.*, c.settle_id from deferrals d join claims c using (payment_key) \
     where d.payment_key = ?";

const AGAIN: &str = concat!(
    "update deferrals set state = ?2, due_ms = ",
    now_ms!(),
    " + ?3, tries = tries + 1, refusals = refusals + ?4, deaths = 0, lease_until_ms = 0, ",
    "updated_at_ms = ",
    now_ms!(),
    " where payment_key = ?1"
);

const MOVE: &str = concat!(
    "update deferrals set state = ?2, deaths = 0, lease_until_ms = 0, updated_at_ms = ",
    now_ms!(),
    " where payment_key = ?1 and state = ?3"
);

const NAME_TRANSACTION: &str = "update claims set transaction_hash = ?2 where payment_key = ?1";

const EXPIRED: &str = concat!(
    "select payment_key from deferrals where state in (1, 2) and settle_by_ms <= ",
    now_ms!(),
    " union all select payment_key from deferrals where state = 6 and settle_by_ms <= ",
    now_ms!(),
    " limit ?"
);

const RETRY: &str = concat!(
    "update deferrals set state = 1, deaths = 0, refusals = 0, due_ms = ",
    now_ms!(),
    ", updated_at_ms = ",
    now_ms!(),
    " where payment_key = ? and state = 6"
);

const EXPOSURE: &str =
    "select network, asset, unsettled from exposures where payer = '' order by network, asset";

const FIGURES: &str = concat!(
    "select count(*) as depth, coalesce(",
    now_ms!(),
    " - min(created_at_ms), 0) as oldest_ms, ",
    "(select count(*) from deferrals where state = 6) as quarantined ",
    "from deferrals where state in (1, 2)"
);

#[async_trait]
impl DeferredStore for SqliteLedger {
    async fn claim_deferred(
        &self,
        new: &NewClaim,
        lease_ms: u64,
        request: &PaymentRequest,
        limits: ExposureLimits,
    ) -> Result<DeferredClaim, LedgerError> {
        let sealed = kept::sealed_request(self, &new.key, request)?;
        let mut tx = self.begin().await?;
        let claimed = claims::claim(&mut tx, new, lease_ms).await?;
        if matches!(claimed, Claimed::Exists(_)) {
            return Ok(DeferredClaim::Claimed(claimed));
        }
        let entry = Entry {
            network: new.network.clone(),
            asset: new.asset.to_ascii_lowercase(),
            payer: new.payer.to_ascii_lowercase(),
            amount: new.amount,
        };
        // Dropping the transaction takes the claim back as well.
        if let Err(why) = entry.book(&mut tx, limits).await? {
            return Ok(DeferredClaim::Refused(why));
        }
        kept::put_request(&mut tx, &new.key, sealed).await?;
        sqlx::query(INSERT)
            .bind(new.key.0.as_slice())
            .bind(&new.facilitator)
            .bind(&entry.network)
            .bind(&entry.payer)
            .bind(&entry.asset)
            .bind(new.amount.to_be_bytes().to_vec())
            .bind(settle_by_ms(new.valid_before))
            .execute(&mut *tx)
            .await
            .map_err(unavailable)?;
        tx.commit().await.map_err(unavailable)?;
        Ok(DeferredClaim::Claimed(claimed))
    }

    async fn take_due(
        &self,
        facilitator: &str,
        limit: u32,
        lease_ms: u64,
    ) -> Result<Vec<Due>, LedgerError> {
        let any = sqlx::query(ANY).bind(facilitator).fetch_one(&self.reader).await;
        if column::<i64>(&any.map_err(unavailable)?, "found")? == 0 {
            return Ok(Vec::new());
        }
        let mut tx = self.begin().await?;
        for key in keys(&mut tx, POISONED, facilitator, limit).await? {
            let (from, to) = (DeferralState::Settling, DeferralState::Quarantined);
            step(&mut tx, &key, from, to, &json!({ "deaths": MAX_DEATHS })).await?;
        }
        let mut due = keys(&mut tx, DUE, facilitator, limit).await?;
        let left = limit.saturating_sub(u32::try_from(due.len()).unwrap_or(u32::MAX));
        due.extend(keys(&mut tx, WATCHED, facilitator, left).await?);
        let mut taken = Vec::with_capacity(due.len());
        for key in due {
            let before = row(&mut tx, &key).await?;
            let query = sqlx::query(START).bind(key.0.as_slice()).bind(signed(lease_ms));
            let started = query.fetch_one(&mut *tx).await.map_err(unavailable)?;
            let (from, to) = (state(&before)?, state(&started)?);
            if from != to {
                note(&mut tx, &key, from, to, &json!({})).await?;
            }
            taken.push(Due {
                hold: DueHold { key, token: column(&started, "lease_token")? },
                settle_id: uuid(&before, "settle_id")?,
                state: to,
                payer: column(&before, "payer")?,
                settle_by_unix_ms: unsigned(&before, "settle_by_ms")?,
                tries: u32::try_from(column::<i64>(&before, "tries")?).unwrap_or(u32::MAX),
            });
        }
        tx.commit().await.map_err(unavailable)?;
        Ok(taken)
    }

    async fn record_try(&self, hold: &DueHold, tried: &Tried) -> Result<bool, LedgerError> {
        let mut tx = self.begin().await?;
        let row = row(&mut tx, &hold.key).await?;
        let (from, token): (_, i64) = (state(&row)?, column(&row, "lease_token")?);
        if token != hold.token || from.is_end() {
            return Ok(false);
        }
        let refusals: i64 = column(&row, "refusals")?;
        let (to, evidence) = after(from, refusals, tried);
        match tried {
            Tried::Again { refused, pause_ms, .. } => {
                let query = sqlx::query(AGAIN).bind(hold.key.0.as_slice()).bind(to.number());
                let query = query.bind(signed(*pause_ms)).bind(i64::from(*refused));
                query.execute(&mut *tx).await.map_err(unavailable)?;
                note(&mut tx, &hold.key, from, to, &evidence).await?;
            }
            Tried::Settled { .. } | Tried::NotCharged => {
                step(&mut tx, &hold.key, from, to, &evidence).await?;
            }
        }
        if let Some(transaction) = tried.transaction() {
            let query = sqlx::query(NAME_TRANSACTION).bind(hold.key.0.as_slice());
            query.bind(transaction).execute(&mut *tx).await.map_err(unavailable)?;
        }
        tx.commit().await.map_err(unavailable)?;
        Ok(true)
    }

    async fn expire_deferrals(&self, limit: u32) -> Result<u64, LedgerError> {
        let found = sqlx::query(EXPIRED).bind(limit).fetch_all(&self.reader).await;
        let mut expired = 0;
        for found in found.map_err(unavailable)? {
            let key = PaymentKey(bytes32(&found, "payment_key")?);
            let mut tx = self.begin().await?;
            let from = state(&row(&mut tx, &key).await?)?;
            let to = DeferralState::BadDebt;
            if from.may_become(to) {
                step(&mut tx, &key, from, to, &json!({ "reason": "authorization ended" })).await?;
                tx.commit().await.map_err(unavailable)?;
                expired += 1;
            }
        }
        Ok(expired)
    }

    async fn retry_deferral(&self, key: &PaymentKey) -> Result<bool, LedgerError> {
        let mut tx = self.begin().await?;
        let done = sqlx::query(RETRY).bind(key.0.as_slice()).execute(&mut *tx).await;
        if done.map_err(unavailable)?.rows_affected() != 1 {
            return Ok(false);
        }
        let states = (DeferralState::Quarantined.name(), DeferralState::Queued.name());
        journal(&mut tx, "operator", SUBJECT, key, states, &json!({ "retried": true })).await?;
        tx.commit().await.map_err(unavailable)?;
        Ok(true)
    }

    async fn queue_figures(&self) -> Result<QueueFigures, LedgerError> {
        let rows = sqlx::query(EXPOSURE).fetch_all(&self.reader).await.map_err(unavailable)?;
        let exposure = |row: &SqliteRow| {
            Ok(AssetExposure {
                network: column(row, "network")?,
                asset: column(row, "asset")?,
                unsettled: Amount::from_be_bytes(bytes32(row, "unsettled")?),
            })
        };
        let row = sqlx::query(FIGURES).fetch_one(&self.reader).await.map_err(unavailable)?;
        Ok(QueueFigures {
            exposure: rows.iter().map(exposure).collect::<Result<_, LedgerError>>()?,
            depth: unsigned(&row, "depth")?,
            oldest_ms: column::<i64>(&row, "oldest_ms")?.max(0).unsigned_abs(),
            quarantined: unsigned(&row, "quarantined")?,
        })
    }
}

async fn keys(
    tx: &mut Turn,
    sql: &'static str,
    facilitator: &str,
    limit: u32,
) -> Result<Vec<PaymentKey>, LedgerError> {
    let query = sqlx::query(sql).bind(facilitator).bind(MAX_DEATHS).bind(limit);
    let rows = query.fetch_all(&mut **tx).await.map_err(unavailable)?;
    rows.iter().map(|row| Ok(PaymentKey(bytes32(row, "payment_key")?))).collect()
}

async fn row(tx: &mut Turn, key: &PaymentKey) -> Result<SqliteRow, LedgerError> {
    let query = sqlx::query(SELECT).bind(key.0.as_slice());
    query.fetch_one(&mut **tx).await.map_err(unavailable)
}

/// A move with all that goes with it: the books, the debts, the journal.
async fn step(
    tx: &mut Turn,
    key: &PaymentKey,
    from: DeferralState,
    to: DeferralState,
    evidence: &Value,
) -> Result<(), LedgerError> {
    if !from.may_become(to) {
        return Err(LedgerError::IllegalMove { from: from.name(), to: to.name() });
    }
    let before = row(tx, key).await?;
    let query = sqlx::query(MOVE).bind(key.0.as_slice()).bind(to.number()).bind(from.number());
    if query.execute(&mut **tx).await.map_err(unavailable)?.rows_affected() != 1 {
        return Err(LedgerError::Corrupt { what: "deferrals.state" });
    }
    if from.is_exposed() && !to.is_exposed() {
        let entry = Entry {
            network: column(&before, "network")?,
            asset: column(&before, "asset")?,
            payer: column(&before, "payer")?,
            amount: Amount::from_be_bytes(bytes32(&before, "amount")?),
        };
        entry.unbook(tx).await?;
    }
    if to.is_owed() {
        debts::open(tx, key, Debtor::Payer, to.name()).await?;
    } else if from.is_owed() {
        debts::close(tx, key).await?;
    }
    note(tx, key, from, to, evidence).await
}

async fn note(
    tx: &mut Turn,
    key: &PaymentKey,
    from: DeferralState,
    to: DeferralState,
    evidence: &Value,
) -> Result<(), LedgerError> {
    journal(tx, DISPATCHER, SUBJECT, key, (from.name(), to.name()), evidence).await
}

fn state(row: &SqliteRow) -> Result<DeferralState, LedgerError> {
    let number = row.try_get("state").map_err(unavailable)?;
    DeferralState::from_number(number).ok_or(LedgerError::Corrupt { what: "deferrals.state" })
}
