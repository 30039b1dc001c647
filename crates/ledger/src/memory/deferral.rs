//! The queue of deferred money in memory, and its books.

use async_trait::async_trait;
use faregate_protocol::{Amount, PaymentKey, PaymentRequest};
use serde_json::{Value, json};

use super::rows::{DeferralRow, Rows};
use super::{MemoryLedger, claims, stored};
use crate::deferral::{MAX_DEATHS, after, settle_by_ms};
use crate::{
    AssetExposure, Claimed, Debtor, DeferralState, DeferredClaim, DeferredStore, Due, DueHold,
    ExposureLimits, LedgerError, NewClaim, NotDeferred, QueueFigures, Tried,
};

const DISPATCHER: (&str, &str) = ("dispatcher", "deferral");
const OPERATOR: (&str, &str) = ("operator", "deferral");
/// Everybody's row.
const ALL: &str = "";

#[async_trait]
impl DeferredStore for MemoryLedger {
    async fn claim_deferred(
        &self,
        new: &NewClaim,
        lease_ms: u64,
        request: &PaymentRequest,
        limits: ExposureLimits,
    ) -> Result<DeferredClaim, LedgerError> {
        let (mut rows, now) = self.open();
        let entry = waiting(new, now);
        // Said first, because nothing is taken back here; a claim that exists is told as such.
        let can_be_won = rows.claims.get(&new.key).is_none_or(|row| claims::is_free_for(row, new));
        if can_be_won && let Err(why) = rows.room_for(&entry, limits) {
            return Ok(DeferredClaim::Refused(why));
        }
        let claimed = claims::claim(&mut rows, now, new, lease_ms)?;
        if matches!(claimed, Claimed::Won(_)) {
            rows.book(&entry, Amount::checked_add);
            rows.deferrals.insert(new.key, entry);
            if let Some(row) = rows.claims.get_mut(&new.key) {
                row.kept_request = Some(request.clone());
            }
        }
        Ok(DeferredClaim::Claimed(claimed))
    }

    async fn take_due(
        &self,
        facilitator: &str,
        limit: u32,
        lease_ms: u64,
    ) -> Result<Vec<Due>, LedgerError> {
        let (mut rows, now) = self.open();
        let limit = usize::try_from(limit).unwrap_or(usize::MAX);
        let free = |row: &DeferralRow| {
            row.facilitator == facilitator && row.due_ms <= now && row.lease_until_ms <= now
        };
        let poisoned: Vec<_> = rows
            .deferrals
            .iter()
            .filter(|(_, row)| free(row) && row.state == DeferralState::Settling)
            .filter(|(_, row)| row.deaths >= MAX_DEATHS)
            .map(|(key, _)| *key)
            .collect();
        for key in poisoned {
            rows.step_deferral(
                now,
                &key,
                DeferralState::Quarantined,
                &json!({ "deaths": MAX_DEATHS }),
            );
        }
        let mut due: Vec<_> = rows
            .deferrals
            .iter()
            .filter(|(_, row)| free(row) && row.deaths < MAX_DEATHS)
            .filter_map(|(key, row)| match row.state {
                DeferralState::Queued | DeferralState::Settling => {
                    Some((0, row.settle_by_ms, *key))
                }
                DeferralState::BadDebt => Some((1, row.due_ms, *key)),
                _ => None,
            })
            .collect();
        due.sort_unstable();
        let mut taken = Vec::new();
        for (_, _, key) in due.into_iter().take(limit) {
            let Some(settle_id) = rows.claims.get(&key).map(|claim| claim.new.settle_id) else {
                continue;
            };
            let Some(row) = rows.deferrals.get_mut(&key) else { continue };
            let from = row.state;
            if from == DeferralState::Queued {
                row.state = DeferralState::Settling;
            }
            row.deaths += 1;
            row.token += 1;
            row.lease_until_ms = now.saturating_add(stored(lease_ms));
            taken.push(Due {
                hold: DueHold { key, token: row.token },
                settle_id,
                state: row.state,
                payer: row.payer.clone(),
                settle_by_unix_ms: row.settle_by_ms.max(0).unsigned_abs(),
                tries: row.tries,
            });
            let to = row.state;
            if from != to {
                rows.note(now, DISPATCHER, &key, (from.name(), to.name()), &json!({}));
            }
        }
        Ok(taken)
    }

