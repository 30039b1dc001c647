//! What is remembered, how long, and how much.

use super::*;
use std::time::Duration;

use crate::limits::CLOCKS_APART;

const NOW: u64 = 1_700_000_000;

fn wording(digest: u8, whole: u8) -> Wording {
    Wording { digest: B256::repeat_byte(digest), whole: B256::repeat_byte(whole) }
}

fn refused(until: Instant) -> Refused {
    Refused { until, source: CacheLayer::Redis }
}

#[test]
fn an_entry_comes_back_as_it_was_and_nothing_else_is_one() {
    let good = entry(wording(1, 2), NOW);
    assert_eq!(read(&good), Some((wording(1, 2), NOW)));
    let mut longer = good.clone();
    longer.push(USED);
    let mut another = good.clone();
    *another.last_mut().unwrap() = 2;
    for bad in [&good[..ENTRY_BYTES - 1], &good[1..], &longer, &another, b"", b"garbage"] {
        assert_eq!(read(bad), None);
    }
}

#[test]
fn what_was_said_of_one_wording_is_not_said_of_another() {
    let mut known = Known::default();
    known.note(wording(5, 1), refused(Instant::now() + REFUSED_FOR));
    assert!(known.has_digest(B256::repeat_byte(5)));
    for other in [4, 6] {
        assert!(!known.has_digest(B256::repeat_byte(other)));
    }
    assert!(known.refused.contains_key(&wording(5, 1)));
    assert!(!known.refused.contains_key(&wording(5, 2)));
}

#[test]
fn nothing_lasts_longer_for_being_repeated() {
    let (mut known, until) = (Known::default(), Instant::now() + REFUSED_FOR);
    known.note(wording(1, 1), refused(until));
    known.note(wording(1, 1), refused(until + REFUSED_FOR));
    assert_eq!(known.refused[&wording(1, 1)].until, until);
}

#[test]
fn an_old_word_lasts_as_long_as_it_has_left() {
    let limit = REFUSED_FOR.as_secs();
    assert_eq!(age(NOW, NOW - 10, REFUSED_FOR), Some(Duration::from_secs(10)));
    assert_eq!(age(NOW, NOW - limit, REFUSED_FOR), None);
    assert_eq!(age(NOW, NOW + CLOCKS_APART.as_secs(), REFUSED_FOR), Some(Duration::ZERO));
    assert_eq!(age(NOW, NOW + CLOCKS_APART.as_secs() + 1, REFUSED_FOR), None);
    assert_eq!(age(NOW, u64::MAX, REFUSED_FOR), None);
}

#[test]
fn a_payment_is_asked_about_at_most_once_in_a_while() {
    let (mut known, now) = (Known::default(), Instant::now());
    assert!(known.may_ask(wording(1, 1), now));
    assert!(!known.may_ask(wording(1, 2), now), "another wording of the same authorization");
    assert!(known.may_ask(wording(2, 1), now));
    assert!(known.may_ask(wording(1, 2), now + FINALITY_ASKED_EVERY));
    known.note(wording(3, 3), refused(now + REFUSED_FOR));
    assert!(!known.may_ask(wording(3, 3), now), "known already");
}

#[test]
fn memory_is_bounded() {
    let (mut known, now) = (Known::default(), Instant::now());
    for number in 0..3 * REFUSALS_ENTRIES as u64 {
        let digest = B256::left_padding_from(&number.to_be_bytes());
        let wording = Wording { digest, whole: B256::ZERO };
        known.note(wording, refused(now + REFUSED_FOR));
        known.may_ask(Wording { digest: !digest, ..wording }, now);
        assert!(known.refused.len() <= REFUSALS_ENTRIES);
        assert!(known.asked.len() <= REFUSALS_ENTRIES);
    }
    assert!(known.may_ask(wording(9, 9), now + FINALITY_ASKED_EVERY));
}
