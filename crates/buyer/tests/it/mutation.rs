//! A seller's challenge against every small change of good ones: no panic, and nothing above the
//! limit is chosen.

#[path = "../../../protocol/tests/mutation/mutants.rs"]
mod mutants;

use std::path::Path;

use faregate_buyer::challenge::{self, MAX_OPTIONS};
use faregate_buyer::choose::choose;
use faregate_buyer::{BuyerConfig, Version};
use faregate_protocol::Amount;
use mutants::{Random, Seed, corpus, each_mutant, splices, without_panic};
use reqwest::header::HeaderMap;

use crate::harness::home;

const SPLICES: usize = 2_000;

fn seeds(kind: &str) -> Vec<Seed> {
    let root = concat!(env!("CARGO_MANIFEST_DIR"), "/../protocol/tests/mutation/corpus");
    corpus(Path::new(root), kind)
}

/// The version, if it would be paid.
fn paid(config: &BuyerConfig, name: &str, text: &[u8]) -> Option<Version> {
    without_panic(name, text, |text| {
        let challenge = challenge::read(&HeaderMap::new(), text).ok()?;
        assert!(challenge.options.len() <= MAX_OPTIONS);
        let choice = choose(&challenge.options, config).ok()?;
        let requirements = &choice.requirements;
        assert!(requirements.amount <= Amount::from(100_000), "{}", requirements.amount);
        assert_eq!(requirements.network.as_str(), "eip155:84532");
        assert_eq!(requirements.asset, "0x036CbD53842c5426634e7929541eC2318f3dCF7e");
        assert_eq!(requirements.pay_to, choice.pay_to.to_checksum(None));
        Some(challenge.version)
    })
}

#[test]
fn small_changes_are_paid_within_the_limit_or_not_at_all() {
    let config = home().config();
    for (kind, version) in [("challenge", Version::V2), ("challenge-v1", Version::V1)] {
        let (mut chosen, mut refused) = (0_u32, 0_u32);
        for seed in seeds(kind) {
            each_mutant(&seed.text, |mutant| match paid(&config, &seed.name, mutant) {
                Some(paid) => {
                    chosen += 1;
                    assert_eq!(paid, version);
                }
                None => refused += 1,
            });
        }
        println!("{kind}: {chosen} would be paid, {refused} not");
        assert!(chosen > 0 && refused > 0);
    }
}

#[test]
fn splices_are_paid_within_the_limit_or_not_at_all() {
    let (config, mut random) = (home().config(), Random::new());
    let both = [seeds("challenge"), seeds("challenge-v1")].concat();
    splices(&both, SPLICES, &mut random, |text| {
        paid(&config, "splice", text);
    });
}
