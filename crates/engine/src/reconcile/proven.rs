//! Proven payments until their blocks are final: one question tells for all of them which of their
//! blocks still stand, and a final block is read once more for all whose proof is in it.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::time::Duration;

use faregate_chain::{Heights, InBlock, Outcome};
use faregate_ledger::{EvidenceRow, Lease, LedgerError, Settlement};
use faregate_protocol::PaymentKey;
use faregate_telemetry::crash_point;
use futures::{StreamExt as _, TryStreamExt as _};

use super::Reconciler;
use super::look::{is_of, watch_of};

/// Number and hash of the block that holds a proof.
type Place = (u64, String);

impl Reconciler {
    /// Looks at payments that are MINED. What is not as it was is looked at alone.
    pub(super) async fn look_at_proven(
        &self,
        lease: &Lease,
        proven: Vec<Settlement>,
    ) -> Result<(), LedgerError> {
        if proven.is_empty() {
            return Ok(());
        }
        let (groups, mut alone) = by_block(proven);
        let (mut unchanged, mut finals) = (Vec::new(), Vec::new());
        let mut groups = groups.into_iter();
        loop {
            let some: Vec<_> = groups.by_ref().take(self.desk.limits.heights_at_once).collect();
            if some.is_empty() {
                break;
            }
            let numbers: BTreeSet<u64> = some.iter().map(|((number, _), _)| *number).collect();
            let numbers: Vec<u64> = numbers.into_iter().collect();
            let heights = match self.desk.chain.heights(&numbers).await {
                Ok(heights) => heights,
                Err(error) => {
                    tracing::warn!(%error, blocks = numbers.len(), "proofs not looked at together");
                    let group = some.into_iter().flat_map(|(_, group)| group);
                    if error.is_silence() {
                        unchanged.extend(group)
                    } else {
                        alone.extend(group)
                    }
                    continue;
                }
            };
            for (place, group) in some {
                match heights.as_ref().map_or(Fate::Unclear, |told| fate(&place, &numbers, told)) {
                    Fate::Waits => unchanged.extend(group),
                    Fate::Final(size) => finals.push((place, size, group)),
                    Fate::Unclear => alone.extend(group),
                }
            }
        }
        // What may have been taken back comes first: its payment is to be made again.
        self.look_at_each(lease, alone).await?;
        self.look_later(lease, unchanged).await?;
        let read = futures::stream::iter(finals)
            .map(|(place, size, group)| self.finalise(lease, place, size, group))
            .buffer_unordered(self.desk.limits.looks_at_once);
        let others = read.try_concat().await?;
        self.look_at_each(lease, others).await
    }

    /// Reads a final block's proofs once more; returns the payments that it does not prove now.
    async fn finalise(
        &self,
        lease: &Lease,
        (number, hash): Place,
        size: Option<usize>,
        group: Vec<Settlement>,
    ) -> Result<Vec<Settlement>, LedgerError> {
        let transactions: BTreeSet<&String> = group
            .iter()
            .filter_map(|stored| Some(&stored.evidence.as_ref()?.transaction))
            .collect();
        let transactions: Vec<String> = transactions.into_iter().cloned().collect();
        let block = InBlock { number, hash: &hash, transactions: &transactions, size };
        let watches: Vec<_> = group.iter().map(watch_of).collect();
        let seen = match self.desk.chain.observe_in(block, &watches).await {
            Ok(seen) => seen,
            Err(error) => {
                tracing::warn!(%error, block = number, "a final block was not read");
                if !error.is_silence() {
                    return Ok(group);
                }
                return self.look_later(lease, group).await.map(|()| Vec::new());
            }
        };
        let (mut finals, mut others, mut finalized) = (Vec::new(), Vec::new(), u64::MAX);
        for (stored, seen) in group.into_iter().zip(seen) {
            match seen {
                Some(seen)
                    if matches!(&seen.outcome, Outcome::Paid(proof)
                        if is_of(proof, &stored) && proof.block_number <= seen.finalized) =>
                {
                    finalized = finalized.min(seen.finalized);
                    finals.push(stored.new.key);
                }
                _ => others.push(stored),
            }
        }
        if !finals.is_empty() {
            crash_point!("F11");
            let moved = self.desk.store.record_all_final(lease, &finals, finalized).await?;
            for key in &moved {
                self.desk.wakers.wake(key);
            }
        }
        Ok(others)
    }

    /// Each of these is as it was.
    pub(super) async fn look_later(
        &self,
        lease: &Lease,
        all: Vec<Settlement>,
    ) -> Result<(), LedgerError> {
        let mut by_wait: HashMap<Duration, Vec<PaymentKey>> = HashMap::new();
        for stored in &all {
            by_wait.entry(self.next_look(stored)).or_default().push(stored.new.key);
        }
        for (wait, keys) in by_wait {
            let wait_ms = u64::try_from(wait.as_millis()).unwrap_or(u64::MAX);
            self.desk.store.looked(lease, &keys, wait_ms).await?;
        }
        Ok(())
    }
}

enum Fate {
    /// The block stands, or the endpoint has not come so far.
    Waits,
    /// It stands and can no longer be taken back; so many transactions are in it.
    Final(Option<usize>),
    /// Another block stands there, or none is shown.
    Unclear,
}

fn fate((number, hash): &Place, numbers: &[u64], told: &Heights) -> Fate {
    let at = numbers.binary_search(number).ok();
    match at.and_then(|at| told.blocks.get(at)).and_then(Option::as_ref) {
        Some(now) if now.hash == *hash && *number <= told.finalized => Fate::Final(now.size),
        Some(now) if now.hash == *hash => Fate::Waits,
        None if *number > told.head => Fate::Waits,
        _ => Fate::Unclear,
    }
}

/// The payments by the blocks of their proofs; last those without one.
fn by_block(proven: Vec<Settlement>) -> (BTreeMap<Place, Vec<Settlement>>, Vec<Settlement>) {
    let (mut groups, mut without): (BTreeMap<_, Vec<_>>, _) = (BTreeMap::new(), Vec::new());
    let place = |proof: &EvidenceRow| (proof.block_number, proof.block_hash.clone());
    for stored in proven {
        match stored.evidence.as_ref().map(place) {
            Some(place) => groups.entry(place).or_default().push(stored),
            None => without.push(stored),
        }
    }
    (groups, without)
}
