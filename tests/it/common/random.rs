//! Random numbers that can be had again: by `POLAR_TEST_SEED`, else from a seed that the test prints.

use std::hash::{BuildHasher, RandomState};
use std::time::Duration;

/// A generator (splitmix64, Steele, Lea and Flood 2014).
#[derive(Debug)]
pub struct Random(u64);

impl Random {
    /// From `POLAR_TEST_SEED`, else from a seed of its own, which it prints: a test that fails shows it.
    pub fn new() -> Self {
        let given = std::env::var("POLAR_TEST_SEED").ok();
        let seed = given.map_or_else(
            || RandomState::new().hash_one("seed"),
            |text| text.parse().expect("POLAR_TEST_SEED is a number"),
        );
        eprintln!("POLAR_TEST_SEED={seed}");
        Self(seed)
    }

    /// The next number.
    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// A length between nothing and `longest`.
    pub fn within(&mut self, longest: Duration) -> Duration {
        let micros = u64::try_from(longest.as_micros()).expect("a test is short").max(1);
        Duration::from_micros(self.next() % micros)
    }
}
