//! The gate's side of the ledger on SQLite.

use async_trait::async_trait;
use faregate_protocol::{Amount, PaymentKey, PaymentRequest};
use serde_json::{Value, json};
use sqlx::sqlite::SqliteRow;
use sqlx::{Row, Sqlite, Transaction};
use uuid::Uuid;

use super::{
    SqliteLedger, bytes32, column, handler_mark, journal, kept, now_ms, signed, unavailable,
    unsigned, uuid,
};
use crate::{
    Claim, ClaimMove, ClaimState, ClaimStore, Claimed, Hold, JournalEntry, LedgerError, NewClaim,
    StoredAnswer,
};

pub(super) const ACTOR: &str = "gate";
pub(super) const SUBJECT: &str = "claim";

const INSERT: &str = concat!(
    "insert into claims (payment_key, settle_id, facilitator, request_fp, requirements_hash, ",
    "payload_hash, route, network, payer, pay_to, asset, amount, valid_before, state, ",
    "lease_until_ms, created_at_ms, updated_at_ms) ",
    "values (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, 0, ",
    now_ms!(),
    " + ?, ",
    now_ms!(),
    ", ",
    now_ms!(),
    ") on conflict (payment_key) do nothing"
);

const SELECT: &str =
    concat!("select *, lease_until_ms > ", now_ms!(), " as held from claims where payment_key = ?");

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

const GRANT: &str = concat!(
    "update claims set state = 4, grant_id = ?, granted_at_ms = ",
    now_ms!(),
    ", updated_at_ms = ",
    now_ms!(),
    " where payment_key = ? and state = 3 and lease_token = ? and grant_id is null"
);

const UNHELD: &str = concat!(
    "select *, 0 as held from claims where state in (select value from json_each(?)) ",
    "and lease_until_ms <= ",
    now_ms!(),
    " order by updated_at_ms, payment_key limit ?"
);

#[async_trait]
impl ClaimStore for SqliteLedger {
    async fn claim(&self, new: &NewClaim, lease_ms: u64) -> Result<Claimed, LedgerError> {
        let mut tx = self.begin().await?;
        if insert(&mut tx, new, lease_ms).await? {
            let evidence = json!({ "route": new.route, "settle_id": new.settle_id });
            let states = ("", ClaimState::Verified.name());
            journal(&mut tx, ACTOR, SUBJECT, &new.key, states, &evidence).await?;
            tx.commit().await.map_err(unavailable)?;
            let hold = Hold { key: new.key, token: 1, epoch: 0, settle_id: new.settle_id };
            return Ok(Claimed::Won(hold));
        }
        let again = sqlx::query(RECLAIM)
            .bind(signed(lease_ms))
            .bind(new.key.0.as_slice())
            .bind(new.request_fp.as_slice())
            .bind(new.payload_hash.as_slice())
            .bind(new.requirements_hash.as_slice())
            .fetch_optional(&mut *tx)
            .await
            .map_err(unavailable)?;
        if let Some(row) = again {
            let hold = hold(&row, new.key)?;
            let states = (ClaimState::Released.name(), ClaimState::Verified.name());
            let evidence = json!({ "epoch": hold.epoch });
            journal(&mut tx, ACTOR, SUBJECT, &new.key, states, &evidence).await?;
            tx.commit().await.map_err(unavailable)?;
            return Ok(Claimed::Won(hold));
        }
        let row = sqlx::query(SELECT)
            .bind(new.key.0.as_slice())
            .fetch_one(&mut *tx)
            .await
            .map_err(unavailable)?;
        Ok(Claimed::Exists(Box::new(read(&row)?)))
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
        let runs_again = matches!(state, ClaimState::Settled | ClaimState::Executed);
        let mut tx = self.begin().await?;
        let row = sqlx::query(TAKE_OVER)
            .bind(i64::from(runs_again))
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
        let done = sqlx::query(RENEW)
            .bind(signed(lease_ms))
            .bind(hold.key.0.as_slice())
            .bind(hold.token)
            .execute(&self.writer)
            .await
            .map_err(unavailable)?;
        Ok(done.rows_affected() == 1)
    }

