//! The shard's random stream: seeded from outside, so a seed gives the same trace. Unpredictable when the seed is.

use rand::rngs::StdRng;
use rand::{Rng as _, RngCore as _, SeedableRng as _};

#[derive(Debug)]
pub struct Rng(StdRng);

impl Rng {
    pub fn new(seed: [u8; 32]) -> Self {
        Self(StdRng::from_seed(seed))
    }

    pub fn u64(&mut self) -> u64 {
        self.0.next_u64()
    }

    /// Uniform in `0..bound`.
    pub fn below(&mut self, bound: u64) -> u64 {
        self.0.random_range(0..bound)
    }

    pub fn bytes<const N: usize>(&mut self) -> [u8; N] {
        let mut bytes = [0; N];
        self.0.fill_bytes(&mut bytes);
        bytes
    }

    /// A hasher for maps keyed by what peers choose.
    pub fn hasher(&mut self) -> ahash::RandomState {
        ahash::RandomState::with_seeds(self.u64(), self.u64(), self.u64(), self.u64())
    }
}
