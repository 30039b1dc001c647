//! The gate's side of the ledger in memory.

use std::collections::BTreeMap;

use async_trait::async_trait;
use faregate_protocol::{PaymentKey, PaymentRequest};
use serde_json::{Value, json};
use uuid::Uuid;

use super::rows::{ClaimRow, Rows};
use super::{MemoryLedger, clamped, parts, refused, stored};
use crate::{
    Claim, ClaimMove, ClaimState, ClaimStore, Claimed, Debtor, Hold, JournalEntry, LedgerError,
    NewClaim, StoredAnswer, StoredBody,
};

const GATE: (&str, &str) = ("gate", "claim");
const FIRST_TOKEN: i64 = 1;

#[async_trait]
impl ClaimStore for MemoryLedger {
    async fn claim(&self, new: &NewClaim, lease_ms: u64) -> Result<Claimed, LedgerError> {
        let (mut rows, now) = self.open();
        claim(&mut rows, now, new, lease_ms)
    }

    async fn find_claim(&self, key: &PaymentKey) -> Result<Option<Claim>, LedgerError> {
        let (rows, now) = self.open();
        Ok(rows.claims.get(key).map(|row| read(&rows, row, now)))
    }

    async fn take_over(
        &self,
        key: &PaymentKey,
        state: ClaimState,
        lease_ms: u64,
    ) -> Result<Option<Hold>, LedgerError> {
        let (mut rows, now) = self.open();
        let Some(row) =
            rows.claims.get_mut(key).filter(|row| row.state == state && row.lease_until_ms <= now)
        else {
            return Ok(None);
        };
        row.token = row.token.saturating_add(1);
        row.epoch = row.epoch.saturating_add(i64::from(state.runs_again()));
        row.lease_until_ms = now.saturating_add(stored(lease_ms));
        row.updated_at_ms = now;
        let hold = hold(row);
        let evidence = json!({ "taken_over": true, "epoch": hold.epoch, "token": hold.token });
        rows.note(now, GATE, key, (state.name(), state.name()), &evidence);
        Ok(Some(hold))
    }

    async fn renew(&self, hold: &Hold, lease_ms: u64) -> Result<bool, LedgerError> {
        let (mut rows, now) = self.open();
        let row = rows.claims.get_mut(&hold.key);
        let Some(row) = row.filter(|row| row.token == hold.token && row.lease_until_ms > now)
        else {
            return Ok(false);
        };
        row.lease_until_ms = now.saturating_add(stored(lease_ms));
        Ok(true)
    }

    async fn let_go(&self, hold: &Hold) -> Result<(), LedgerError> {
        let (mut rows, _) = self.open();
        if let Some(row) = rows.claims.get_mut(&hold.key).filter(|row| row.token == hold.token) {
            row.lease_until_ms = 0;
        }
        Ok(())
    }

    async fn move_claim(&self, hold: &Hold, step: ClaimMove) -> Result<bool, LedgerError> {
        if !step.from.may_become_bare(step.to) {
            return Err(LedgerError::IllegalMove { from: step.from.name(), to: step.to.name() });
        }
        let (mut rows, now) = self.open();
        let row = rows.claims.get_mut(&hold.key);
        let Some(row) = row.filter(|row| row.state == step.from && row.token == hold.token) else {
            return Ok(false);
        };
        row.state = step.to;
        row.updated_at_ms = now;
        if let Some(transaction) = step.transaction {
            row.transaction = transaction;
        }
        match step.to {
            ClaimState::Released => rows.forget_waiting(&hold.key),
            ClaimState::Credit => {
                let reason = step.evidence.get("reason").and_then(Value::as_str);
                let reason = reason.unwrap_or(ClaimState::Credit.name()).to_owned();
                rows.open_debt(now, &hold.key, Debtor::Payee, reason);
            }
            _ => {}
        }
        let states = (step.from.name(), step.to.name());
        rows.note(now, GATE, &hold.key, states, &step.evidence);
        Ok(true)
    }

    async fn settle_first(
        &self,
        hold: &Hold,
        request: &PaymentRequest,
    ) -> Result<bool, LedgerError> {
        let (from, to) = (ClaimState::Verified, ClaimState::Settling);
        let (mut rows, now) = self.open();
        let row = rows.claims.get_mut(&hold.key);
        let Some(row) = row.filter(|row| row.state == from && row.token == hold.token) else {
            return Ok(false);
        };
        row.state = to;
        row.updated_at_ms = now;
        row.kept_request = Some(request.clone());
        let evidence = json!({ "first": true });
        rows.note(now, GATE, &hold.key, (from.name(), to.name()), &evidence);
        Ok(true)
    }

