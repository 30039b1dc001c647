//! Texts that differ a little from a good one: every byte flipped, deleted, doubled, preceded by
//! another, the text cut at every length; and random splices of two.

use std::collections::hash_map::RandomState;
use std::hash::{BuildHasher as _, Hasher as _};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;

/// Bytes that mean something to one of the decoders, or to none.
const INSERTED: &[u8] = b"\"\\{],0e=\xff";
/// The lowest bit, letter case, and what is not ASCII.
const FLIPPED: &[u8] = &[0x01, 0x20, 0x80];

/// A file of the corpus.
#[derive(Clone)]
pub(crate) struct Seed {
    pub(crate) name: String,
    pub(crate) text: Vec<u8>,
}

/// The corpus of one decoder.
pub(crate) fn corpus(root: &Path, decoder: &str) -> Vec<Seed> {
    let mut seeds: Vec<Seed> = std::fs::read_dir(root.join(decoder))
        .unwrap()
        .map(|file| {
            let path = file.unwrap().path();
            let text = std::fs::read(&path).unwrap();
            let name = format!("{decoder}/{}", path.file_name().unwrap().to_string_lossy());
            Seed { name, text: text.trim_ascii_end().to_vec() }
        })
        .collect();
    seeds.sort_by(|a, b| a.name.cmp(&b.name));
    assert!(!seeds.is_empty(), "{decoder} has no corpus");
    seeds
}

/// Calls `look` with every small change of `text`, one after the other.
pub(crate) fn each_mutant(text: &[u8], mut look: impl FnMut(&[u8])) {
    let mut mutant = text.to_vec();
    for at in 0..text.len() {
        for bit in FLIPPED {
            mutant[at] ^= bit;
            look(&mutant);
            mutant[at] ^= bit;
        }
        let byte = mutant.remove(at);
        look(&mutant);
        mutant.insert(at, byte);
        for inserted in INSERTED.iter().copied().chain([byte]) {
            mutant.insert(at, inserted);
            look(&mutant);
            mutant.remove(at);
        }
        look(&text[..at]);
    }
    for appended in INSERTED {
        mutant.push(*appended);
        look(&mutant);
        mutant.pop();
    }
    assert_eq!(mutant, text);
}

/// Calls `look` with `count` texts, each the head of one seed and the tail of another, some with a
/// few bytes changed besides.
pub(crate) fn splices(
    seeds: &[Seed],
    count: usize,
    random: &mut Random,
    mut look: impl FnMut(&[u8]),
) {
    for _ in 0..count {
        let (head, tail) = (&seeds[random.below(seeds.len())], &seeds[random.below(seeds.len())]);
        let mut text = head.text[..random.below(head.text.len() + 1)].to_vec();
        text.extend(&tail.text[random.below(tail.text.len() + 1)..]);
        for _ in 0..random.below(4) {
            let at = random.below(text.len() + 1);
            let byte = INSERTED[random.below(INSERTED.len())];
            match text.get_mut(at) {
                Some(slot) => *slot = byte,
                None => text.push(byte),
            }
        }
        look(&text);
    }
}

/// Runs `work` on `input`, and names the input if it panics.
pub(crate) fn without_panic<T>(name: &str, input: &[u8], work: impl FnOnce(&[u8]) -> T) -> T {
    catch_unwind(AssertUnwindSafe(|| work(input))).unwrap_or_else(|_| {
        panic!("{name}: see above; the input was {:?}", input.escape_ascii().to_string())
    })
}

/// A small generator of random numbers; it prints its seed, and takes one from `MUTATION_SEED`.
pub(crate) struct Random(u64);

impl Random {
    pub(crate) fn new() -> Self {
        let given = std::env::var("MUTATION_SEED").ok().and_then(|text| text.parse().ok());
        let seed = given.unwrap_or_else(|| RandomState::new().build_hasher().finish());
        println!("MUTATION_SEED={seed}");
        Self(seed)
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A number below `end`, which is not 0.
    pub(crate) fn below(&mut self, end: usize) -> usize {
        usize::try_from(self.next() % end as u64).unwrap()
    }
}
