//! When a payment that nobody waits for is sent: perhaps not now, but when gas is cheap.
//!
//! The policy only chooses a time. What a transaction offers for gas is what it takes at that time;
//! and a payment is never held back so long that its authorization could end first.

use std::fmt;
use std::str::FromStr;

use faregate_chain::SendTime;

use crate::limits::{QUIET_MARGIN_SECS, QUIET_RECHECK_SECS};

const MINUTE: u64 = 60;
const DAY: u64 = 24 * 60 * MINUTE;

/// What counts as a quiet time; either alone is enough. Without both, everything is sent at once.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct QuietPolicy {
    /// Hours of the day.
    pub hours: Option<QuietHours>,
    /// The next block's base fee is at most this, in wei.
    pub base_fee_wei: Option<u128>,
}

/// Hours of the day in UTC, such as 22:00-06:00; the end does not belong to them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct QuietHours {
    /// Seconds after midnight.
    start: u64,
    end: u64,
}

/// The text is no `HH:MM-HH:MM`, or the two times are one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("these are no hours of a day in UTC, such as 22:00-06:00")]
pub struct QuietHoursError;

impl FromStr for QuietHours {
    type Err = QuietHoursError;

    fn from_str(text: &str) -> Result<Self, QuietHoursError> {
        let (start, end) = text.split_once('-').ok_or(QuietHoursError)?;
        let (start, end) = (time(start).ok_or(QuietHoursError)?, time(end).ok_or(QuietHoursError)?);
        // Twice the same time could mean always or never.
        if start == end { Err(QuietHoursError) } else { Ok(Self { start, end }) }
    }
}

/// `HH:MM` as seconds after midnight.
fn time(text: &str) -> Option<u64> {
    let (hours, minutes) = text.split_once(':')?;
    let two_digits = |text: &str| text.len() == 2 && text.bytes().all(|byte| byte.is_ascii_digit());
    if !two_digits(hours) || !two_digits(minutes) {
        return None;
    }
    let (hours, minutes): (u64, u64) = (hours.parse().ok()?, minutes.parse().ok()?);
    (hours < 24 && minutes < 60).then_some((hours * 60 + minutes) * MINUTE)
}

impl fmt::Display for QuietHours {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (start, end) = (self.start / MINUTE, self.end / MINUTE);
        write!(f, "{:02}:{:02}-{:02}:{:02}", start / 60, start % 60, end / 60, end % 60)
    }
}

impl QuietHours {
    /// Whether this unix second is one of them.
    #[must_use]
    pub fn contains(&self, unix: u64) -> bool {
        let of_day = unix % DAY;
        if self.start < self.end {
            (self.start..self.end).contains(&of_day)
        } else {
            of_day >= self.start || of_day < self.end
        }
    }

    /// The first unix second after `unix` at which they begin.
    fn next_start(&self, unix: u64) -> u64 {
        let ahead = (self.start + DAY - unix % DAY) % DAY;
        unix.saturating_add(if ahead == 0 { DAY } else { ahead })
    }
}

