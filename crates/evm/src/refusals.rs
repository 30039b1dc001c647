//! Payments that are refused for good, remembered and shared with other processes.
//!
//! One refusal is for good: the authorization was used or cancelled, **at a final block**. A token
//! never takes that back, and no block that says so can fall out. Every other refusal may be
//! another tomorrow (money comes, a wallet is deployed, a token is unpaused), or needs no question
//! to the chain at all and is judged anew, by this process's own clock.
//!
//! What is refused is one payment in one wording: authorization, signature and requirements. A
//! stranger's garbage over somebody's authorization says nothing of the genuine payment.
//!
//! ```text
//!  a verdict "used"  -> asked once more, at the newest final block, while nobody waits
//!        final yes   -> remembered here, and told to the others
//!        final no    -> asked again after a while, if it comes again
//!  what others tell  -> remembered as well, as long as there is room and it is not old
//! ```
//!
//! It is looked at in memory only, so no verification waits for another machine.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use alloy_primitives::B256;
use faregate_chain::{RefusalListener, SecondLayer};
use faregate_telemetry::{CacheKind, CacheLayer, CacheMetrics, LookupOutcome};
use tokio::sync::Semaphore;

use crate::claim::Claim;
use crate::contracts::flag;
use crate::limits::{FINALITY_ASKED_AT_ONCE, FINALITY_ASKED_EVERY, REFUSALS_ENTRIES, REFUSED_FOR};
use crate::rpc::{Call, Rpc};
use crate::shared_tokens::{age, unix_now};

/// Says "used at a final block" in an entry. There is no other refusal for good.
const USED: u8 = 1;
/// Digest, wording, seconds of the unix clock, what.
const ENTRY_BYTES: usize = 32 + 32 + 8 + 1;

/// A payment in one wording. The digest comes first: it is at hand, and finds all wordings.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Wording {
    digest: B256,
    whole: B256,
}

#[derive(Clone, Copy, Debug)]
struct Refused {
    until: Instant,
    source: CacheLayer,
}

#[derive(Debug, Default)]
struct Known {
    refused: BTreeMap<Wording, Refused>,
    /// When it was last asked at a final block, by digest.
    asked: HashMap<B256, Instant>,
}

/// The refusals of one chain.
#[derive(Debug)]
pub(crate) struct Refusals {
    chain: String,
    layer: Arc<dyn SecondLayer>,
    metrics: CacheMetrics,
    known: Mutex<Known>,
    asking: Arc<Semaphore>,
}

impl Refusals {
    /// None known yet; from now on it hears what others tell.
    pub(crate) fn new(
        chain_id: u64,
        layer: Arc<dyn SecondLayer>,
        metrics: CacheMetrics,
    ) -> Arc<Self> {
        let refusals = Arc::new(Self {
            chain: chain_id.to_string(),
            layer: Arc::clone(&layer),
            metrics,
            known: Mutex::default(),
            asking: Arc::new(Semaphore::new(FINALITY_ASKED_AT_ONCE)),
        });
        let listener: Arc<dyn RefusalListener> = Arc::<Self>::clone(&refusals);
        layer.follow_refusals(&refusals.chain, Arc::downgrade(&listener));
        refusals
    }

    /// Whether this very payment is known to be used for good.
    pub(crate) fn knows(&self, claim: &Claim<'_>) -> bool {
        let found = self.find(claim, Instant::now());
        let (layer, outcome) = match found {
            Some(refused) => (refused.source, LookupOutcome::Hit),
            None => (CacheLayer::Memory, LookupOutcome::Miss),
        };
        self.metrics.lookup(layer, CacheKind::Refusal, outcome);
        found.is_some()
    }

    fn find(&self, claim: &Claim<'_>, now: Instant) -> Option<Refused> {
        // The wording costs a hash over everything; a good payment has no entry and needs none.
        if !self.lock().has_digest(claim.digest) {
            return None;
        }
        let wording = Wording { digest: claim.digest, whole: claim.whole_hash()? };
        let refused = self.lock().refused.get(&wording).copied();
        refused.filter(|refused| now < refused.until)
    }

