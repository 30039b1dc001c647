//! The queue of deferred money on PostgreSQL. Rows are locked in one order, deferral, payer's sum,
//! everybody's sum; one payment a transaction.

use async_trait::async_trait;
use faregate_protocol::{Amount, PaymentKey, PaymentRequest};
use serde_json::{Value, json};
use sqlx::postgres::PgRow;
use sqlx::{Postgres, Transaction};

use super::exposure::Entry;
use super::rows::{bytes32, column, signed, text, unsigned, uuid};
use super::{Failure, PostgresLedger, claims, debts, journal, kept, now_ms, one_now_ms};
use crate::deferral::{MAX_DEATHS, after, settle_by_ms};
use crate::{
    AssetExposure, Claimed, Debtor, DeferralState, DeferredClaim, DeferredStore, Due, DueHold,
    ExposureLimits, LedgerError, NewClaim, QueueFigures, Tried,
};

const DISPATCHER: (&str, &str) = ("dispatcher", "deferral");
const OPERATOR: (&str, &str) = ("operator", "deferral");

const INSERT: &str = concat!(
    "insert into deferrals (payment_key, state, facilitator, network, payer, asset, amount, ",
    "settle_by_ms, due_ms, created_at_ms, updated_at_ms) select $1, 0, $2, $3, $4, $5, $6, $7, ",
    "now, now, now from (select ",
    now_ms!(),
    " as now) as clock"
);

/// Of a facilitator, due and free. What somebody else is taking is left to them.
macro_rules! take {
    ($states:literal, $deaths:literal, $order:literal, $set:literal) => {
        concat!(
            "with free as (select payment_key, state as from_state from deferrals where ",
            $states,
            " and deaths ",
            $deaths,
            " $2 and facilitator = $1 and due_ms <= ",
            one_now_ms!(),
            " and lease_until_ms <= ",
            one_now_ms!(),
            " order by ",
            $order,
            " limit $3 for no key update skip locked) update deferrals d set ",
            $set,
            ", lease_token = d.lease_token + 1, lease_until_ms = ",
            now_ms!(),
            " + $4, updated_at_ms = ",
            now_ms!(),
            " from free, claims c where d.payment_key = free.payment_key ",
            "and c.payment_key = d.payment_key returning d.*, free.from_state, c.settle_id"
        )
    };
}

const DUE: &str = take!("state in (1, 2)", "<", "settle_by_ms", "state = 2, deaths = d.deaths + 1");
const WATCHED: &str = take!("state = 4", "<", "due_ms", "deaths = d.deaths + 1");
const POISONED: &str = take!("state = 2", ">=", "settle_by_ms", "state = 6, deaths = 0");

const LOCK: &str = "select * from deferrals where payment_key = $1 for no key update";

const AGAIN: &str = concat!(
    "update deferrals set state = $2, due_ms = ",
    now_ms!(),
    " + $3, tries = tries + 1, refusals = refusals + $4, deaths = 0, lease_until_ms = 0, ",
    "updated_at_ms = ",
    now_ms!(),
    " where payment_key = $1"
);

const MOVE: &str = concat!(
    "update deferrals set state = $2, deaths = 0, lease_until_ms = 0, updated_at_ms = ",
    now_ms!(),
    " where payment_key = $1 and state = $3"
);

const NAME_TRANSACTION: &str = "update claims set transaction_hash = $2 where payment_key = $1";

const EXPIRED: &str = concat!(
    "select payment_key from deferrals where state in (1, 2) and settle_by_ms <= ",
    one_now_ms!(),
    " union all select payment_key from deferrals where state = 6 and settle_by_ms <= ",
    one_now_ms!(),
    " limit $1"
);

const RETRY: &str = concat!(
    "update deferrals set state = 1, deaths = 0, refusals = 0, due_ms = ",
    now_ms!(),
    ", updated_at_ms = ",
    now_ms!(),
    " where payment_key = $1 and state = 6"
);

const EXPOSURE: &str = "select network, asset, unsettled::text as unsettled from exposures \
     where payer = '' order by network, asset";

const FIGURES: &str = concat!(
    "select count(*) as depth, coalesce(",
    now_ms!(),
    " - min(created_at_ms), 0) as oldest_ms, ",
    "(select count(*) from deferrals where state = 6) as quarantined ",
    "from deferrals where state in (1, 2)"
);

#[async_trait]
impl DeferredStore for PostgresLedger {
    async fn claim_deferred(
        &self,
        new: &NewClaim,
        lease_ms: u64,
        request: &PaymentRequest,
        limits: ExposureLimits,
    ) -> Result<DeferredClaim, LedgerError> {
        let sealed = kept::sealed_request(self, &new.key, request)?;
        self.retried(|| claim(self, new, lease_ms, &sealed, limits)).await
    }

    async fn take_due(
        &self,
        facilitator: &str,
        limit: u32,
        lease_ms: u64,
    ) -> Result<Vec<Due>, LedgerError> {
        self.retried(|| take(self, facilitator, limit, lease_ms)).await
    }