    async fn record_try(&self, hold: &DueHold, tried: &Tried) -> Result<bool, LedgerError> {
        let (mut rows, now) = self.open();
        let row = rows.deferrals.get_mut(&hold.key);
        let Some(row) = row.filter(|row| row.token == hold.token && !row.state.is_end()) else {
            return Ok(false);
        };
        let from = row.state;
        let (to, evidence) = after(from, row.refusals, tried);
        match tried {
            Tried::Again { refused, pause_ms, .. } => {
                row.state = to;
                row.due_ms = now.saturating_add(stored(*pause_ms));
                row.tries = row.tries.saturating_add(1);
                row.refusals += i64::from(*refused);
                row.deaths = 0;
                row.lease_until_ms = 0;
                rows.note(now, DISPATCHER, &hold.key, (from.name(), to.name()), &evidence);
            }
            Tried::Settled { .. } | Tried::NotCharged => {
                if !from.may_become(to) {
                    return Err(LedgerError::IllegalMove { from: from.name(), to: to.name() });
                }
                rows.step_deferral(now, &hold.key, to, &evidence);
            }
        }
        if let (Some(transaction), Some(claim)) =
            (tried.transaction(), rows.claims.get_mut(&hold.key))
        {
            transaction.clone_into(&mut claim.transaction);
        }
        Ok(true)
    }

    async fn expire_deferrals(&self, limit: u32) -> Result<u64, LedgerError> {
        let (mut rows, now) = self.open();
        let expired: Vec<_> = rows
            .deferrals
            .iter()
            .filter(|(_, row)| row.state.may_become(DeferralState::BadDebt))
            .filter(|(_, row)| row.settle_by_ms <= now)
            .map(|(key, _)| *key)
            .take(usize::try_from(limit).unwrap_or(usize::MAX))
            .collect();
        for key in &expired {
            let evidence = json!({ "reason": "authorization ended" });
            rows.step_deferral(now, key, DeferralState::BadDebt, &evidence);
        }
        Ok(u64::try_from(expired.len()).unwrap_or(u64::MAX))
    }

    async fn retry_deferral(&self, key: &PaymentKey) -> Result<bool, LedgerError> {
        let (mut rows, now) = self.open();
        let row = rows.deferrals.get_mut(key);
        let Some(row) = row.filter(|row| row.state == DeferralState::Quarantined) else {
            return Ok(false);
        };
        row.state = DeferralState::Queued;
        (row.deaths, row.refusals, row.due_ms) = (0, 0, now);
        let states = (DeferralState::Quarantined.name(), DeferralState::Queued.name());
        rows.note(now, OPERATOR, key, states, &json!({ "retried": true }));
        Ok(true)
    }

    async fn queue_figures(&self) -> Result<QueueFigures, LedgerError> {
        let (rows, now) = self.open();
        let all = rows.exposures.iter().filter(|((_, _, payer), _)| payer == ALL);
        let exposure = all.map(|((network, asset, _), unsettled)| AssetExposure {
            network: network.clone(),
            asset: asset.clone(),
            unsettled: *unsettled,
        });
        let due: Vec<_> = rows
            .deferrals
            .values()
            .filter(|row| matches!(row.state, DeferralState::Queued | DeferralState::Settling))
            .map(|row| row.created_at_ms)
            .collect();
        let aside = |row: &&DeferralRow| row.state == DeferralState::Quarantined;
        let oldest = due.iter().min().map_or(0, |oldest| now.saturating_sub(*oldest));
        Ok(QueueFigures {
            exposure: exposure.collect(),
            depth: u64::try_from(due.len()).unwrap_or(u64::MAX),
            oldest_ms: oldest.max(0).unsigned_abs(),
            quarantined: rows.deferrals.values().filter(aside).count().try_into().unwrap_or(0),
        })
    }
}

