//! The randomness that a workflow sees.

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::SeedableRng;
use sha2::{Digest, Sha256};

use crate::model::Seed;

/// Which of a run's streams: they are independent, so that one draws without moving another.
#[derive(Clone, Copy, Debug)]
pub enum Stream {
    /// `windlass:workflow/random`
    Workflow = 0,
    /// `wasi:random/random`
    Wasi = 1,
    /// `wasi:random/insecure` and `insecure-seed`
    Insecure = 2,
}

impl Stream {
    /// The stream of a seed, at its beginning. What it gives is part of every history: never change it.
    pub fn of(self, seed: Seed) -> ChaCha8Rng {
        let mut hash = Sha256::new();
        hash.update(b"windlass/random/1");
        hash.update(seed.0);
        let mut random = ChaCha8Rng::from_seed(hash.finalize().into());
        random.set_stream(self as u64);
        random
    }
}

#[cfg(test)]
mod tests {
    use rand_chacha::rand_core::Rng;

    use super::*;

    #[test]
    fn a_seed_gives_the_same_numbers_for_ever() {
        let first = |stream: Stream| stream.of(Seed([7; 16])).next_u64();
        // Histories were made with these.
        assert_eq!(first(Stream::Workflow), 3_415_402_392_003_151_440);
        assert_eq!(first(Stream::Wasi), 14_019_951_554_913_954_245);
        assert_eq!(first(Stream::Insecure), 726_227_393_267_285_977);
    }
}