    async fn record_try(&self, hold: &DueHold, tried: &Tried) -> Result<bool, LedgerError> {
        self.retried(|| record(self, hold, tried)).await
    }

    async fn expire_deferrals(&self, limit: u32) -> Result<u64, LedgerError> {
        let find = || async {
            let rows = sqlx::query(EXPIRED).bind(i64::from(limit)).fetch_all(&self.pool).await?;
            let key = |row: &PgRow| Ok(PaymentKey(bytes32(row, "payment_key")?));
            Ok(rows.iter().map(key).collect::<Result<Vec<_>, LedgerError>>()?)
        };
        let mut expired = 0;
        for key in self.retried(find).await? {
            expired += u64::from(self.retried(|| expire(self, &key)).await?);
        }
        Ok(expired)
    }

    async fn retry_deferral(&self, key: &PaymentKey) -> Result<bool, LedgerError> {
        let retry = || async {
            let mut tx = self.begin().await?;
            let done = sqlx::query(RETRY).bind(key.0.as_slice()).execute(&mut *tx).await?;
            if done.rows_affected() != 1 {
                return Ok(false);
            }
            let states = (DeferralState::Quarantined.name(), DeferralState::Queued.name());
            journal(&mut tx, OPERATOR, key, states, &json!({ "retried": true })).await?;
            tx.commit().await?;
            Ok(true)
        };
        self.retried(retry).await
    }

    async fn queue_figures(&self) -> Result<QueueFigures, LedgerError> {
        let read = || async {
            let rows = sqlx::query(EXPOSURE).fetch_all(&self.pool).await?;
            let row = sqlx::query(FIGURES).fetch_one(&self.pool).await?;
            Ok(QueueFigures {
                exposure: rows.iter().map(exposure).collect::<Result<_, LedgerError>>()?,
                depth: unsigned(&row, "depth")?,
                oldest_ms: column::<i64>(&row, "oldest_ms")?.max(0).unsigned_abs(),
                quarantined: unsigned(&row, "quarantined")?,
            })
        };
        self.retried(read).await
    }
}

async fn claim(
    ledger: &PostgresLedger,
    new: &NewClaim,
    lease_ms: u64,
    sealed: &[u8],
    limits: ExposureLimits,
) -> Result<DeferredClaim, Failure> {
    let mut tx = ledger.begin().await?;
    let claimed = claims::claim_in(&mut tx, new, lease_ms).await?;
    if matches!(claimed, Claimed::Exists(_)) {
        return Ok(DeferredClaim::Claimed(claimed));
    }
    let entry = Entry {
        network: new.network.clone(),
        asset: new.asset.to_ascii_lowercase(),
        payer: new.payer.to_ascii_lowercase(),
        amount: new.amount,
    };
    kept::put_request(&mut tx, &new.key, sealed).await?;
    sqlx::query(INSERT)
        .bind(new.key.0.as_slice())
        .bind(text(&new.facilitator))
        .bind(text(&entry.network))
        .bind(text(&entry.payer))
        .bind(text(&entry.asset))
        .bind(new.amount.to_be_bytes().to_vec())
        .bind(settle_by_ms(new.valid_before))
        .execute(&mut *tx)
        .await?;
    // Dropping the transaction takes the claim back as well.
    if let Err(why) = entry.book(&mut tx, limits).await? {
        return Ok(DeferredClaim::Refused(why));
    }
    tx.commit().await?;
    Ok(DeferredClaim::Claimed(claimed))
}

async fn take(
    ledger: &PostgresLedger,
    facilitator: &str,
    limit: u32,
    lease_ms: u64,
) -> Result<Vec<Due>, Failure> {
    let mut tx = ledger.begin().await?;
    let poisoned = taken(&mut tx, POISONED, facilitator, limit, 0).await?;
    for row in &poisoned {
        note(&mut tx, row, &json!({ "deaths": MAX_DEATHS })).await?;
    }
    let mut rows = taken(&mut tx, DUE, facilitator, limit, lease_ms).await?;
    let left = limit.saturating_sub(u32::try_from(rows.len()).unwrap_or(u32::MAX));
    rows.extend(taken(&mut tx, WATCHED, facilitator, left, lease_ms).await?);
    for row in &rows {
        note(&mut tx, row, &json!({})).await?;
    }
    let mut due = rows.iter().map(due).collect::<Result<Vec<_>, _>>()?;
    due.sort_by_key(|due| (due.state == DeferralState::BadDebt, due.settle_by_unix_ms));
    tx.commit().await?;
    Ok(due)
}

async fn taken(
    tx: &mut Transaction<'static, Postgres>,
    sql: &'static str,
    facilitator: &str,
    limit: u32,
    lease_ms: u64,
) -> Result<Vec<PgRow>, Failure> {
    if limit == 0 {
        return Ok(Vec::new());
    }
    let query = sqlx::query(sql).bind(text(facilitator)).bind(MAX_DEATHS).bind(i64::from(limit));
    Ok(query.bind(signed(lease_ms)).fetch_all(&mut **tx).await?)
}

