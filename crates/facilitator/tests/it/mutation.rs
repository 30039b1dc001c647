//! The body of a request against every small change of good ones: no panic, and what is read is
//! one payment, however it was said.

#[path = "../../../protocol/tests/mutation/mutants.rs"]
mod mutants;

use std::path::Path;

use faregate_facilitator::answer::Refusal;
use faregate_facilitator::message::{self, Message};
use faregate_facilitator::version::Version;
use mutants::{Random, Seed, corpus, each_mutant, splices, without_panic};

const SPLICES: usize = 2_000;
/// Longest text of an error: fixed words and names of ours.
const MAX_ERROR: usize = 160;

fn seeds(kind: &str) -> Vec<Seed> {
    let root = concat!(env!("CARGO_MANIFEST_DIR"), "/../protocol/tests/mutation/corpus");
    corpus(Path::new(root), kind)
}

fn read(name: &str, text: &[u8]) -> Option<Message> {
    match without_panic(name, text, message::read) {
        Ok(message) => Some(message),
        Err(Refusal::Malformed(error)) => {
            assert!(error.len() <= MAX_ERROR, "{error}");
            None
        }
        Err(other) => panic!("{name}: {other:?}"),
    }
}

#[test]
fn small_changes_are_one_payment_or_none() {
    for kind in ["request", "request-v1"] {
        let (mut payments, mut others) = (0_u32, 0_u32);
        for seed in seeds(kind) {
            each_mutant(&seed.text, |mutant| match read(&seed.name, mutant) {
                Some(Message::Payment { request, .. }) => {
                    payments += 1;
                    let written = serde_json::to_vec(&request).unwrap();
                    let again = Message::Payment { version: Version::V2, request };
                    assert_eq!(read(&seed.name, &written), Some(again));
                }
                _ => others += 1,
            });
        }
        println!("{kind}: {payments} payments, {others} others");
        assert!(payments > 0 && others > 0);
    }
}

#[test]
fn splices_are_read_without_panic() {
    let mut random = Random::new();
    let both = [seeds("request"), seeds("request-v1")].concat();
    splices(&both, SPLICES, &mut random, |text| {
        read("splice", text);
    });
}