    async fn let_go(&self, hold: &Hold) -> Result<(), LedgerError> {
        sqlx::query(LET_GO)
            .bind(hold.key.0.as_slice())
            .bind(hold.token)
            .execute(&self.writer)
            .await
            .map_err(unavailable)?;
        Ok(())
    }

    async fn move_claim(&self, hold: &Hold, step: ClaimMove) -> Result<bool, LedgerError> {
        // A grant has a statement of its own: it needs a grant id.
        if !step.from.may_become(step.to) || step.to == ClaimState::Granted {
            return Err(LedgerError::IllegalMove { from: step.from.name(), to: step.to.name() });
        }
        let mut tx = self.begin().await?;
        let ClaimMove { from, to, transaction, evidence } = step;
        if !self::step(&mut tx, hold, from, to, transaction).await? {
            return Ok(false);
        }
        let states = (from.name(), to.name());
        journal(&mut tx, ACTOR, SUBJECT, &hold.key, states, &evidence).await?;
        tx.commit().await.map_err(unavailable)?;
        Ok(true)
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
        let mut tx = self.begin().await?;
        let done = sqlx::query(GRANT)
            .bind(grant_id.to_string())
            .bind(hold.key.0.as_slice())
            .bind(hold.token)
            .execute(&mut *tx)
            .await
            .map_err(unavailable)?;
        if done.rows_affected() != 1 {
            return Ok(false);
        }
        let states = (ClaimState::Settled.name(), ClaimState::Granted.name());
        let evidence = json!({ "grant_id": grant_id });
        journal(&mut tx, ACTOR, SUBJECT, &hold.key, states, &evidence).await?;
        tx.commit().await.map_err(unavailable)?;
        Ok(true)
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

/// The compare-and-set of every move but the grant.
pub(super) async fn step(
    tx: &mut Transaction<'static, Sqlite>,
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

async fn insert(
    tx: &mut Transaction<'static, Sqlite>,
    new: &NewClaim,
    lease_ms: u64,
) -> Result<bool, LedgerError> {
    let done = sqlx::query(INSERT)
        .bind(new.key.0.as_slice())
        .bind(new.settle_id.to_string())
        .bind(&new.facilitator)
        .bind(new.request_fp.as_slice())
        .bind(new.requirements_hash.as_slice())
        .bind(new.payload_hash.as_slice())
        .bind(&new.route)
        .bind(&new.network)
        .bind(&new.payer)
        .bind(&new.pay_to)
        .bind(&new.asset)
        .bind(new.amount.to_be_bytes().to_vec())
        .bind(signed(new.valid_before))
        .bind(signed(lease_ms))
        .execute(&mut **tx)
        .await
        .map_err(unavailable)?;
    Ok(done.rows_affected() == 1)
}

fn hold(row: &SqliteRow, key: PaymentKey) -> Result<Hold, LedgerError> {
    Ok(Hold {
        key,
        token: column(row, "lease_token")?,
        epoch: column(row, "epoch")?,
        settle_id: uuid(row, "settle_id")?,
    })
}

fn read(row: &SqliteRow) -> Result<Claim, LedgerError> {
    let state: i64 = column(row, "state")?;
    Ok(Claim {
        new: NewClaim {
            key: PaymentKey(bytes32(row, "payment_key")?),
            settle_id: uuid(row, "settle_id")?,
            facilitator: column(row, "facilitator")?,
            request_fp: bytes32(row, "request_fp")?,
            requirements_hash: bytes32(row, "requirements_hash")?,
            payload_hash: bytes32(row, "payload_hash")?,
            route: column(row, "route")?,
            network: column(row, "network")?,
            payer: column(row, "payer")?,
            pay_to: column(row, "pay_to")?,
            asset: column(row, "asset")?,
            amount: Amount::from_be_bytes(bytes32(row, "amount")?),
            valid_before: unsigned(row, "valid_before")?,
        },
        state: ClaimState::from_number(state).ok_or(LedgerError::Corrupt { what: "state" })?,
        token: column(row, "lease_token")?,
        epoch: column(row, "epoch")?,
        held: row.try_get::<i64, _>("held").is_ok_and(|held| held != 0),
        handler_started: column::<i64>(row, "handler_started")? != 0,
        transaction: column(row, "transaction_hash")?,
    })
}
