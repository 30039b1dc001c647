//! The gate's side of the ledger on SQLite.

use async_trait::async_trait;
use faregate_protocol::{PaymentKey, PaymentRequest};
use serde_json::{Value, json};
use uuid::Uuid;

use super::claim_rows::{hold, insert, read};
use super::{
    SqliteLedger, Turn, column, debts, exposure, grants, handler_mark, journal, kept, now_ms,
    signed, unavailable,
};
use crate::{
    Claim, ClaimMove, ClaimState, ClaimStore, Claimed, Debtor, Hold, JournalEntry, LedgerError,
    NewClaim, StoredAnswer,
};

pub(super) const ACTOR: &str = "gate";
pub(super) const SUBJECT: &str = "claim";

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
    " as held from claims where payment_key = ?"
);

const RECLAIM: &str = concat!(
    "update claims set state = 0, epoch = epoch + 1, lease_token = lease_token + 1, ",
    "lease_until_ms = ",
    now_ms!(),
    " + ?, updated_at_ms = ",
    now_ms!(),
    " where payment_key = ? and state = 5 and request_fp = ? and payload_hash = ? ",
    "and requirements_hash = ? returning lease_token, epoch, settle_id"
);

const TAKE_OVER: &str = concat!(
    "update claims set lease_token = lease_token + 1, epoch = epoch + ?, lease_until_ms = ",
    now_ms!(),
    " + ?, updated_at_ms = ",
    now_ms!(),
    " where payment_key = ? and state = ? and lease_until_ms <= ",
    now_ms!(),
    " returning lease_token, epoch, settle_id"
);

const RENEW: &str = concat!(
    "update claims set lease_until_ms = ",
    now_ms!(),
    " + ? where payment_key = ? and lease_token = ? and lease_until_ms > ",
    now_ms!()
);

const LET_GO: &str =
    "update claims set lease_until_ms = 0 where payment_key = ? and lease_token = ?";

const MOVE: &str = concat!(
    "update claims set state = ?, transaction_hash = coalesce(?, transaction_hash), ",
    "updated_at_ms = ",
    now_ms!(),
    " where payment_key = ? and state = ? and lease_token = ?"
);

const UNHELD: &str = concat!(
    "select *, ",
    deferral!(),
    ", 0 as held from claims where state in (select value from json_each(?)) ",
    "and lease_until_ms <= ",
    now_ms!(),
    " order by updated_at_ms, payment_key limit ?"
);

#[async_trait]
impl ClaimStore for SqliteLedger {
    async fn claim(&self, new: &NewClaim, lease_ms: u64) -> Result<Claimed, LedgerError> {
        let mut tx = self.begin().await?;
        let claimed = claim(&mut tx, new, lease_ms).await?;
        if matches!(claimed, Claimed::Won(_)) {
            tx.commit().await.map_err(unavailable)?;
        }
        Ok(claimed)
    }

    async fn find_claim(&self, key: &PaymentKey) -> Result<Option<Claim>, LedgerError> {
        let row = sqlx::query(SELECT)
            .bind(key.0.as_slice())
            .fetch_optional(&self.reader)
            .await
            .map_err(unavailable)?;
        row.as_ref().map(read).transpose()
    }

    async fn take_over(
        &self,
        key: &PaymentKey,
        state: ClaimState,
        lease_ms: u64,
    ) -> Result<Option<Hold>, LedgerError> {
        let mut tx = self.begin().await?;
        let row = sqlx::query(TAKE_OVER)
            .bind(i64::from(state.runs_again()))
            .bind(signed(lease_ms))
            .bind(key.0.as_slice())
            .bind(state.number())
            .fetch_optional(&mut *tx)
            .await
            .map_err(unavailable)?;
        let Some(row) = row else { return Ok(None) };
        let hold = hold(&row, *key)?;
        let evidence = json!({ "taken_over": true, "epoch": hold.epoch, "token": hold.token });
        journal(&mut tx, ACTOR, SUBJECT, key, (state.name(), state.name()), &evidence).await?;
        tx.commit().await.map_err(unavailable)?;
        Ok(Some(hold))
    }

    async fn renew(&self, hold: &Hold, lease_ms: u64) -> Result<bool, LedgerError> {
        let mut tx = self.begin().await?;
        let done = sqlx::query(RENEW)
            .bind(signed(lease_ms))
            .bind(hold.key.0.as_slice())
            .bind(hold.token)
            .execute(&mut *tx)
            .await
            .map_err(unavailable)?;
        tx.commit().await.map_err(unavailable)?;
        Ok(done.rows_affected() == 1)
    }

    async fn let_go(&self, hold: &Hold) -> Result<(), LedgerError> {
        let mut tx = self.begin().await?;
        let query = sqlx::query(LET_GO).bind(hold.key.0.as_slice()).bind(hold.token);
        query.execute(&mut *tx).await.map_err(unavailable)?;
        tx.commit().await.map_err(unavailable)
    }