/// When to send a payment that nobody waits for.
///
/// `now` and `deadline`, the end of its authorization, are unix seconds; `base_fees_wei` are those
/// of the last blocks and of the next one, which is the last; none when they are not known.
#[must_use]
pub fn send_time(
    now: u64,
    deadline: u64,
    base_fees_wei: &[u128],
    policy: &QuietPolicy,
) -> SendTime {
    let latest = deadline.saturating_sub(QUIET_MARGIN_SECS);
    if now >= latest || policy.hours.is_some_and(|hours| hours.contains(now)) {
        return SendTime::Now;
    }
    // Hours that come too late are worth no wait.
    let hours = policy.hours.map(|hours| hours.next_start(now)).filter(|start| *start <= latest);
    let cheaper = match (policy.base_fee_wei, base_fees_wei.last()) {
        (Some(most), Some(next)) if *next <= most => return SendTime::Now,
        (Some(_), Some(_)) => Some(now.saturating_add(QUIET_RECHECK_SECS)),
        _ => None,
    };
    match [hours, cheaper].into_iter().flatten().min() {
        Some(time) => SendTime::NotBefore(time.min(latest)),
        None => SendTime::Now,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// 2026-01-01 00:00 UTC.
    const MIDNIGHT: u64 = 1_767_225_600;

    fn at(hours: u64, minutes: u64) -> u64 {
        MIDNIGHT + (hours * 60 + minutes) * MINUTE
    }

    fn policy(hours: Option<&str>, base_fee_wei: Option<u128>) -> QuietPolicy {
        QuietPolicy { hours: hours.map(|text| text.parse().unwrap()), base_fee_wei }
    }

    #[test]
    fn hours_are_read_strictly() {
        for text in ["22:00-06:00", "00:00-23:59", "23:59-00:00", "07:05-07:06"] {
            assert_eq!(text.parse::<QuietHours>().unwrap().to_string(), text);
        }
        for odd in [
            "",
            "22-6",
            "22:00",
            "24:00-06:00",
            "22:60-06:00",
            "2:00-6:00",
            "22:00-22:00",
            "22:00 - 06:00",
            "+1:00-02:00",
            "22:00-06:00Z",
            "22:00-06:00-07:00",
            "２２:00-06:00",
        ] {
            assert_eq!(odd.parse::<QuietHours>(), Err(QuietHoursError), "{odd}");
        }
    }

    #[test]
    fn hours_may_go_over_midnight_and_their_end_is_no_part_of_them() {
        let night: QuietHours = "22:00-06:00".parse().unwrap();
        for (hours, minutes, quiet) in [
            (21, 59, false),
            (22, 0, true),
            (23, 59, true),
            (24, 0, true),
            (29, 59, true),
            (30, 0, false),
        ] {
            assert_eq!(night.contains(at(hours, minutes)), quiet, "{hours}:{minutes}");
        }
        let noon: QuietHours = "12:00-13:00".parse().unwrap();
        assert!(
            !noon.contains(at(11, 59)) && noon.contains(at(12, 0)) && !noon.contains(at(13, 0))
        );
        assert_eq!(night.next_start(at(21, 0)), at(22, 0));
        assert_eq!(night.next_start(at(22, 0)), at(46, 0));
        assert_eq!(night.next_start(at(6, 0)), at(22, 0));
    }

    #[test]
    fn a_payment_waits_for_the_night_if_it_can() {
        let night = policy(Some("22:00-06:00"), None);
        let tomorrow = at(36, 0);
        assert_eq!(send_time(at(12, 0), tomorrow, &[], &night), SendTime::NotBefore(at(22, 0)));
        assert_eq!(send_time(at(22, 0), tomorrow, &[], &night), SendTime::Now);
        assert_eq!(send_time(at(12, 0), at(22, 5), &[], &night), SendTime::Now, "no time after it");
        assert_eq!(send_time(at(12, 0), at(22, 15), &[], &night), SendTime::NotBefore(at(22, 0)));
        assert_eq!(send_time(at(12, 0), tomorrow, &[], &QuietPolicy::default()), SendTime::Now);
    }

    #[test]
    fn a_payment_waits_for_a_low_base_fee_as_long_as_it_can() {
        let low = policy(None, Some(100));
        let end = at(20, 0);
        assert_eq!(send_time(at(12, 0), end, &[900, 100], &low), SendTime::Now);
        let again = SendTime::NotBefore(at(12, 0) + QUIET_RECHECK_SECS);
        assert_eq!(send_time(at(12, 0), end, &[100, 101], &low), again);
        assert_eq!(send_time(at(12, 0), end, &[], &low), SendTime::Now, "nothing is known");
        let latest = end - QUIET_MARGIN_SECS;
        assert_eq!(send_time(latest - 1, end, &[101], &low), SendTime::NotBefore(latest));
        assert_eq!(send_time(latest, end, &[101], &low), SendTime::Now);
        let both = policy(Some("12:00-13:00"), Some(100));
        assert_eq!(send_time(at(12, 30), end, &[900], &both), SendTime::Now);
    }

    proptest! {
        #[test]
        fn nothing_waits_beyond_its_margin_and_every_wait_ends(
            now in MIDNIGHT..MIDNIGHT + 3 * DAY,
            left in 0_u64..2 * DAY,
            start in 0_u64..1440,
            length in 1_u64..1440,
            most in prop::option::of(0_u128..1000),
            fee in prop::option::of(0_u128..1000),
        ) {
            let end = (start + length) % 1440;
            let hours = QuietHours { start: start * MINUTE, end: end * MINUTE };
            let policy = QuietPolicy { hours: Some(hours), base_fee_wei: most };
            let fees: Vec<u128> = fee.into_iter().collect();
            let deadline = now + left;
            let (mut at, mut looks) = (now, 0);
            while let SendTime::NotBefore(later) = send_time(at, deadline, &fees, &policy) {
                prop_assert!(later > at && later + QUIET_MARGIN_SECS <= deadline);
                at = later;
                looks += 1;
                prop_assert!(looks <= 2 * DAY / QUIET_RECHECK_SECS + 2);
            }
            prop_assert!(at == now || at + QUIET_MARGIN_SECS <= deadline);
        }
    }
}
