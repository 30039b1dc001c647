//! The gate's side of the ledger on SQLite.

use async_trait::async_trait;
use faregate_protocol::{PaymentKey, PaymentRequest};
use rusqlite::{Connection, params};
use serde_json::{Value, json};
use uuid::Uuid;

use super::asking::Turn;
use super::claim_rows::{hold, insert, read};
use super::statements::{all, column, exactly_one, journal, now_ms, one, run, signed};
use super::{SqliteLedger, debts, exposure, grants, handler_mark, kept};
use crate::{
    Claim, ClaimMove, ClaimState, ClaimStore, Claimed, Debtor, Hold, JournalEntry, LedgerError,
    NewClaim, StoredAnswer,
};

pub(super) const ACTOR: &str = "gate";
pub(super) const SUBJECT: &str = "claim";

/// Where the money of a claim stands, if that is a row of its own.
macro_rules! deferral {
    () => {
        "(select d.state from deferrals d where d.settle_id = claims.settle_id) as deferral"
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
        let new = new.clone();
        self.write(move |tx| {
            let claimed = claim(tx, &new, lease_ms)?;
            Ok(match claimed {
                Claimed::Won(_) => Turn::Kept(claimed),
                Claimed::Exists(_) => Turn::TakenBack(claimed),
            })
        })
        .await
    }

    async fn find_claim(&self, key: &PaymentKey) -> Result<Option<Claim>, LedgerError> {
        let key = *key;
        self.read(move |on| one(on, SELECT, params![key.0.as_slice()], read)).await
    }

    async fn take_over(
        &self,
        key: &PaymentKey,
        state: ClaimState,
        lease_ms: u64,
    ) -> Result<Option<Hold>, LedgerError> {
        let key = *key;
        self.write(move |tx| {
            let runs_again = i64::from(state.runs_again());
            let values = params![runs_again, signed(lease_ms), key.0.as_slice(), state.number()];
            let Some(hold) = one(tx, TAKE_OVER, values, |row| hold(row, key))? else {
                return Ok(Turn::TakenBack(None));
            };
            let evidence = json!({ "taken_over": true, "epoch": hold.epoch, "token": hold.token });
            journal(tx, ACTOR, SUBJECT, &hold, (state.name(), state.name()), &evidence)?;
            Ok(Turn::Kept(Some(hold)))
        })
        .await
    }

    async fn renew(&self, hold: &Hold, lease_ms: u64) -> Result<bool, LedgerError> {
        let hold = *hold;
        self.write(move |tx| {
            let values = params![signed(lease_ms), hold.key.0.as_slice(), hold.token];
            Ok(Turn::Kept(run(tx, RENEW, values)? == 1))
        })
        .await
    }

    async fn let_go(&self, hold: &Hold) -> Result<(), LedgerError> {
        let hold = *hold;
        self.write(move |tx| {
            run(tx, LET_GO, params![hold.key.0.as_slice(), hold.token])?;
            Ok(Turn::Kept(()))
        })
        .await
    }

    async fn move_claim(&self, hold: &Hold, step: ClaimMove) -> Result<bool, LedgerError> {
        if !step.from.may_become_bare(step.to) {
            return Err(LedgerError::IllegalMove { from: step.from.name(), to: step.to.name() });
        }
        let hold = *hold;
        self.write(move |tx| {
            let ClaimMove { from, to, transaction, evidence } = &step;
            let (from, to) = (*from, *to);
            if !self::step(tx, &hold, from, to, transaction.as_deref())? {
                return Ok(Turn::TakenBack(false));
            }
            match to {
                ClaimState::Released => exposure::forget_waiting(tx, hold.settle_id)?,
                ClaimState::Credit => {
                    let reason = evidence.get("reason").and_then(Value::as_str);
                    let reason = reason.unwrap_or(ClaimState::Credit.name());
                    debts::open(tx, &hold.key, Debtor::Payee, reason)?;
                }
                _ => {}
            }
            journal(tx, ACTOR, SUBJECT, &hold, (from.name(), to.name()), evidence)?;
            Ok(Turn::Kept(true))
        })
        .await
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

    async fn grant_deferred(
        &self,
        hold: &Hold,
        answer: &StoredAnswer,
        grant_id: Uuid,
    ) -> Result<bool, LedgerError> {
        grants::grant_deferred(self, hold, answer, grant_id).await
    }

    async fn unheld_claims(
        &self,
        states: &[ClaimState],
        limit: u32,
    ) -> Result<Vec<Claim>, LedgerError> {
        let numbers: Value = states.iter().map(|state| state.number()).collect();
        self.read(move |on| all(on, UNHELD, params![numbers.to_string(), limit], read)).await
    }

    async fn journal(&self, key: &PaymentKey) -> Result<Vec<JournalEntry>, LedgerError> {
        const OF_ONE: &str = "select * from journal where payment_key = ?1 and settle_id is null \
             union all select j.* from claims c join journal j on j.settle_id = c.settle_id \
             where c.payment_key = ?1 order by id";
        let key = *key;
        self.read(move |on| {
            all(on, OF_ONE, params![key.0.as_slice()], |row| {
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
        })
        .await
    }

    async fn ping(&self) -> Result<(), LedgerError> {
        // A write lock shows that the file can still be written; nothing is changed.
        self.write(|_| Ok(Turn::TakenBack(()))).await
    }

    fn deployment(&self) -> Uuid {
        self.deployment
    }
}

/// The insert, or the second epoch of what was released, in the caller's turn.
pub(super) fn claim(
    tx: &Connection,
    new: &NewClaim,
    lease_ms: u64,
) -> Result<Claimed, LedgerError> {
    if insert(tx, new, lease_ms)? {
        let hold = Hold { key: new.key, token: 1, epoch: 0, settle_id: new.settle_id };
        let evidence = json!({ "route": new.route, "settle_id": new.settle_id });
        let states = ("", ClaimState::Verified.name());
        journal(tx, ACTOR, SUBJECT, &hold, states, &evidence)?;
        return Ok(Claimed::Won(hold));
    }
    let values = params![
        signed(lease_ms),
        new.key.0.as_slice(),
        new.request_fp.as_slice(),
        new.payload_hash.as_slice(),
        new.requirements_hash.as_slice(),
    ];
    if let Some(hold) = one(tx, RECLAIM, values, |row| hold(row, new.key))? {
        let states = (ClaimState::Released.name(), ClaimState::Verified.name());
        let evidence = json!({ "epoch": hold.epoch });
        journal(tx, ACTOR, SUBJECT, &hold, states, &evidence)?;
        return Ok(Claimed::Won(hold));
    }
    let found = exactly_one(tx, SELECT, params![new.key.0.as_slice()], read)?;
    Ok(Claimed::Exists(Box::new(found)))
}

/// The compare-and-set of every move but the grant.
pub(super) fn step(
    tx: &Connection,
    hold: &Hold,
    from: ClaimState,
    to: ClaimState,
    transaction: Option<&str>,
) -> Result<bool, LedgerError> {
    let values =
        params![to.number(), transaction, hold.key.0.as_slice(), from.number(), hold.token];
    Ok(run(tx, MOVE, values)? == 1)
}
