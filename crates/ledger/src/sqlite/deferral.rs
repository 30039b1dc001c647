//! The queue of deferred money on SQLite.

use async_trait::async_trait;
use faregate_protocol::{Amount, PaymentKey, PaymentRequest};
use rusqlite::{Connection, Row, params};
use serde_json::{Value, json};
use uuid::Uuid;

use super::asking::Turn;
use super::exposure::{self, Entry};
use super::statements::{
    all, bytes32, column, exactly_one, journal, now_ms, run, signed, unsigned, uuid,
};
use super::{SqliteLedger, claims, debts, kept};
use crate::deferral::{MAX_DEATHS, after, settle_by_ms};
use crate::{
    AssetExposure, Claimed, Debtor, DeferralState, DeferredClaim, DeferredStore, Due, DueHold,
    ExposureLimits, LedgerError, NewClaim, QueueFigures, Tried,
};

const DISPATCHER: &str = "dispatcher";
const SUBJECT: &str = "deferral";

const INSERT: &str = concat!(
    "insert into deferrals (settle_id, payment_key, state, facilitator, network, payer, asset, ",
    "amount, settle_by_ms, due_ms, created_at_ms, updated_at_ms) ",
    "select ?1, ?2, 0, ?3, ?4, ?5, ?6, ?7, ?8, ",
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
    "select payment_key from deferrals where state in (1, 2) and state = 2 and deaths >= ?2 and ",
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
    " where settle_id = ?1 returning *"
);

const SELECT: &str = "select d.* from claims c join deferrals d using (settle_id) \
     where c.payment_key = ?";

const AGAIN: &str = concat!(
    "update deferrals set state = ?2, due_ms = ",
    now_ms!(),
    " + ?3, tries = tries + 1, refusals = refusals + ?4, deaths = 0, lease_until_ms = 0, ",
    "updated_at_ms = ",
    now_ms!(),
    " where settle_id = ?1"
);

const MOVE: &str = concat!(
    "update deferrals set state = ?2, deaths = 0, lease_until_ms = 0, updated_at_ms = ",
    now_ms!(),
    " where settle_id = ?1 and state = ?3"
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
    " where settle_id = (select settle_id from claims where payment_key = ?) and state = 6"
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
        let new = new.clone();
        self.write(move |tx| claim(tx, &new, lease_ms, &sealed, limits)).await
    }

    async fn take_due(
        &self,
        facilitator: &str,
        limit: u32,
        lease_ms: u64,
    ) -> Result<Vec<Due>, LedgerError> {
        let facilitator = facilitator.to_owned();
        let asked = facilitator.clone();
        let any = self.read(move |on| {
            exactly_one(on, ANY, params![asked], |row| Ok(column::<i64>(row, "found")? != 0))
        });
        if !any.await? {
            return Ok(Vec::new());
        }
        self.write(move |tx| take(tx, &facilitator, limit, lease_ms).map(Turn::Kept)).await
    }

    async fn record_try(&self, hold: &DueHold, tried: &Tried) -> Result<bool, LedgerError> {
        let (hold, tried) = (*hold, tried.clone());
        self.write(move |tx| record(tx, &hold, &tried)).await
    }

    async fn expire_deferrals(&self, limit: u32) -> Result<u64, LedgerError> {
        let found = self.read(move |on| all(on, EXPIRED, params![limit], key)).await?;
        let mut expired = 0;
        for key in found {
            let gone = self.write(move |tx| {
                let row = Deferral::of(tx, &key)?;
                let to = DeferralState::BadDebt;
                if !row.state.may_become(to) {
                    return Ok(Turn::TakenBack(0));
                }
                row.step(tx, to, &json!({ "reason": "authorization ended" }))?;
                Ok(Turn::Kept(1))
            });
            expired += gone.await?;
        }
        Ok(expired)
    }

    async fn retry_deferral(&self, key: &PaymentKey) -> Result<bool, LedgerError> {
        let key = *key;
        self.write(move |tx| {
            if run(tx, RETRY, params![key.0.as_slice()])? != 1 {
                return Ok(Turn::TakenBack(false));
            }
            let states = (DeferralState::Quarantined.name(), DeferralState::Queued.name());
            journal(tx, "operator", SUBJECT, &key, states, &json!({ "retried": true }))?;
            Ok(Turn::Kept(true))
        })
        .await
    }

    async fn queue_figures(&self) -> Result<QueueFigures, LedgerError> {
        self.read(|on| {
            let exposure = all(on, EXPOSURE, (), |row| {
                Ok(AssetExposure {
                    network: column(row, "network")?,
                    asset: column(row, "asset")?,
                    unsettled: Amount::from_be_bytes(bytes32(row, "unsettled")?),
                })
            })?;
            exactly_one(on, FIGURES, (), |row| {
                Ok(QueueFigures {
                    exposure,
                    depth: unsigned(row, "depth")?,
                    oldest_ms: column::<i64>(row, "oldest_ms")?.max(0).unsigned_abs(),
                    quarantined: unsigned(row, "quarantined")?,
                })
            })
        })
        .await
    }
}

