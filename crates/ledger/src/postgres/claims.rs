//! The gate's side of the ledger on PostgreSQL.

use async_trait::async_trait;
use faregate_protocol::{PaymentKey, PaymentRequest};
use serde_json::{Value, json};
use sqlx::postgres::PgRow;
use sqlx::{Postgres, Transaction};
use uuid::Uuid;

use super::claim_rows::{hold, insert, read};
use super::rows::{column, signed, text};
use super::{
    Failure, PostgresLedger, debts, exposure, grants, handler_mark, journal, kept, now_ms,
    one_now_ms, refused,
};
use crate::{
    Claim, ClaimMove, ClaimState, ClaimStore, Claimed, Debtor, Hold, JournalEntry, LedgerError,
    NewClaim, StoredAnswer,
};

pub(super) const GATE: (&str, &str) = ("gate", "claim");
const FIRST_TOKEN: i64 = 1;

/// Where the money of a claim stands, if that is a row of its own.
macro_rules! deferral {
    () => {
        "(select d.state from deferrals d where d.payment_key = claims.payment_key) as deferral"
    };
}

const SELECT: &str = concat!(
    "select *, ",
    deferral!(),
    ", lease_until_ms > ",
    now_ms!(),
    " as held from claims where payment_key = $1"
);

const RECLAIM: &str = concat!(
    "update claims set state = 0, epoch = epoch + 1, lease_token = lease_token + 1, ",
    "lease_until_ms = ",
    now_ms!(),
    " + $1, updated_at_ms = ",
    now_ms!(),
    " where payment_key = $2 and state = 5 and request_fp = $3 and payload_hash = $4 ",
    "and requirements_hash = $5 returning lease_token, epoch, settle_id"
);

/// Whoever finds the row locked leaves it: somebody is moving it.
const TAKE_OVER: &str = concat!(
    "with free as (select payment_key from claims where payment_key = $3 and state = $4 ",
    "and lease_until_ms <= ",
    now_ms!(),
    " for no key update skip locked) ",
    "update claims c set lease_token = c.lease_token + 1, epoch = c.epoch + $1, lease_until_ms = ",
    now_ms!(),
    " + $2, updated_at_ms = ",
    now_ms!(),
    " from free where c.payment_key = free.payment_key ",
    "returning c.lease_token, c.epoch, c.settle_id"
);

const RENEW: &str = concat!(
    "update claims set lease_until_ms = ",
    now_ms!(),
    " + $1 where payment_key = $2 and lease_token = $3 and lease_until_ms > ",
    now_ms!()
);

const LET_GO: &str =
    "update claims set lease_until_ms = 0 where payment_key = $1 and lease_token = $2";

const MOVE: &str = concat!(
    "update claims set state = $1, transaction_hash = coalesce($2, transaction_hash), ",
    "updated_at_ms = ",
    now_ms!(),
    " where payment_key = $3 and state = $4 and lease_token = $5"
);

const UNHELD: &str = concat!(
    "select *, ",
    deferral!(),
    ", false as held from claims where state = any($1) and lease_until_ms <= ",
    one_now_ms!(),
    " order by updated_at_ms, payment_key limit $2"
);

const JOURNAL: &str = "select * from journal where payment_key = $1 order by id";

#[async_trait]
impl ClaimStore for PostgresLedger {
    async fn claim(&self, new: &NewClaim, lease_ms: u64) -> Result<Claimed, LedgerError> {
        self.retried(|| claim(self, new, lease_ms)).await
    }

    async fn find_claim(&self, key: &PaymentKey) -> Result<Option<Claim>, LedgerError> {
        let find = || async {
            let query = sqlx::query(SELECT).bind(key.0.as_slice());
            let row = query.fetch_optional(&self.pool).await?;
            Ok(row.as_ref().map(read).transpose()?)
        };
        self.retried(find).await
    }

    async fn take_over(
        &self,
        key: &PaymentKey,
        state: ClaimState,
        lease_ms: u64,
    ) -> Result<Option<Hold>, LedgerError> {
        self.retried(|| take_over(self, key, state, lease_ms)).await
    }

    async fn renew(&self, hold: &Hold, lease_ms: u64) -> Result<bool, LedgerError> {
        let renew = || async {
            let mut tx = self.begin().await?;
            let done = sqlx::query(RENEW)
                .bind(signed(lease_ms))
                .bind(hold.key.0.as_slice())
                .bind(hold.token)
                .execute(&mut *tx)
                .await?;
            tx.commit().await?;
            Ok(done.rows_affected() == 1)
        };
        self.retried(renew).await
    }