    async fn start_handler(&self, hold: &Hold) -> Result<Option<bool>, LedgerError> {
        let (mut rows, now) = self.open();
        let row = rows.claims.get_mut(&hold.key);
        let verified = ClaimState::Verified;
        let Some(row) = row.filter(|row| row.state == verified && row.token == hold.token) else {
            return Ok(None);
        };
        if std::mem::replace(&mut row.handler_started, true) {
            return Ok(Some(false));
        }
        row.updated_at_ms = now;
        let (states, evidence) =
            ((verified.name(), verified.name()), json!({ "handler_started": true }));
        rows.note(now, GATE, &hold.key, states, &evidence);
        Ok(Some(true))
    }

    async fn keep_answer(
        &self,
        hold: &Hold,
        answer: &StoredAnswer,
        request: &PaymentRequest,
    ) -> Result<bool, LedgerError> {
        let (mut rows, now) = self.open();
        let is_deferred = rows.is_waiting(&hold.key);
        let row = rows.claims.get_mut(&hold.key).filter(|row| row.token == hold.token);
        let Some(row) = row else { return Ok(false) };
        let from = row.state;
        let Some(to) = from.with_answer(is_deferred) else { return Ok(false) };
        if !is_whole(row, answer) {
            return Err(LedgerError::Corrupt { what: "kept_parts" });
        }
        row.state = to;
        row.updated_at_ms = now;
        row.kept = Some((answer.clone(), request.clone()));
        let evidence = json!({ "answer_bytes": answer.body.size() });
        rows.note(now, GATE, &hold.key, (from.name(), to.name()), &evidence);
        Ok(true)
    }

    async fn find_answer(&self, key: &PaymentKey) -> Result<Option<StoredAnswer>, LedgerError> {
        let (rows, _) = self.open();
        let Some(row) = rows.claims.get(key) else { return Ok(None) };
        let answer = row.kept.as_ref().map(|(answer, _)| answer);
        Ok(answer.filter(|answer| is_whole(row, answer)).cloned())
    }

    async fn find_request(&self, key: &PaymentKey) -> Result<Option<PaymentRequest>, LedgerError> {
        let (rows, _) = self.open();
        let Some(row) = rows.claims.get(key) else { return Ok(None) };
        let kept = row.kept.as_ref().map(|(_, request)| request);
        Ok(kept.or(row.kept_request.as_ref()).cloned())
    }

    async fn forget_answers(&self, older_than_ms: u64, limit: u32) -> Result<u64, LedgerError> {
        use ClaimState::{Granted, NotCharged, Released};
        const MS: i64 = 1000;
        let (mut rows, now) = self.open();
        let before = now.saturating_sub(stored(older_than_ms));
        let rows = &mut *rows;
        let old = rows.claims.values_mut().filter(|row| {
            row.kept.is_some()
                && matches!(row.state, Granted | Released | NotCharged)
                && stored(row.new.valid_before).saturating_mul(MS) <= before
        });
        let limit = usize::try_from(limit).unwrap_or(usize::MAX);
        let mut forgotten = 0;
        for row in old.take(limit) {
            row.kept = None;
            let deferral = rows.deferrals.get(&row.new.key);
            if deferral.is_none_or(|deferral| deferral.state.is_end()) {
                row.kept_request = None;
            }
            forgotten += 1;
        }
        Ok(parts::forget(rows, limit).saturating_add(forgotten))
    }

    async fn grant(&self, hold: &Hold, grant_id: Uuid) -> Result<bool, LedgerError> {
        let (mut rows, now) = self.open();
        let taken = rows.grants.contains(&grant_id);
        let is_deferred = rows.is_waiting(&hold.key);
        let Some(row) = rows
            .claims
            .get_mut(&hold.key)
            .filter(|row| row.state.is_grantable() && row.token == hold.token && !row.granted)
        else {
            return Ok(false);
        };
        let from = row.state;
        if from == ClaimState::Deferred && !is_deferred {
            return Ok(false);
        }
        if taken {
            return Err(refused("claims.grant_id"));
        }
        row.state = ClaimState::Granted;
        row.granted = true;
        row.updated_at_ms = now;
        rows.grants.insert(grant_id);
        if from == ClaimState::Deferred {
            rows.make_due(now, &hold.key);
        }
        let states = (from.name(), ClaimState::Granted.name());
        rows.note(now, GATE, &hold.key, states, &json!({ "grant_id": grant_id }));
        Ok(true)
    }

    async fn grant_deferred(
        &self,
        hold: &Hold,
        answer: &StoredAnswer,
        grant_id: Uuid,
    ) -> Result<bool, LedgerError> {
        use ClaimState::{Deferred, Granted, Verified};
        let (mut rows, now) = self.open();
        let taken = rows.grants.contains(&grant_id);
        let is_deferred = rows.is_waiting(&hold.key);
        let row = rows.claims.get_mut(&hold.key).filter(|row| {
            row.state == Verified && row.token == hold.token && !row.granted && is_deferred
        });
        let Some(row) = row else { return Ok(false) };
        if taken {
            return Err(refused("claims.grant_id"));
        }
        if !is_whole(row, answer) {
            return Err(LedgerError::Corrupt { what: "kept_parts" });
        }
        let request = row.kept_request.clone();
        let request = request.ok_or(LedgerError::Corrupt { what: "kept_requests" })?;
        row.state = Granted;
        row.granted = true;
        row.updated_at_ms = now;
        row.kept = Some((answer.clone(), request));
        rows.grants.insert(grant_id);
        rows.make_due(now, &hold.key);
        for (from, to, evidence) in [
            (Verified, Deferred, json!({ "answer_bytes": answer.body.size() })),
            (Deferred, Granted, json!({ "grant_id": grant_id })),
        ] {
            rows.note(now, GATE, &hold.key, (from.name(), to.name()), &evidence);
        }
        Ok(true)
    }

