//! Payments that share a transaction or a block are looked at together: one question for all.

use std::collections::BTreeMap;

use faregate_chain::{Evidence, InBlock, Outcome};
use faregate_ledger::{Lease, LedgerError, Settlement, SettlementState as State};
use futures::StreamExt as _;

use super::Reconciler;
use super::look::watch_of;

/// Of so many looks at a payment whose transaction waits in the pool, one is at the payment itself.
const ALONE_EVERY: u32 = 4;

/// What a block told of payments.
pub(super) enum InBlockSeen {
    /// So many are proven; of the others it proves nothing.
    Looked { proven: usize, others: Vec<Settlement> },
    /// Nothing: the chain did not answer, or not with that block.
    Silent(Vec<Settlement>),
}

/// What one look at one payment showed of the transaction that it shares with others.
pub(crate) enum Sight {
    /// It was mined, and this is the payment's proof.
    Proven(Evidence),
    /// It waits to be mined, and with it most likely the others.
    InPool,
    /// Nothing that holds for others.
    Alone,
}

impl Reconciler {
    /// Records what one block proves of these.
    pub(super) async fn prove_in(
        &self,
        lease: &Lease,
        block: InBlock<'_>,
        carried: Vec<Settlement>,
    ) -> Result<InBlockSeen, LedgerError> {
        if carried.is_empty() {
            return Ok(InBlockSeen::Looked { proven: 0, others: carried });
        }
        let watches: Vec<_> = carried.iter().map(watch_of).collect();
        let seen = match self.desk.chain.observe_in(block, &watches).await {
            Ok(seen) => seen,
            Err(error) => {
                tracing::warn!(%error, block = block.number, "not looked into");
                return Ok(InBlockSeen::Silent(carried));
            }
        };
        let (mut proven, mut others) = (Vec::new(), Vec::new());
        for (stored, seen) in carried.into_iter().zip(seen) {
            match seen.map(|seen| seen.outcome) {
                Some(Outcome::Paid(proof)) => proven.push((stored, proof)),
                _ => others.push(stored),
            }
        }
        self.prove_all(lease, &proven).await?;
        Ok(InBlockSeen::Looked { proven: proven.len(), others })
    }

    /// Looks at payments without proof: of those that share their newest transaction at one, and
    /// where its block is told, into that for the others.
    pub(super) async fn look_at_open(
        &self,
        lease: &Lease,
        open: Vec<Settlement>,
    ) -> Result<(), LedgerError> {
        let mut groups: BTreeMap<String, Vec<Settlement>> = BTreeMap::new();
        let mut alone = Vec::new();
        for stored in open {
            match stored.transactions.last() {
                Some(newest) if matches!(stored.state, State::Signed | State::Broadcast) => {
                    groups.entry(newest.clone()).or_default().push(stored);
                }
                _ => alone.push(stored),
            }
        }
        let looks = futures::stream::iter(groups)
            .map(|(transaction, group)| self.look_at_group(lease, transaction, group))
            .buffer_unordered(self.desk.limits.looks_at_once);
        let looked: Vec<_> = looks.collect().await;
        let mut first_error = None;
        for group in looked {
            match group {
                Ok(others) => alone.extend(others),
                Err(error) => first_error = first_error.or(Some(error)),
            }
        }
        // One group that cannot be looked at holds up nobody else.
        let looked = self.look_at_each(lease, alone).await;
        first_error.map_or(looked, Err)
    }

    /// Returns those that have to be looked at alone.
    async fn look_at_group(
        &self,
        lease: &Lease,
        transaction: String,
        mut group: Vec<Settlement>,
    ) -> Result<Vec<Settlement>, LedgerError> {
        let Some(first) = group.pop() else { return Ok(group) };
        let sight = self.look(lease, &first).await?;
        if group.is_empty() {
            return Ok(group);
        }
        match sight {
            Sight::Proven(proof) if proof.transaction == transaction => {
                let transactions = [transaction];
                let (number, hash) = (proof.block_number, proof.block_hash.as_str());
                let block = InBlock { number, hash, transactions: &transactions, size: None };
                Ok(match self.prove_in(lease, block, group).await? {
                    InBlockSeen::Looked { others, .. } | InBlockSeen::Silent(others) => others,
                })
            }
            Sight::InPool => {
                // Money can move, or never move, while a transaction waits: now and then, and after
                // its end, each is looked at for itself.
                let now = self.desk.clock.now_unix();
                let is_due = |stored: &Settlement| {
                    stored.new.valid_before < now || stored.looks % ALONE_EVERY == ALONE_EVERY - 1
                };
                let (due, others) = group.into_iter().partition(is_due);
                self.look_later(lease, others).await?;
                Ok(due)
            }
            Sight::Proven(_) | Sight::Alone => Ok(group),
        }
    }
}