    async fn let_go(&self, hold: &Hold) -> Result<(), LedgerError> {
        let let_go = || async {
            let mut tx = self.begin().await?;
            let query = sqlx::query(LET_GO).bind(hold.key.0.as_slice()).bind(hold.token);
            query.execute(&mut *tx).await?;
            Ok(tx.commit().await?)
        };
        self.retried(let_go).await
    }

    async fn move_claim(&self, hold: &Hold, step: ClaimMove) -> Result<bool, LedgerError> {
        if !step.from.may_become_bare(step.to) {
            return Err(LedgerError::IllegalMove { from: step.from.name(), to: step.to.name() });
        }
        self.retried(|| move_claim(self, hold, &step)).await
    }

    async fn settle_first(
        &self,
        hold: &Hold,
        request: &PaymentRequest,
    ) -> Result<bool, LedgerError> {
        kept::settle_first(self, hold, request).await
    }

    async fn start_handler(&self, hold: &Hold) -> Result<Option<bool>, LedgerError> {
        self.retried(|| handler_mark::start(self, hold)).await
    }

    async fn keep_answer(
        &self,
        hold: &Hold,
        answer: &StoredAnswer,
        request: &PaymentRequest,
    ) -> Result<bool, LedgerError> {
        kept::keep(self, hold, answer, request).await
    }

    async fn find_answer(&self, key: &PaymentKey) -> Result<Option<StoredAnswer>, LedgerError> {
        kept::answer(self, key).await
    }

    async fn find_request(&self, key: &PaymentKey) -> Result<Option<PaymentRequest>, LedgerError> {
        kept::request(self, key).await
    }

    async fn forget_answers(&self, older_than_ms: u64, limit: u32) -> Result<u64, LedgerError> {
        self.retried(|| kept::forget(self, older_than_ms, limit)).await
    }

    async fn grant(&self, hold: &Hold, grant_id: Uuid) -> Result<bool, LedgerError> {
        self.retried(|| grants::grant(self, hold, grant_id)).await
    }

    async fn grant_deferred(
        &self,
        hold: &Hold,
        answer: &StoredAnswer,
        grant_id: Uuid,
    ) -> Result<bool, LedgerError> {
        let sealed = kept::sealed_answer(self, hold, answer)?;
        let grant = || grants::grant_deferred(self, hold, (&sealed, &answer.body), grant_id);
        self.retried(grant).await
    }

    async fn unheld_claims(
        &self,
        states: &[ClaimState],
        limit: u32,
    ) -> Result<Vec<Claim>, LedgerError> {
        let numbers: Vec<i64> = states.iter().map(|state| state.number()).collect();
        let find = || async {
            let query = sqlx::query(UNHELD).bind(&numbers).bind(i64::from(limit));
            let rows = query.fetch_all(&self.pool).await?;
            Ok(rows.iter().map(read).collect::<Result<_, _>>()?)
        };
        self.retried(find).await
    }

    async fn journal(&self, key: &PaymentKey) -> Result<Vec<JournalEntry>, LedgerError> {
        let find = || async {
            let query = sqlx::query(JOURNAL).bind(key.0.as_slice());
            let rows = query.fetch_all(&self.pool).await?;
            Ok(rows.iter().map(entry).collect::<Result<_, _>>()?)
        };
        self.retried(find).await
    }

    async fn ping(&self) -> Result<(), LedgerError> {
        // A number for a writing transaction: a standby and a read-only database have none.
        let ping = || async {
            let mut tx = self.begin().await?;
            sqlx::query("select pg_current_xact_id()::text").execute(&mut *tx).await?;
            Ok(tx.rollback().await?)
        };
        self.retried(ping).await
    }

    fn deployment(&self) -> Uuid {
        self.deployment
    }
}

async fn claim(ledger: &PostgresLedger, new: &NewClaim, lease_ms: u64) -> Result<Claimed, Failure> {
    let mut tx = ledger.begin().await?;
    let claimed = claim_in(&mut tx, new, lease_ms).await?;
    if matches!(claimed, Claimed::Won(_)) {
        tx.commit().await?;
    }
    Ok(claimed)
}