    /// A payment was found used, and nobody knows whether that is final. A question to the chain,
    /// while nobody waits for it.
    pub(crate) fn consider(self: &Arc<Self>, rpc: &Rpc, claim: &Claim<'_>, question: Call) {
        let now = Instant::now();
        let Some(whole) = claim.whole_hash() else { return };
        let wording = Wording { digest: claim.digest, whole };
        let Ok(permit) = Arc::clone(&self.asking).try_acquire_owned() else { return };
        if !self.lock().may_ask(wording, now) {
            return;
        }
        let (refusals, rpc) = (Arc::clone(self), rpc.clone());
        tokio::spawn(async move {
            let _permit = permit;
            // No answer is no news; it is asked again when the payment comes again.
            let Ok([answer]) = rpc.batch_of([question]).await else { return };
            let used = rpc.returned(answer).ok().and_then(Result::ok);
            if used.and_then(|returned| flag(&returned)) == Some(true) {
                let until = Instant::now() + REFUSED_FOR;
                refusals.lock().note(wording, Refused { until, source: CacheLayer::Memory });
                refusals.layer.tell_refusal(&refusals.chain, entry(wording, unix_now()));
            }
        });
    }

    fn hear(&self, entry: &[u8], now_unix: u64, now: Instant) -> Option<()> {
        let (wording, at_unix) = read(entry)?;
        let left = REFUSED_FOR - age(now_unix, at_unix, REFUSED_FOR)?;
        self.lock().note(wording, Refused { until: now + left, source: CacheLayer::Redis });
        Some(())
    }

    fn lock(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl RefusalListener for Refusals {
    fn told(&self, entry: &[u8]) {
        if self.hear(entry, unix_now(), Instant::now()).is_none() {
            self.metrics.lookup(CacheLayer::Redis, CacheKind::Refusal, LookupOutcome::Unusable);
        }
    }
}

impl Known {
    fn has_digest(&self, digest: B256) -> bool {
        let first = Wording { digest, whole: B256::ZERO };
        self.refused.range(first..).next().is_some_and(|(wording, _)| wording.digest == digest)
    }

    /// What was known stays as it was: a repeated word makes nothing last longer.
    fn note(&mut self, wording: Wording, refused: Refused) {
        let now = Instant::now();
        if self.refused.get(&wording).is_some_and(|known| now < known.until) {
            return;
        }
        if self.refused.len() >= REFUSALS_ENTRIES {
            self.refused.retain(|_, known| now < known.until);
        }
        if self.refused.len() >= REFUSALS_ENTRIES {
            // Forgetting costs a question each.
            self.refused.clear();
        }
        self.refused.insert(wording, refused);
    }

    /// Whether it is time to ask about this payment; then it counts as asked.
    fn may_ask(&mut self, wording: Wording, now: Instant) -> bool {
        if self.refused.get(&wording).is_some_and(|known| now < known.until) {
            return false;
        }
        let lately = |at: &Instant| now.duration_since(*at) < FINALITY_ASKED_EVERY;
        if self.asked.get(&wording.digest).is_some_and(lately) {
            return false;
        }
        if self.asked.len() >= REFUSALS_ENTRIES {
            self.asked.retain(|_, at| lately(at));
        }
        if self.asked.len() >= REFUSALS_ENTRIES {
            return false;
        }
        self.asked.insert(wording.digest, now);
        true
    }
}

fn entry(wording: Wording, now_unix: u64) -> Vec<u8> {
    let mut entry = Vec::with_capacity(ENTRY_BYTES);
    entry.extend(wording.digest);
    entry.extend(wording.whole);
    entry.extend(now_unix.to_be_bytes());
    entry.push(USED);
    entry
}

fn read(entry: &[u8]) -> Option<(Wording, u64)> {
    let (digest, rest) = entry.split_first_chunk::<32>()?;
    let (whole, rest) = rest.split_first_chunk::<32>()?;
    let (at, rest) = rest.split_first_chunk::<8>()?;
    let wording = Wording { digest: B256::from(*digest), whole: B256::from(*whole) };
    (rest == [USED]).then_some((wording, u64::from_be_bytes(*at)))
}

#[cfg(test)]
mod tests;
