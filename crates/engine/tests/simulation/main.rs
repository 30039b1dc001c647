//! Engines, ledger, chain, callers and everything that may happen to them, in one thread under one
//! seed. A seed that fails prints itself; put it into [`REPLAYED`] and run
//! `cargo test -p faregate-engine --test simulation -- --exact replay --nocapture`.

#![allow(clippy::unwrap_used)] // a panic is how a test fails

mod audit;
mod callers;
mod chain;
mod checks;
mod clock;
mod control;
mod events;
mod payments;
mod process;
mod rng;
mod run;
mod sabotage;
mod store;
mod world;

use std::collections::BTreeMap;
use std::time::Instant;

use crate::audit::Rule;
use crate::run::{Outcome, run};
use crate::sabotage::Sabotage;

/// The seed that `replay` runs.
const REPLAYED: u64 = 1;
/// Seeds of each of the four tests that share the work between the cores.
const SEEDS_PER_SHARE: u64 = 500;
/// A sabotaged world is noticed within this many seeds.
const SEEDS_PER_SABOTAGE: u64 = 60;

fn share(number: u64) {
    let began = Instant::now();
    let mut events = 0;
    let first = number * SEEDS_PER_SHARE + 1;
    for seed in first..first + SEEDS_PER_SHARE {
        let outcome = run(seed, Sabotage::Nothing);
        assert!(outcome.violations.is_empty(), "{}", failure(seed, &outcome));
        events += outcome.notes;
    }
    let per_second = u128::from(SEEDS_PER_SHARE) * 1000 / began.elapsed().as_millis().max(1);
    println!("share {number}: {per_second} seeds a second, {events} events");
}

fn failure(seed: u64, outcome: &Outcome) -> String {
    let what = outcome.violations.iter().map(|v| format!("  {:?}: {}\n", v.rule, v.what));
    format!("seed={seed}\n{}", what.collect::<String>())
}

#[test]
fn share_1() {
    share(0);
}

#[test]
fn share_2() {
    share(1);
}

#[test]
fn share_3() {
    share(2);
}

#[test]
fn share_4() {
    share(3);
}

#[test]
fn replay() {
    let outcome = run(REPLAYED, Sabotage::Nothing);
    println!("{}", outcome.story);
    assert!(outcome.violations.is_empty(), "{}", failure(REPLAYED, &outcome));
}

/// A storm that never gets to a move proves nothing about it.
#[test]
fn the_storm_gets_everywhere() {
    const SEEDS: u64 = 150;
    const PLACES: [&str; 16] = [
        "acknowledge",
        "batch sent",
        "DEAD",
        "DORMANT",
        "FINAL",
        "RESERVED",
        "hopeful",
        "keep",
        "mined",
        "no-op sent",
        "nonces reopened",
        "replacement sent",
        "report",
        "undo",
        "want",
        "zombie refused",
    ];
    let mut counts = BTreeMap::new();
    for seed in 1..=SEEDS {
        for (what, count) in run(seed, Sabotage::Nothing).counts {
            *counts.entry(what).or_insert(0) += count;
        }
    }
    println!("{counts:?}");
    let missed: Vec<_> = PLACES.iter().filter(|place| !counts.contains_key(*place)).collect();
    assert!(missed.is_empty(), "never seen in seeds 1..={SEEDS}: {missed:?}");
}

#[test]
fn a_seed_replays_event_by_event() {
    for seed in [1, 7, 42, 1001, u64::MAX] {
        let (one, two) = (run(seed, Sabotage::Nothing), run(seed, Sabotage::Nothing));
        assert_eq!((one.trace, one.notes), (two.trace, two.notes), "seed={seed}");
        assert!(one.notes > 100, "seed={seed}: only {} events", one.notes);
    }
    assert_ne!(run(1, Sabotage::Nothing).trace, run(2, Sabotage::Nothing).trace);
}

/// The first rule that a seed finds broken in a sabotaged world.
fn noticed(sabotage: Sabotage, rule: Rule) {
    for seed in 1..=SEEDS_PER_SABOTAGE {
        let outcome = run(seed, sabotage);
        if outcome.violations.iter().any(|violation| violation.rule == rule) {
            println!("{sabotage:?} is noticed as {rule:?} by seed={seed}");
            return;
        }
    }
    panic!("{sabotage:?} went unnoticed");
}

#[test]
fn bytes_that_the_ledger_dropped_are_noticed_when_they_leave() {
    noticed(Sabotage::DropsBytes, Rule::RecordedBeforeSent);
}

#[test]
fn a_ledger_that_ignores_lease_tokens_is_noticed() {
    noticed(Sabotage::IgnoresTokens, Rule::ZombieWritesNothing);
}

#[test]
fn two_successes_for_one_settlement_are_noticed() {
    noticed(Sabotage::ReportsEverySuccess, Rule::OneSuccess);
}

#[test]
fn reservations_that_are_forgotten_leave_callers_without_an_end() {
    noticed(Sabotage::ForgetsReservations, Rule::EverythingEnds);
}

#[test]
fn nonces_in_flight_that_nobody_sees_leave_the_lane_with_gaps() {
    noticed(Sabotage::HidesOpenSlots, Rule::EverythingEnds);
}

#[test]
fn a_proof_of_a_transfer_that_did_not_happen_is_noticed() {
    noticed(Sabotage::FalsePaid, Rule::SuccessMeansMoved);
}

#[test]
fn death_without_proof_is_noticed() {
    noticed(Sabotage::FalseDead, Rule::NotChargedMeansNever);
}

#[test]
fn a_replacement_with_another_intent_is_noticed() {
    noticed(Sabotage::OtherIntent, Rule::OneIntentPerNonce);
}