fn claim(
    tx: &Connection,
    new: &NewClaim,
    lease_ms: u64,
    sealed: &[u8],
    limits: ExposureLimits,
) -> Result<Turn<DeferredClaim>, LedgerError> {
    let claimed = claims::claim(tx, new, lease_ms)?;
    let Claimed::Won(hold) = &claimed else {
        return Ok(Turn::TakenBack(DeferredClaim::Claimed(claimed)));
    };
    let entry = Entry {
        network: new.network.clone(),
        asset: new.asset.to_ascii_lowercase(),
        payer: new.payer.to_ascii_lowercase(),
        amount: new.amount,
    };
    // The claim is taken back as well.
    if let Err(why) = entry.book(tx, limits)? {
        return Ok(Turn::TakenBack(DeferredClaim::Refused(why)));
    }
    kept::put_request(tx, hold.settle_id, sealed)?;
    let amount = new.amount.to_be_bytes();
    let values = params![
        hold.settle_id.to_string(),
        new.key.0.as_slice(),
        new.facilitator,
        entry.network,
        entry.payer,
        entry.asset,
        amount.as_slice(),
        settle_by_ms(new.valid_before),
    ];
    run(tx, INSERT, values)?;
    Ok(Turn::Kept(DeferredClaim::Claimed(claimed)))
}

fn take(
    tx: &Connection,
    facilitator: &str,
    limit: u32,
    lease_ms: u64,
) -> Result<Vec<Due>, LedgerError> {
    let keys = |sql, limit: u32| all(tx, sql, params![facilitator, MAX_DEATHS, limit], key);
    for key in keys(POISONED, limit)? {
        let evidence = json!({ "deaths": MAX_DEATHS });
        Deferral::of(tx, &key)?.step(tx, DeferralState::Quarantined, &evidence)?;
    }
    let mut due = keys(DUE, limit)?;
    let left = limit.saturating_sub(u32::try_from(due.len()).unwrap_or(u32::MAX));
    due.extend(keys(WATCHED, left)?);
    let mut taken = Vec::with_capacity(due.len());
    for key in due {
        let before = Deferral::of(tx, &key)?;
        let values = params![before.settle_id.to_string(), signed(lease_ms)];
        let (to, token) =
            exactly_one(tx, START, values, |row| Ok((state(row)?, column(row, "lease_token")?)))?;
        if before.state != to {
            before.note(tx, to, &json!({}))?;
        }
        taken.push(Due {
            hold: DueHold { key, token },
            settle_id: before.settle_id,
            state: to,
            payer: before.entry.payer,
            settle_by_unix_ms: before.settle_by_ms,
            tries: before.tries,
        });
    }
    Ok(taken)
}

fn record(tx: &Connection, hold: &DueHold, tried: &Tried) -> Result<Turn<bool>, LedgerError> {
    let row = Deferral::of(tx, &hold.key)?;
    let from = row.state;
    if row.token != hold.token || from.is_end() {
        return Ok(Turn::TakenBack(false));
    }
    let (to, evidence) = after(from, row.refusals, tried);
    match tried {
        Tried::Again { refused, pause_ms, .. } => {
            let pause_ms = signed(*pause_ms);
            run(tx, AGAIN, params![row.settle_id.to_string(), to.number(), pause_ms, *refused])?;
            row.note(tx, to, &evidence)?;
        }
        Tried::Settled { .. } | Tried::NotCharged => row.step(tx, to, &evidence)?,
    }
    if let Some(transaction) = tried.transaction() {
        run(tx, NAME_TRANSACTION, params![hold.key.0.as_slice(), transaction])?;
    }
    Ok(Turn::Kept(true))
}

fn key(row: &Row<'_>) -> Result<PaymentKey, LedgerError> {
    bytes32(row, "payment_key").map(PaymentKey)
}

/// A row of the queue.
struct Deferral {
    key: PaymentKey,
    state: DeferralState,
    settle_id: Uuid,
    entry: Entry,
    settle_by_ms: u64,
    tries: u32,
    refusals: i64,
    token: i64,
}

impl Deferral {
    fn of(tx: &Connection, key: &PaymentKey) -> Result<Self, LedgerError> {
        exactly_one(tx, SELECT, params![key.0.as_slice()], |row| {
            Ok(Self {
                key: *key,
                state: state(row)?,
                settle_id: uuid(row, "settle_id")?,
                entry: exposure::entry(row)?,
                settle_by_ms: unsigned(row, "settle_by_ms")?,
                tries: u32::try_from(column::<i64>(row, "tries")?).unwrap_or(u32::MAX),
                refusals: column(row, "refusals")?,
                token: column(row, "lease_token")?,
            })
        })
    }

    /// A move with all that goes with it: the books, the debts, the journal.
    fn step(
        &self,
        tx: &Connection,
        to: DeferralState,
        evidence: &Value,
    ) -> Result<(), LedgerError> {
        let from = self.state;
        if !from.may_become(to) {
            return Err(LedgerError::IllegalMove { from: from.name(), to: to.name() });
        }
        if run(tx, MOVE, params![self.settle_id.to_string(), to.number(), from.number()])? != 1 {
            return Err(LedgerError::Corrupt { what: "deferrals.state" });
        }
        if from.is_exposed() && !to.is_exposed() {
            self.entry.unbook(tx)?;
        }
        if to.is_owed() {
            debts::open(tx, &self.key, Debtor::Payer, to.name())?;
        } else if from.is_owed() {
            debts::close(tx, &self.key)?;
        }
        self.note(tx, to, evidence)
    }

    fn note(
        &self,
        tx: &Connection,
        to: DeferralState,
        evidence: &Value,
    ) -> Result<(), LedgerError> {
        let (of, states) = ((&self.key, self.settle_id), (self.state.name(), to.name()));
        journal(tx, DISPATCHER, SUBJECT, of, states, evidence)
    }
}

fn state(row: &Row<'_>) -> Result<DeferralState, LedgerError> {
    let number = column(row, "state")?;
    DeferralState::from_number(number).ok_or(LedgerError::Corrupt { what: "deferrals.state" })
}