fn waiting(new: &NewClaim, now: i64) -> DeferralRow {
    DeferralRow {
        state: DeferralState::Waiting,
        facilitator: new.facilitator.clone(),
        network: new.network.clone(),
        payer: new.payer.to_ascii_lowercase(),
        asset: new.asset.to_ascii_lowercase(),
        amount: new.amount,
        settle_by_ms: settle_by_ms(new.valid_before),
        due_ms: now,
        tries: 0,
        deaths: 0,
        refusals: 0,
        token: 0,
        lease_until_ms: 0,
        created_at_ms: now,
    }
}

impl Rows {
    fn room_for(&self, entry: &DeferralRow, limits: ExposureLimits) -> Result<(), NotDeferred> {
        let owes = |key: &PaymentKey| {
            let payer = self.claims.get(key).map(|claim| &claim.new.payer);
            payer.is_some_and(|payer| payer.eq_ignore_ascii_case(&entry.payer))
        };
        let mut debts = self.debts.iter();
        if debts.any(|(key, debt)| {
            debt.debtor == Debtor::Payer && debt.closed_at_ms.is_none() && owes(key)
        }) {
            return Err(NotDeferred::OpenDebt);
        }
        for (payer, limit, full) in [
            (entry.payer.as_str(), limits.payer, NotDeferred::PayerLimit),
            (ALL, limits.total, NotDeferred::TotalLimit),
        ] {
            let of = (entry.network.clone(), entry.asset.clone(), payer.to_owned());
            let sum = self.exposures.get(&of).copied().unwrap_or_default();
            if sum.checked_add(entry.amount).is_none_or(|sum| sum > limit) {
                return Err(full);
            }
        }
        Ok(())
    }

    /// Adds the amount to the two sums it is part of, or takes it off.
    fn book(&mut self, entry: &DeferralRow, change: fn(Amount, Amount) -> Option<Amount>) {
        for payer in [entry.payer.as_str(), ALL] {
            let of = (entry.network.clone(), entry.asset.clone(), payer.to_owned());
            let sum = self.exposures.entry(of).or_default();
            // A sum that has no room was refused before, and nothing is taken off twice.
            *sum = change(*sum, entry.amount).unwrap_or(*sum);
        }
    }

    /// A move with all that goes with it: the books, the debts, the journal.
    fn step_deferral(&mut self, now: i64, key: &PaymentKey, to: DeferralState, evidence: &Value) {
        let Some(row) = self.deferrals.get_mut(key) else { return };
        let from = std::mem::replace(&mut row.state, to);
        row.deaths = 0;
        row.lease_until_ms = 0;
        let row = row.clone();
        if from.is_exposed() && !to.is_exposed() {
            self.book(&row, Amount::checked_sub);
        }
        if to.is_owed() {
            self.open_debt(now, key, Debtor::Payer, to.name().to_owned());
        } else if from.is_owed()
            && let Some(debt) = self.debts.get_mut(key)
        {
            debt.closed_at_ms = debt.closed_at_ms.or(Some(now));
        }
        self.note(now, DISPATCHER, key, (from.name(), to.name()), evidence);
    }

    pub(super) fn is_waiting(&self, key: &PaymentKey) -> bool {
        self.deferrals.get(key).is_some_and(|row| row.state == DeferralState::Waiting)
    }

    /// Takes a payment off the books that was not served, and out of the queue.
    pub(super) fn forget_waiting(&mut self, key: &PaymentKey) {
        if self.is_waiting(key)
            && let Some(row) = self.deferrals.remove(key)
        {
            self.book(&row, Amount::checked_sub);
        }
    }

    pub(super) fn make_due(&mut self, now: i64, key: &PaymentKey) {
        if let Some(row) = self.deferrals.get_mut(key) {
            row.state = DeferralState::Queued;
            row.due_ms = now;
        }
    }
}
