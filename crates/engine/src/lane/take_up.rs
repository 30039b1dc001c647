//! Taking wanted payments up: which of them share the lane's next transaction, whether it is worth
//! waiting for more, and the nonce.

use std::sync::Arc;
use std::time::Duration;

use faregate_chain::Inspection;
use faregate_ledger::{Lease, Settlement, SettlementState as State, SlotKind, SlotRow};
use faregate_telemetry::crash_point;
use serde_json::json;
use tokio::sync::MutexGuard;
use tokio::time::Instant;

use super::group::Group;
use super::{Halt, Lane};
use crate::desk::Desk;

/// So many rows that cannot be read, and are left out of a list, hide none that can. Few, because as
/// many more are read for each transaction.
const UNREADABLE: usize = 4;

/// What a lane found to take up.
pub(super) enum TakenUp {
    /// A nonce for these payments, to be signed.
    Slot(Box<SlotRow>, Vec<Settlement>),
    /// Another process took them; there may be others.
    Lost,
    /// Too few payments; more may come in this time.
    Later(Duration),
    Nothing,
}

impl Lane {
    /// Whether any payment waits for a lane.
    pub(super) async fn anything_wanted(&self) -> Result<bool, Halt> {
        let some = u32::try_from(UNREADABLE).unwrap_or(u32::MAX);
        Ok(!self.desk.store.wanted(self.desk.network(), self.ends_after(), some).await?.is_empty())
    }

    /// The next payments, in one transaction, and their nonce.
    pub(super) async fn take_up(
        &mut self,
        lease: &Lease,
        floor: u64,
        in_flight: usize,
    ) -> Result<TakenUp, Halt> {
        let desk = Arc::clone(&self.desk);
        let mut turn = Some(desk.taking_up.lock().await);
        let (group, is_full) = self.next_group(lease, &desk, &mut turn).await?;
        if group.is_empty() {
            return Ok(TakenUp::Nothing);
        }
        let wait = self.gather(&group, in_flight);
        if !is_full && !wait.is_zero() {
            return Ok(TakenUp::Later(wait));
        }
        let keys: Vec<_> = group.iter().map(|stored| stored.new.key).collect();
        if group.iter().any(|stored| !stored.transactions.is_empty()) {
            crash_point!("B3");
        }
        let slot =
            desk.store.allocate_slot(lease, desk.network(), &self.signer, floor, &keys).await?;
        drop(turn);
        crash_point!("F3");
        let Some(slot) = slot else { return Ok(TakenUp::Lost) };
        if slot.kind == SlotKind::Batch {
            crash_point!("B1");
        }
        Ok(TakenUp::Slot(Box::new(slot), group))
    }

    /// The payments of the next transaction, and whether no other fits. The turn ends before the
    /// chain is asked, because no other lane waits for that.
    async fn next_group<'a>(
        &mut self,
        lease: &Lease,
        desk: &'a Desk,
        turn: &mut Option<MutexGuard<'a, ()>>,
    ) -> Result<(Vec<Settlement>, bool), Halt> {
        let members = desk.chain.batch_room().map_or(1, |room| room.members);
        self.unfit.retain(|_, since| since.elapsed() < desk.limits.unfit_for);
        loop {
            let limit = members.saturating_add(self.unfit.len()).saturating_add(UNREADABLE);
            let most = u32::try_from(limit).unwrap_or(u32::MAX);
            let wanted = desk.store.wanted(desk.network(), self.ends_after(), most).await?;
            let are_more = wanted.len() >= limit;
            let mut group = Group::new(desk.chain.as_ref());
            let mut is_full = false;
            for next in wanted {
                if self.unfit.contains_key(&next.new.key) {
                    continue;
                }
                if !next.transactions.is_empty() {
                    *turn = None;
                    if !self.worth_it(lease, &next).await? {
                        self.unfit.insert(next.new.key, Instant::now());
                        continue;
                    }
                }
                if group.add(next).is_some() {
                    is_full = true;
                    break;
                }
            }
            // Those that would not settle now must not hide who comes after them.
            if !group.members.is_empty() || !are_more {
                is_full |= group.is_full();
                return Ok((group.members, is_full));
            }
        }
    }

    /// How long the eldest of a group that is not full still waits for companions. A lane has only
    /// so many transactions in flight, and a small one takes the place of a full one until the next
    /// block; so the fewer are left, the longer. A lane with nothing in flight lets nobody wait.
    fn gather(&self, group: &[Settlement], in_flight: usize) -> Duration {
        let limits = &self.desk.limits;
        let most = u32::try_from(limits.in_flight.max(1)).unwrap_or(u32::MAX);
        let share = limits.gather / most;
        let wait = share.saturating_mul(u32::try_from(in_flight).unwrap_or(u32::MAX));
        let age = |stored: &Settlement| stored.read_unix_ms.saturating_sub(stored.reserved_unix_ms);
        let eldest = group.iter().map(age).max().unwrap_or_default();
        wait.saturating_sub(Duration::from_millis(u64::try_from(eldest).unwrap_or_default()))
    }

    /// An own transaction was mined without effect. Each further one costs gas: only if the
    /// payment would settle now, and only so often.
    async fn worth_it(&self, lease: &Lease, stored: &Settlement) -> Result<bool, Halt> {
        if stored.nonces >= self.desk.limits.transactions_per_payment {
            self.set_aside(lease, stored, "too many transactions").await?;
            return Ok(false);
        }
        let now = self.desk.clock.now_unix();
        let seen = self.desk.chain.inspect_afresh(&stored.new.request, now).await?;
        Ok(matches!(seen, Inspection::Valid { .. }))
    }

    pub(super) async fn set_aside(
        &self,
        lease: &Lease,
        stored: &Settlement,
        why: &'static str,
    ) -> Result<(), Halt> {
        let key = &stored.new.key;
        let evidence = json!({ "why": why });
        let (from, to) = (stored.state, State::Quarantined);
        self.desk.store.move_settlement(lease, key, from, to, evidence).await?;
        tracing::error!(payment = key.short(), why, "payment quarantined");
        Ok(())
    }
}
