//! Random choices that a seed repeats.

use std::hash::{BuildHasher as _, RandomState};

/// Names the seed of a run to repeat.
const VARIABLE: &str = "FAREGATE_TEST_SEED";

/// SplitMix64.
pub(crate) struct Dice(u64);

impl Dice {
    /// The seed of the environment, or a new one. Whoever uses it prints it.
    pub(crate) fn seed() -> u64 {
        let given = std::env::var(VARIABLE).ok();
        given.map_or_else(|| RandomState::new().hash_one(0), |text| text.parse().unwrap())
    }

    pub(crate) fn new(seed: u64) -> Self {
        Self(seed)
    }

    pub(crate) fn below(&mut self, end: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ (mixed >> 31)) % end
    }

    pub(crate) fn one_of<'a, T>(&mut self, choices: &'a [T]) -> &'a T {
        &choices[usize::try_from(self.below(choices.len().try_into().unwrap())).unwrap()]
    }
}