/// The insert, or the second epoch of what was released, in the caller's transaction.
pub(super) async fn claim_in(
    tx: &mut Transaction<'static, Postgres>,
    new: &NewClaim,
    lease_ms: u64,
) -> Result<Claimed, Failure> {
    if insert(tx, new, lease_ms).await? {
        let evidence = json!({ "route": new.route, "settle_id": new.settle_id });
        journal(tx, GATE, &new.key, ("", ClaimState::Verified.name()), &evidence).await?;
        let hold = Hold { key: new.key, token: FIRST_TOKEN, epoch: 0, settle_id: new.settle_id };
        return Ok(Claimed::Won(hold));
    }
    let again = sqlx::query(RECLAIM)
        .bind(signed(lease_ms))
        .bind(new.key.0.as_slice())
        .bind(new.request_fp.as_slice())
        .bind(new.payload_hash.as_slice())
        .bind(new.requirements_hash.as_slice())
        .fetch_optional(&mut **tx)
        .await?;
    if let Some(row) = again {
        let hold = hold(&row, new.key)?;
        let states = (ClaimState::Released.name(), ClaimState::Verified.name());
        journal(tx, GATE, &new.key, states, &json!({ "epoch": hold.epoch })).await?;
        return Ok(Claimed::Won(hold));
    }
    let query = sqlx::query(SELECT).bind(new.key.0.as_slice());
    match query.fetch_optional(&mut **tx).await? {
        Some(row) => Ok(Claimed::Exists(Box::new(read(&row)?))),
        None => Err(refused("claims.settle_id")),
    }
}

async fn take_over(
    ledger: &PostgresLedger,
    key: &PaymentKey,
    state: ClaimState,
    lease_ms: u64,
) -> Result<Option<Hold>, Failure> {
    let mut tx = ledger.begin().await?;
    let row = sqlx::query(TAKE_OVER)
        .bind(i64::from(state.runs_again()))
        .bind(signed(lease_ms))
        .bind(key.0.as_slice())
        .bind(state.number())
        .fetch_optional(&mut *tx)
        .await?;
    let Some(row) = row else { return Ok(None) };
    let hold = hold(&row, *key)?;
    let evidence = json!({ "taken_over": true, "epoch": hold.epoch, "token": hold.token });
    journal(&mut tx, GATE, key, (state.name(), state.name()), &evidence).await?;
    tx.commit().await?;
    Ok(Some(hold))
}

async fn move_claim(
    ledger: &PostgresLedger,
    hold: &Hold,
    step: &ClaimMove,
) -> Result<bool, Failure> {
    let mut tx = ledger.begin().await?;
    let transaction = step.transaction.as_deref();
    if !self::step(&mut tx, hold, (step.from, step.to), transaction).await? {
        return Ok(false);
    }
    match step.to {
        ClaimState::Released => exposure::forget_waiting(&mut tx, &hold.key).await?,
        ClaimState::Credit => {
            let reason = step.evidence.get("reason").and_then(Value::as_str);
            let reason = reason.unwrap_or(ClaimState::Credit.name());
            debts::open(&mut tx, &hold.key, Debtor::Payee, reason).await?;
        }
        _ => {}
    }
    let states = (step.from.name(), step.to.name());
    journal(&mut tx, GATE, &hold.key, states, &step.evidence).await?;
    tx.commit().await?;
    Ok(true)
}

/// The compare-and-set of every move but the grant.
pub(super) async fn step(
    tx: &mut Transaction<'static, Postgres>,
    hold: &Hold,
    (from, to): (ClaimState, ClaimState),
    transaction: Option<&str>,
) -> Result<bool, Failure> {
    let done = sqlx::query(MOVE)
        .bind(to.number())
        .bind(transaction.map(text))
        .bind(hold.key.0.as_slice())
        .bind(from.number())
        .bind(hold.token)
        .execute(&mut **tx)
        .await?;
    Ok(done.rows_affected() == 1)
}

fn entry(row: &PgRow) -> Result<JournalEntry, LedgerError> {
    Ok(JournalEntry {
        id: column(row, "id")?,
        at_unix_ms: column(row, "at_ms")?,
        actor: column(row, "actor")?,
        subject: column(row, "subject")?,
        from_state: column(row, "from_state")?,
        to_state: column(row, "to_state")?,
        evidence: column(row, "evidence")?,
    })
}
