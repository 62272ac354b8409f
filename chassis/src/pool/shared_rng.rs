//! A random number generator that threads share and a seed makes reproducible.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// A `SplitMix64` generator. Its state is a counter, so threads share it with one atomic addition per
/// number and without a lock.
#[derive(Debug)]
pub(super) struct SharedRng(AtomicU64);

impl SharedRng {
    const INCREMENT: u64 = 0x9e37_79b9_7f4a_7c15;

    /// A generator for the given seed, or for a random seed.
    pub(super) fn new(seed: Option<u64>) -> Self {
        Self(AtomicU64::new(seed.unwrap_or_else(rand::random)))
    }

    fn next_u64(&self) -> u64 {
        let mut z = self.0.fetch_add(Self::INCREMENT, Relaxed);
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A random number from 0 to `end` - 1. `end` must be between 1 and 2³².
    pub(super) fn below(&self, end: usize) -> usize {
        let scaled = ((self.next_u64() >> 32) * end as u64) >> 32;
        usize::try_from(scaled).unwrap_or(0)
    }

    /// A random number from 0 (inclusive) to 1 (exclusive).
    pub(super) fn fraction(&self) -> f64 {
        let high = u32::try_from(self.next_u64() >> 32).unwrap_or(u32::MAX);
        f64::from(high) / (f64::from(u32::MAX) + 1.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_number_in_the_range_is_drawn_and_no_other() {
        let rng = SharedRng::new(Some(1));
        let mut counts = [0; 5];
        (0..1000).for_each(|_| counts[rng.below(5)] += 1);
        assert!(counts.iter().all(|count| *count > 100), "{counts:?}");
        assert!((0..1000).all(|_| (0.0..1.0).contains(&rng.fraction())));
    }
}