    async fn move_claim(&self, hold: &Hold, step: ClaimMove) -> Result<bool, LedgerError> {
        if !step.from.may_become_bare(step.to) {
            return Err(LedgerError::IllegalMove { from: step.from.name(), to: step.to.name() });
        }
        let mut tx = self.begin().await?;
        let ClaimMove { from, to, transaction, evidence } = step;
        if !self::step(&mut tx, hold, from, to, transaction).await? {
            return Ok(false);
        }
        match to {
            ClaimState::Released => exposure::forget_waiting(&mut tx, &hold.key).await?,
            ClaimState::Credit => {
                let reason = evidence.get("reason").and_then(Value::as_str);
                let reason = reason.unwrap_or(ClaimState::Credit.name());
                debts::open(&mut tx, &hold.key, Debtor::Payee, reason).await?;
            }
            _ => {}
        }
        let states = (from.name(), to.name());
        journal(&mut tx, ACTOR, SUBJECT, &hold.key, states, &evidence).await?;
        tx.commit().await.map_err(unavailable)?;
        Ok(true)
    }

    async fn settle_first(
        &self,
        hold: &Hold,
        request: &PaymentRequest,
    ) -> Result<bool, LedgerError> {
        kept::settle_first(self, hold, request).await
    }

    async fn start_handler(&self, hold: &Hold) -> Result<Option<bool>, LedgerError> {
        handler_mark::start(self, hold).await
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
        kept::forget(self, older_than_ms, limit).await
    }

    async fn grant(&self, hold: &Hold, grant_id: Uuid) -> Result<bool, LedgerError> {
        grants::grant(self, hold, grant_id).await
    }

    async fn unheld_claims(
        &self,
        states: &[ClaimState],
        limit: u32,
    ) -> Result<Vec<Claim>, LedgerError> {
        let numbers: Value = states.iter().map(|state| state.number()).collect();
        let rows = sqlx::query(UNHELD)
            .bind(numbers.to_string())
            .bind(limit)
            .fetch_all(&self.reader)
            .await
            .map_err(unavailable)?;
        rows.iter().map(read).collect()
    }

    async fn journal(&self, key: &PaymentKey) -> Result<Vec<JournalEntry>, LedgerError> {
        let rows = sqlx::query("select * from journal where payment_key = ? order by id")
            .bind(key.0.as_slice())
            .fetch_all(&self.reader)
            .await
            .map_err(unavailable)?;
        rows.iter()
            .map(|row| {
                Ok(JournalEntry {
                    id: column(row, "id")?,
                    at_unix_ms: column(row, "at_ms")?,
                    actor: column(row, "actor")?,
                    subject: column(row, "subject")?,
                    from_state: column(row, "from_state")?,
                    to_state: column(row, "to_state")?,
                    evidence: column(row, "evidence")?,
                })
            })
            .collect()
    }

    async fn ping(&self) -> Result<(), LedgerError> {
        // A write lock shows that the file can still be written; nothing is changed.
        let tx = self.begin().await?;
        tx.rollback().await.map_err(unavailable)
    }

    fn deployment(&self) -> Uuid {
        self.deployment
    }
}

/// The insert, or the second epoch of what was released, in the caller's transaction.
pub(super) async fn claim(
    tx: &mut Turn,
    new: &NewClaim,
    lease_ms: u64,
) -> Result<Claimed, LedgerError> {
    if insert(tx, new, lease_ms).await? {
        let evidence = json!({ "route": new.route, "settle_id": new.settle_id });
        let states = ("", ClaimState::Verified.name());
        journal(tx, ACTOR, SUBJECT, &new.key, states, &evidence).await?;
        let hold = Hold { key: new.key, token: 1, epoch: 0, settle_id: new.settle_id };
        return Ok(Claimed::Won(hold));
    }
    let again = sqlx::query(RECLAIM)
        .bind(signed(lease_ms))
        .bind(new.key.0.as_slice())
        .bind(new.request_fp.as_slice())
        .bind(new.payload_hash.as_slice())
        .bind(new.requirements_hash.as_slice())
        .fetch_optional(&mut **tx)
        .await
        .map_err(unavailable)?;
    if let Some(row) = again {
        let hold = hold(&row, new.key)?;
        let states = (ClaimState::Released.name(), ClaimState::Verified.name());
        let evidence = json!({ "epoch": hold.epoch });
        journal(tx, ACTOR, SUBJECT, &new.key, states, &evidence).await?;
        return Ok(Claimed::Won(hold));
    }
    let row = sqlx::query(SELECT)
        .bind(new.key.0.as_slice())
        .fetch_one(&mut **tx)
        .await
        .map_err(unavailable)?;
    Ok(Claimed::Exists(Box::new(read(&row)?)))
}

/// The compare-and-set of every move but the grant.
pub(super) async fn step(
    tx: &mut Turn,
    hold: &Hold,
    from: ClaimState,
    to: ClaimState,
    transaction: Option<String>,
) -> Result<bool, LedgerError> {
    let done = sqlx::query(MOVE)
        .bind(to.number())
        .bind(transaction)
        .bind(hold.key.0.as_slice())
        .bind(from.number())
        .bind(hold.token)
        .execute(&mut **tx)
        .await
        .map_err(unavailable)?;
    Ok(done.rows_affected() == 1)
}
