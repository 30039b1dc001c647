//! What the buyers of one payment saw, and whether it is possible that they saw it.
//!
//! The rule is linearizability against one object for each payment, with the operations claim,
//! settle, grant and redeliver, which is to its buyers one switch: it is granted once, and from then
//! on it is used up. An answer that knows of the grant ends after it, an answer that does not began
//! before it, so a history is linearizable exactly if no answer of the second kind began after the
//! end of one of the first kind. That is decided for histories of any width, and without a search.
//! Besides: all answers that deliver are the same bytes; nobody whose payment was ever on its way is
//! told to pay; and a payment of which it was said that it is not charged is never served.
//!
//! One exception: while the database is away a gate may say "pending" of a payment that was
//! granted, because that is the answer which lets no buyer pay again. It is an exception for the
//! time of an outage only.

use std::fmt;

/// What one request came to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Got {
    /// The resource; the hash of its body.
    Served(u64),
    /// 409 `payment_already_used`: somebody was granted.
    Used,
    /// Somebody works on it.
    InProgress,
    /// Asked to settle, not proven yet.
    Pending,
    /// Proven that nobody was or will be charged.
    NotCharged,
    /// Something that was needed is down; says nothing about the payment.
    Down(u16, String),
    /// Any other answer: status and code.
    Refused(u16, String),
    /// No answer, or half of one.
    Nothing(String),
}

/// When the database was away, in microseconds since the run began: from its death to the end of
/// what that can bring about.
pub(crate) type Outage = std::ops::RangeInclusive<u64>;

/// One request of one buyer. Times are microseconds since the run began.
#[derive(Clone, Debug)]
pub(crate) struct Seen {
    /// Which gate was asked.
    pub(crate) gate: usize,
    pub(crate) began_us: u64,
    pub(crate) ended_us: u64,
    pub(crate) got: Got,
}

impl fmt::Display for Seen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { gate, began_us, ended_us, got } = self;
        write!(f, "{began_us:>11} to {ended_us:>11} us, gate {gate}: {got:?}")
    }
}

/// Whether an answer says that the payment was granted; `None` if it says nothing of it.
fn knows_of_grant(got: &Got) -> Option<bool> {
    match got {
        Got::Served(_) | Got::Used => Some(true),
        Got::InProgress | Got::Pending | Got::NotCharged | Got::Refused(..) => Some(false),
        Got::Down(..) | Got::Nothing(_) => None,
    }
}

/// Distinct bodies that were delivered.
pub(crate) fn bodies(history: &[Seen]) -> usize {
    let mut hashes: Vec<u64> = history
        .iter()
        .filter_map(|seen| if let Got::Served(hash) = seen.got { Some(hash) } else { None })
        .collect();
    hashes.sort_unstable();
    hashes.dedup();
    hashes.len()
}

/// It says "pending" because there was no database to ask.
fn is_of_outage(seen: &Seen, outages: &[Outage]) -> bool {
    let overlaps = |out: &Outage| seen.began_us <= *out.end() && *out.start() <= seen.ended_us;
    seen.got == Got::Pending && outages.iter().any(overlaps)
}

/// Everything that cannot be in one history.
pub(crate) fn faults(history: &[Seen], outages: &[Outage]) -> Vec<String> {
    let mut found = Vec::new();
    if bodies(history) > 1 {
        found.push("two answers were delivered".to_owned());
    }
    let knowing = |wanted| history.iter().filter(move |s| knows_of_grant(&s.got) == Some(wanted));
    let known = knowing(true).min_by_key(|seen| seen.ended_us);
    let unknowing = knowing(false).filter(|seen| !is_of_outage(seen, outages));
    let unknowing = unknowing.max_by_key(|seen| seen.began_us);
    if let (Some(known), Some(unknowing)) = (known, unknowing)
        && unknowing.began_us > known.ended_us
    {
        found.push(format!("[{unknowing}] began after [{known}]"));
    }
    for refused in history.iter().filter(|seen| matches!(seen.got, Got::Refused(..))) {
        found.push(format!("a good payment was refused: [{refused}]"));
    }
    let told_of_none = history.iter().find(|seen| seen.got == Got::NotCharged);
    if let (Some(told), Some(known)) = (told_of_none, known) {
        found.push(format!("[{told}] and yet [{known}]"));
    }
    let pending = history.iter().filter(|seen| seen.got == Got::Pending);
    let asked = pending.map(|seen| seen.ended_us).min();
    let told = history.iter().filter(|seen| matches!(seen.got, Got::Refused(402, _)));
    if let (Some(asked), Some(told)) = (asked, told.max_by_key(|seen| seen.began_us))
        && told.began_us > asked
    {
        found.push(format!("told to pay again: [{told}]"));
    }
    found
}

/// The rules see what they are for; a rule that can no longer fail would pass every run.
pub(crate) fn check_the_rules() {
    let seen = |began_us, ended_us, got| Seen { gate: 0, began_us, ended_us, got };
    let good = [
        seen(0, 9, Got::Pending),
        seen(2, 6, Got::InProgress),
        seen(3, 5, Got::Nothing("cut".to_owned())),
        seen(4, 8, Got::Served(1)),
        seen(7, 9, Got::InProgress),
        seen(9, 12, Got::Used),
        seen(13, 14, Got::Served(1)),
        seen(15, 16, Got::Down(503, "ledger_unavailable".to_owned())),
    ];
    assert!(faults(&good, &[]).is_empty(), "{:?}", faults(&good, &[]));
    let away = [seen(0, 1, Got::Served(1)), seen(5, 9, Got::Pending)];
    assert!(faults(&away, &[7..=8]).is_empty() && faults(&away, &[10..=11]).len() == 1);
    let refused = || Got::Refused(402, "payment_required".to_owned());
    let bad: [(&str, Vec<Seen>); 5] = [
        ("two answers", vec![seen(0, 1, Got::Served(1)), seen(2, 3, Got::Served(2))]),
        ("began after", vec![seen(0, 4, Got::Used), seen(5, 6, Got::InProgress)]),
        ("refused", vec![seen(0, 1, refused()), seen(2, 3, Got::Served(1))]),
        ("and yet", vec![seen(0, 9, Got::NotCharged), seen(1, 4, Got::Served(1))]),
        ("pay again", vec![seen(0, 1, Got::Pending), seen(2, 3, refused())]),
    ];
    for (what, history) in bad {
        let found = faults(&history, &[]);
        assert!(found.iter().any(|text| text.contains(what)), "{what}: {found:?}");
    }
}
