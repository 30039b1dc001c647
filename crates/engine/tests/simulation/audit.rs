//! Sees everything that is stored, sent and answered, and keeps what must never have happened.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use faregate_ledger::Lease;
use serde_json::Value;

use crate::clock::SimulatedClock;

/// Notes that a failure shows.
const SHOWN_NOTES: usize = 400;

/// The intent of a transaction that only uses its nonce up.
const NO_OP: &str = "no-op";

/// What must hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Rule {
    /// Bytes that leave stand in the ledger.
    RecordedBeforeSent,
    /// All bytes for one nonce of one signer have one intent.
    OneIntentPerNonce,
    /// What one payment may cost the operator.
    BoundedTransactions,
    /// A holder whose lease was taken over changes nothing.
    ZombieWritesNothing,
    /// Success is said of money that moved.
    SuccessMeansMoved,
    /// One caller is told success.
    OneSuccess,
    /// "Not charged" is said of money that never moves.
    NotChargedMeansNever,
    /// An answer that a caller in its place may get.
    FittingAnswer,
    /// The ledger's MINED, FINAL and DEAD are the chain's.
    LedgerMatchesChain,
    /// What has ended stays.
    EndsStay,
    /// When all is well again, everything ends and everybody is answered.
    EverythingEnds,
}

/// A rule that was broken.
#[derive(Clone, Debug)]
pub(crate) struct Violation {
    pub(crate) rule: Rule,
    pub(crate) what: String,
}

#[derive(Clone, Copy, Debug)]
struct Note {
    at_ms: u128,
    what: &'static str,
    who: u64,
    detail: u64,
}

/// Shared by everything in a run.
#[derive(Clone)]
pub(crate) struct Audit {
    clock: SimulatedClock,
    seen: Arc<Mutex<Seen>>,
}

#[derive(Default)]
struct Seen {
    /// Hash over all notes: equal runs have equal traces.
    trace: u64,
    notes: u64,
    counts: BTreeMap<&'static str, u64>,
    last: VecDeque<Note>,
    violations: Vec<Violation>,
    recorded: HashSet<Vec<u8>>,
    intents: HashMap<(String, u64), String>,
    /// Distinct transactions of an intent, by nonce.
    sent: HashMap<String, BTreeMap<(String, u64), BTreeSet<String>>>,
    leases: HashMap<String, Lease>,
}

/// What left for one payment.
pub(crate) struct Spent {
    pub(crate) nonces: usize,
    pub(crate) transactions: usize,
}

impl Audit {
    pub(crate) fn new(clock: SimulatedClock) -> Self {
        Self { clock, seen: Arc::default() }
    }

    fn seen(&self) -> MutexGuard<'_, Seen> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// One event of the run.
    pub(crate) fn note(&self, what: &'static str, who: u64, detail: u64) {
        let at_ms = self.clock.elapsed().as_millis();
        let mut seen = self.seen();
        seen.notes += 1;
        *seen.counts.entry(what).or_default() += 1;
        let numbers = [u64::try_from(at_ms).unwrap(), who, detail];
        let bytes = what.bytes().chain(numbers.into_iter().flat_map(u64::to_le_bytes));
        seen.trace = bytes.fold(seen.trace ^ 0xcbf2_9ce4_8422_2325, |hash, byte| {
            (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3)
        });
        if seen.last.len() == SHOWN_NOTES {
            seen.last.pop_front();
        }
        seen.last.push_back(Note { at_ms, what, who, detail });
    }

    pub(crate) fn violation(&self, rule: Rule, what: String) {
        self.note("VIOLATION", 0, 0);
        self.seen().violations.push(Violation { rule, what });
    }

    pub(crate) fn check(&self, holds: bool, rule: Rule, what: impl FnOnce() -> String) {
        if !holds {
            self.violation(rule, what());
        }
    }

    pub(crate) fn violations(&self) -> Vec<Violation> {
        self.seen().violations.clone()
    }

    /// Hash and number of all notes.
    pub(crate) fn trace(&self) -> (u64, u64) {
        let seen = self.seen();
        (seen.trace, seen.notes)
    }

    /// How often what was noted.
    pub(crate) fn counts(&self) -> BTreeMap<&'static str, u64> {
        self.seen().counts.clone()
    }

    /// The end of the run, a line a note.
    pub(crate) fn story(&self) -> String {
        let seen = self.seen();
        let lines = seen.last.iter().map(|note| {
            let Note { at_ms, what, who, detail } = note;
            format!("{at_ms:>8} ms  {what} {who} {detail}\n")
        });
        lines.collect()
    }

    /// The ledger holds these bytes.
    pub(crate) fn recorded(&self, raw: Vec<u8>) {
        self.seen().recorded.insert(raw);
    }

    /// Bytes leave a process.
    pub(crate) fn sent(&self, raw: &[u8]) {
        let bytes: Value = serde_json::from_slice(raw).unwrap();
        let text = |name: &str| bytes[name].as_str().unwrap_or_default().to_owned();
        let nonces: Vec<String> =
            bytes["requests"].as_array().unwrap().iter().map(nonce_of).collect();
        let intent = if nonces.is_empty() { NO_OP.to_owned() } else { nonces.join("+") };
        let (transaction, place) =
            (text("hash"), (text("signer"), bytes["nonce"].as_u64().unwrap()));
        let mut seen = self.seen();
        let known = seen.recorded.contains(raw);
        let first = seen.intents.entry(place.clone()).or_insert_with(|| intent.clone()).clone();
        let mut replaces = false;
        for payment in if nonces.is_empty() { vec![intent.clone()] } else { nonces.clone() } {
            let of_nonce = seen.sent.entry(payment).or_default().entry(place.clone()).or_default();
            replaces |= of_nonce.insert(transaction.clone()) && of_nonce.len() > 1;
        }
        drop(seen);
        if nonces.len() > 1 {
            self.note("batch sent", 0, nonces.len() as u64);
        }
        if replaces {
            self.note("replacement sent", 0, 0);
        }
        if intent == NO_OP {
            self.note("no-op sent", 0, 0);
        }
        self.check(known, Rule::RecordedBeforeSent, || format!("{transaction} is not stored"));
        self.check(first == intent, Rule::OneIntentPerNonce, || {
            format!("{transaction} is for {intent}, its nonce for {first}")
        });
    }

    /// What left for the payment with this authorization nonce, alone or in a batch.
    pub(crate) fn spent(&self, intent: &str) -> Spent {
        let seen = self.seen();
        let of_intent = seen.sent.get(intent);
        Spent {
            nonces: of_intent.map_or(0, BTreeMap::len),
            transactions: of_intent.map_or(0, |nonces| nonces.values().map(BTreeSet::len).sum()),
        }
    }

    /// The ledger gave a lease.
    pub(crate) fn leased(&self, lease: &Lease) {
        self.seen().leases.insert(lease.name.clone(), lease.clone());
    }

    /// Who holds a lease by the ledger's books.
    pub(crate) fn holder(&self, name: &str) -> Option<Lease> {
        self.seen().leases.get(name).cloned()
    }
}

/// The authorization nonce of a payment.
fn nonce_of(request: &Value) -> String {
    let nonce = &request["paymentPayload"]["payload"]["authorization"]["nonce"];
    nonce.as_str().unwrap().to_owned()
}
