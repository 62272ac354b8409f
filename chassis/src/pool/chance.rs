//! Chance that can be replayed: one atomic addition a draw, and one seed for all of it.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// Splitmix64, whose state is a mere counter and so can be shared without a lock.
#[derive(Debug)]
pub(super) struct Chance(AtomicU64);

impl Chance {
    const STEP: u64 = 0x9e37_79b9_7f4a_7c15;

    /// The sequence that belongs to a seed; without one, any.
    pub(super) fn new(seed: Option<u64>) -> Self {
        Self(AtomicU64::new(seed.unwrap_or_else(rand::random)))
    }

    fn draw(&self) -> u64 {
        let mut z = self.0.fetch_add(Self::STEP, Relaxed);
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A number below `end`, which is not zero and far below 2³².
    pub(super) fn below(&self, end: usize) -> usize {
        let scaled = ((self.draw() >> 32) * end as u64) >> 32;
        usize::try_from(scaled).unwrap_or(0)
    }

    /// A number from 0 up to 1.
    pub(super) fn fraction(&self) -> f64 {
        let high = u32::try_from(self.draw() >> 32).unwrap_or(u32::MAX);
        f64::from(high) / (f64::from(u32::MAX) + 1.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_number_comes_up_and_none_beyond() {
        let chance = Chance::new(Some(1));
        let mut seen = [0; 5];
        (0..1000).for_each(|_| seen[chance.below(5)] += 1);
        assert!(seen.iter().all(|count| *count > 100), "{seen:?}");
        assert!((0..1000).all(|_| (0.0..1.0).contains(&chance.fraction())));
    }
}
