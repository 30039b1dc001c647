//! Watches the chain's blocks while payments are in flight, so that each is looked for once, in
//! the block that holds its transaction, and together with the others in it.
//!
//! A block is a hint. What it proves is decided by the chain's proof like any other; what it does
//! not, and what a missed block hid, is found by the looks that fall due.

use faregate_chain::BlockSeen;
use faregate_ledger::{Lease, LedgerError};
use tokio::sync::watch;
use tokio::time::Instant;

use super::pace::Pace;
use super::together::InBlockSeen;
use super::{Reconciler, no_ledger};

/// Watches until told to stop, whenever this process holds the lease and something is in flight.
pub(super) async fn watch(
    reconciler: &Reconciler,
    held: watch::Receiver<Option<Lease>>,
    mut stopped: watch::Receiver<bool>,
) {
    let limits = reconciler.desk.limits;
    let mut watcher = Watcher {
        reconciler,
        pace: Pace::default(),
        last: None,
        paced: None,
        failed: 0,
        asked: None,
    };
    loop {
        // Registered before the question, so that no hint falls between.
        let told = reconciler.desk.sent.notified();
        tokio::pin!(told);
        told.as_mut().enable();
        let lease = held.borrow().clone();
        let watching = match lease {
            Some(lease) => watcher.step(&lease).await,
            None => false,
        };
        reconciler.desk.watches_blocks(watching);
        let wait = match watching {
            true if watcher.failed > 0 => limits.block_poll_max,
            true => watcher.pace.wait(Instant::now(), &limits),
            false => limits.idle_every,
        };
        tokio::select! {
            biased;
            _ = stopped.wait_for(|stop| *stop) => return,
            () = &mut told, if !watching => {}
            () = tokio::time::sleep(wait) => {}
        }
    }
}

/// How often a block is read again that could not be looked into.
const TRIES_FOR_BLOCK: u32 = 3;

struct Watcher<'a> {
    reconciler: &'a Reconciler,
    pace: Pace,
    last: Option<BlockSeen>,
    /// The highest block that its rhythm was read from.
    paced: Option<u64>,
    /// How often in a row the block after it could not be looked into.
    failed: u32,
    /// When the ledger was asked what is in flight, and whether anything was.
    asked: Option<(Instant, bool)>,
}

impl Watcher<'_> {
    /// Asks for new blocks and looks into them. `false`: there is nothing to watch for.
    async fn step(&mut self, lease: &Lease) -> bool {
        if !self.anything_in_flight().await {
            self.pace.rest();
            return false;
        }
        let blocks = match self.new_blocks().await {
            Ok(blocks) => blocks,
            Err(error) => {
                tracing::debug!(%error, "no news of blocks");
                return true;
            }
        };
        let Some(newest) = blocks.last() else { return true };
        let newest = newest.number;
        self.keep_pace(newest);
        for block in &blocks {
            match self.reconciler.look_into(lease, block).await {
                Ok(true) => self.failed = 0,
                // Each of its payments would be looked at alone.
                Ok(false) if self.failed < TRIES_FOR_BLOCK => {
                    self.failed += 1;
                    self.last = self.last.take().or_else(|| parent(block));
                    return true;
                }
                Ok(false) => self.failed = 0,
                Err(error) => no_ledger(&error),
            }
            self.last = Some(block.clone());
        }
        // After the proofs: what is proven needs no look of a lane's.
        self.reconciler.desk.block_seen();
        true
    }

    /// A block that is read again is no new one.
    fn keep_pace(&mut self, newest: u64) {
        let new = self.paced.map_or(1, |paced| newest.saturating_sub(paced));
        if new == 0 {
            return;
        }
        self.paced = Some(newest);
        let limits = &self.reconciler.desk.limits;
        self.pace.seen(usize::try_from(new).unwrap_or(usize::MAX), Instant::now(), limits);
        if let Some(gap) = self.pace.gap() {
            self.reconciler.desk.blocks.come_every(gap);
        }
    }

    async fn anything_in_flight(&mut self) -> bool {
        let desk = &self.reconciler.desk;
        let known_for = desk.limits.in_flight_known_for;
        if let Some((when, true)) = self.asked
            && when.elapsed() < known_for
        {
            return true;
        }
        let found = match desk.store.in_flight(desk.network()).await {
            Ok(count) => count > 0,
            Err(error) => {
                no_ledger(&error);
                false
            }
        };
        self.asked = Some((Instant::now(), found));
        found
    }

    /// The blocks after the last one; from further back when they do not follow it.
    async fn new_blocks(&self) -> Result<Vec<BlockSeen>, faregate_chain::ChainError> {
        let chain = &self.reconciler.desk.chain;
        let Some(last) = &self.last else { return chain.blocks(None).await };
        let blocks = chain.blocks(Some(last.number)).await?;
        match blocks.first() {
            Some(first) if first.number == last.number + 1 && first.parent != last.hash => {
                let rewind = self.reconciler.desk.limits.rewind_blocks;
                chain.blocks(Some(last.number.saturating_sub(rewind))).await
            }
            _ => Ok(blocks),
        }
    }
}

/// The block before, as far as one block tells of it.
fn parent(block: &BlockSeen) -> Option<BlockSeen> {
    let number = block.number.checked_sub(1)?;
    let (hash, parent) = (block.parent.clone(), String::new());
    Some(BlockSeen { number, hash, parent, transactions: Vec::new() })
}

impl Reconciler {
    /// Looks at the payments whose transactions stand in a block. `false`: the chain did not tell.
    async fn look_into(&self, lease: &Lease, block: &BlockSeen) -> Result<bool, LedgerError> {
        if block.transactions.is_empty() {
            return Ok(true);
        }
        let (store, limit) = (&self.desk.store, self.desk.limits.look_batch);
        loop {
            let network = self.desk.network();
            let carried = store.carried_by(network, &block.transactions, limit).await?;
            let full = carried.len() >= usize::try_from(limit).unwrap_or(usize::MAX);
            let (some, others) = match self.prove_in(lease, block.whole(), carried).await? {
                InBlockSeen::Looked { proven, others } => (proven > 0, others),
                InBlockSeen::Silent(_) => return Ok(false),
            };
            self.look_at_each(lease, others).await?;
            // What is proven makes room for the rest.
            if !full || !some {
                return Ok(true);
            }
        }
    }
}