/// The move that a row was taken with, if it is one.
async fn note(
    tx: &mut Transaction<'static, Postgres>,
    row: &PgRow,
    evidence: &Value,
) -> Result<(), Failure> {
    let (from, to) = (state(row, "from_state")?, state(row, "state")?);
    if from != to {
        let key = PaymentKey(bytes32(row, "payment_key")?);
        journal(tx, DISPATCHER, &key, (from.name(), to.name()), evidence).await?;
    }
    Ok(())
}

async fn record(ledger: &PostgresLedger, hold: &DueHold, tried: &Tried) -> Result<bool, Failure> {
    let mut tx = ledger.begin().await?;
    let row = sqlx::query(LOCK).bind(hold.key.0.as_slice()).fetch_optional(&mut *tx).await?;
    let Some(row) = row else { return Ok(false) };
    let (from, token): (_, i64) = (state(&row, "state")?, column(&row, "lease_token")?);
    if token != hold.token || from.is_end() {
        return Ok(false);
    }
    let (to, evidence) = after(from, column(&row, "refusals")?, tried);
    match tried {
        Tried::Again { refused, pause_ms, .. } => {
            let query = sqlx::query(AGAIN).bind(hold.key.0.as_slice()).bind(to.number());
            let query = query.bind(signed(*pause_ms)).bind(i64::from(*refused));
            query.execute(&mut *tx).await?;
            let states = (from.name(), to.name());
            journal(&mut tx, DISPATCHER, &hold.key, states, &evidence).await?;
        }
        Tried::Settled { .. } | Tried::NotCharged => {
            step(&mut tx, &row, (from, to), &evidence).await?;
        }
    }
    if let Some(transaction) = tried.transaction() {
        let query = sqlx::query(NAME_TRANSACTION).bind(hold.key.0.as_slice());
        query.bind(text(transaction)).execute(&mut *tx).await?;
    }
    tx.commit().await?;
    Ok(true)
}

async fn expire(ledger: &PostgresLedger, key: &PaymentKey) -> Result<bool, Failure> {
    let mut tx = ledger.begin().await?;
    let row = sqlx::query(LOCK).bind(key.0.as_slice()).fetch_optional(&mut *tx).await?;
    let Some(row) = row else { return Ok(false) };
    let (from, to) = (state(&row, "state")?, DeferralState::BadDebt);
    if !from.may_become(to) {
        return Ok(false);
    }
    let evidence = json!({ "reason": "authorization ended" });
    step(&mut tx, &row, (from, to), &evidence).await?;
    tx.commit().await?;
    Ok(true)
}

/// A move of a locked row with all that goes with it: the books, the debts, the journal.
async fn step(
    tx: &mut Transaction<'static, Postgres>,
    row: &PgRow,
    (from, to): (DeferralState, DeferralState),
    evidence: &Value,
) -> Result<(), Failure> {
    if !from.may_become(to) {
        return Err(LedgerError::IllegalMove { from: from.name(), to: to.name() }.into());
    }
    let key = PaymentKey(bytes32(row, "payment_key")?);
    let query = sqlx::query(MOVE).bind(key.0.as_slice()).bind(to.number()).bind(from.number());
    if query.execute(&mut **tx).await?.rows_affected() != 1 {
        return Err(LedgerError::Corrupt { what: "deferrals.state" }.into());
    }
    if from.is_exposed() && !to.is_exposed() {
        let entry = Entry {
            network: column(row, "network")?,
            asset: column(row, "asset")?,
            payer: column(row, "payer")?,
            amount: Amount::from_be_bytes(bytes32(row, "amount")?),
        };
        entry.unbook(tx).await?;
    }
    if to.is_owed() {
        debts::open(tx, &key, Debtor::Payer, to.name()).await?;
    } else if from.is_owed() {
        debts::close(tx, &key).await?;
    }
    journal(tx, DISPATCHER, &key, (from.name(), to.name()), evidence).await
}

fn state(row: &PgRow, name: &'static str) -> Result<DeferralState, LedgerError> {
    let state = DeferralState::from_number(column(row, name)?);
    state.ok_or(LedgerError::Corrupt { what: "deferrals.state" })
}

fn due(row: &PgRow) -> Result<Due, LedgerError> {
    Ok(Due {
        hold: DueHold {
            key: PaymentKey(bytes32(row, "payment_key")?),
            token: column(row, "lease_token")?,
        },
        settle_id: uuid(row, "settle_id")?,
        state: state(row, "state")?,
        payer: column(row, "payer")?,
        settle_by_unix_ms: unsigned(row, "settle_by_ms")?,
        tries: u32::try_from(column::<i64>(row, "tries")?).unwrap_or(u32::MAX),
    })
}

fn exposure(row: &PgRow) -> Result<AssetExposure, LedgerError> {
    let unsettled: String = column(row, "unsettled")?;
    Ok(AssetExposure {
        network: column(row, "network")?,
        asset: column(row, "asset")?,
        unsettled: unsettled
            .parse()
            .map_err(|_| LedgerError::Corrupt { what: "exposures.unsettled" })?,
    })
}