    async fn unheld_claims(
        &self,
        states: &[ClaimState],
        limit: u32,
    ) -> Result<Vec<Claim>, LedgerError> {
        let (rows, now) = self.open();
        let unheld = |row: &&ClaimRow| states.contains(&row.state) && row.lease_until_ms <= now;
        let mut found: Vec<_> = rows.claims.values().filter(unheld).collect();
        found.sort_by_key(|row| (row.updated_at_ms, row.new.key));
        let limit = usize::try_from(limit).unwrap_or(usize::MAX);
        Ok(found.into_iter().take(limit).map(|row| read(&rows, row, now)).collect())
    }

    async fn journal(&self, key: &PaymentKey) -> Result<Vec<JournalEntry>, LedgerError> {
        Ok(self.open().0.journal_of(key))
    }

    async fn ping(&self) -> Result<(), LedgerError> {
        Ok(())
    }

    fn deployment(&self) -> Uuid {
        self.deployment
    }
}

/// The insert, or the second epoch of what was released.
pub(super) fn claim(
    rows: &mut Rows,
    now: i64,
    new: &NewClaim,
    lease_ms: u64,
) -> Result<Claimed, LedgerError> {
    let lease_until_ms = now.saturating_add(stored(lease_ms));
    if let Some(row) = rows.claims.get(&new.key)
        && !is_free_for(row, new)
    {
        return Ok(Claimed::Exists(Box::new(read(rows, row, now))));
    }
    let Some(row) = rows.claims.get_mut(&new.key) else {
        if rows.claims_by_settle_id.contains_key(&new.settle_id) {
            return Err(refused("claims.settle_id"));
        }
        rows.claims_by_settle_id.insert(new.settle_id, new.key);
        let row = inserted(new, now, lease_until_ms);
        let hold = hold(&row);
        rows.claims.insert(new.key, row);
        let evidence = json!({ "route": new.route, "settle_id": new.settle_id });
        rows.note(now, GATE, &new.key, ("", ClaimState::Verified.name()), &evidence);
        return Ok(Claimed::Won(hold));
    };
    row.state = ClaimState::Verified;
    row.epoch = row.epoch.saturating_add(1);
    row.token = row.token.saturating_add(1);
    row.lease_until_ms = lease_until_ms;
    row.updated_at_ms = now;
    let hold = hold(row);
    let states = (ClaimState::Released.name(), ClaimState::Verified.name());
    rows.note(now, GATE, &new.key, states, &json!({ "epoch": hold.epoch }));
    Ok(Claimed::Won(hold))
}

pub(super) fn is_free_for(row: &ClaimRow, new: &NewClaim) -> bool {
    row.state == ClaimState::Released
        && row.new.request_fp == new.request_fp
        && row.new.payload_hash == new.payload_hash
        && row.new.requirements_hash == new.requirements_hash
}

fn inserted(new: &NewClaim, now: i64, lease_until_ms: i64) -> ClaimRow {
    ClaimRow {
        new: NewClaim { valid_before: clamped(new.valid_before), ..new.clone() },
        state: ClaimState::Verified,
        granted: false,
        handler_started: false,
        kept: None,
        parts: BTreeMap::new(),
        kept_request: None,
        epoch: 0,
        token: FIRST_TOKEN,
        lease_until_ms,
        transaction: String::new(),
        updated_at_ms: now,
    }
}

/// The body is here or can be read to its end.
fn is_whole(row: &ClaimRow, answer: &StoredAnswer) -> bool {
    match &answer.body {
        StoredBody::Whole(_) => true,
        StoredBody::Parts(body) => parts::are_all_there(row, body),
    }
}

fn hold(row: &ClaimRow) -> Hold {
    Hold { key: row.new.key, token: row.token, epoch: row.epoch, settle_id: row.new.settle_id }
}

fn read(rows: &Rows, row: &ClaimRow, now: i64) -> Claim {
    Claim {
        new: row.new.clone(),
        state: row.state,
        token: row.token,
        epoch: row.epoch,
        held: row.lease_until_ms > now,
        handler_started: row.handler_started,
        transaction: row.transaction.clone(),
        deferral: rows.deferrals.get(&row.new.key).map(|deferral| deferral.state),
    }
}
