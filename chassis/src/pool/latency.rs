//! Percentiles of recent latencies, cheap enough to be updated on every call.

use std::{
    array,
    sync::atomic::{AtomicU32, AtomicU64, Ordering::Relaxed},
    time::Duration,
};

/// Number of buckets. There are four per octave of microseconds, up to a minute, so a percentile is at
/// most a quarter too high.
const BUCKETS: usize = 104;

/// Number of observations before the percentiles are computed for the first time.
const FIRST_UPDATE: u64 = 64;

/// Number of observations between two updates of the percentiles. Each update halves the weight of the
/// observations before it.
const UPDATE_INTERVAL: u64 = 512;

/// A histogram of latencies in which old observations decay.
///
/// All counters use relaxed atomics. Two threads that update them at the same time may count one
/// observation too few or too many, which does not change a percentile noticeably.
#[derive(Debug)]
pub(super) struct Latency {
    counts: [AtomicU32; BUCKETS],
    observed: AtomicU64,
    p95_micros: AtomicU64,
    p99_micros: AtomicU64,
}

impl Latency {
    /// An empty histogram.
    pub(super) fn new() -> Self {
        Self {
            counts: array::from_fn(|_| AtomicU32::new(0)),
            observed: AtomicU64::new(0),
            p95_micros: AtomicU64::new(0),
            p99_micros: AtomicU64::new(0),
        }
    }

    /// Records one call that took `elapsed`.
    pub(super) fn record(&self, elapsed: Duration) {
        let micros = u64::try_from(elapsed.as_micros()).unwrap_or(u64::MAX);
        self.counts[bucket(micros)].fetch_add(1, Relaxed);
        let observed = self.observed.fetch_add(1, Relaxed) + 1;
        if observed == FIRST_UPDATE || observed.is_multiple_of(UPDATE_INTERVAL) {
            self.update(observed != FIRST_UPDATE);
        }
    }

    /// The 95th percentile. `None` before [`FIRST_UPDATE`] observations.
    pub(super) fn p95(&self) -> Option<Duration> {
        nonzero(&self.p95_micros)
    }

    /// The 99th percentile. `None` before [`FIRST_UPDATE`] observations.
    pub(super) fn p99(&self) -> Option<Duration> {
        nonzero(&self.p99_micros)
    }

    fn update(&self, decay: bool) {
        let counts: [u32; BUCKETS] = array::from_fn(|index| self.counts[index].load(Relaxed));
        let total: u64 = counts.iter().copied().map(u64::from).sum();
        let percentile = |percent: u64| {
            let mut below = 0;
            let index = counts.iter().position(|count| {
                below += u64::from(*count);
                below * 100 >= total * percent
            });
            upper_bound(index.unwrap_or(BUCKETS - 1))
        };
        self.p95_micros.store(percentile(95), Relaxed);
        self.p99_micros.store(percentile(99), Relaxed);
        if decay {
            for (count, before) in self.counts.iter().zip(counts) {
                count.fetch_sub(before - before / 2, Relaxed);
            }
        }
    }
}

fn nonzero(micros: &AtomicU64) -> Option<Duration> {
    match micros.load(Relaxed) {
        0 => None,
        micros => Some(Duration::from_micros(micros)),
    }
}

/// Index of the bucket of a latency. It combines the octave and the quarter of the octave.
fn bucket(micros: u64) -> usize {
    if micros < 4 {
        return usize::try_from(micros).unwrap_or(0);
    }
    let octave = micros.ilog2();
    let quarter = (micros >> (octave - 2)) & 3;
    let index = u64::from(octave - 1) * 4 + quarter;
    usize::try_from(index).map_or(BUCKETS - 1, |index| index.min(BUCKETS - 1))
}

/// The smallest latency, in microseconds, that is above a bucket.
fn upper_bound(bucket: usize) -> u64 {
    let bucket = bucket as u64;
    if bucket < 4 {
        return bucket + 1;
    }
    let octave = bucket / 4 + 1;
    (4 + bucket % 4 + 1) << (octave - 2)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_latency_is_close_below_the_bound_of_its_bucket() {
        for micros in (0..20_000).chain([100_000, 999_999, 30_000_000]) {
            let bound = upper_bound(bucket(micros));
            assert!(bound > micros, "{micros}: {bound}");
            assert!(bound <= micros + micros / 4 + 1, "{micros}: {bound}");
        }
        assert_eq!(bucket(u64::MAX), BUCKETS - 1);
    }

    #[test]
    fn percentiles_are_known_after_enough_observations() {
        let latency = Latency::new();
        for call in 0..FIRST_UPDATE {
            assert_eq!(latency.p95(), None);
            latency.record(Duration::from_micros(if call % 10 == 0 {
                8_000
            } else {
                1_000
            }));
        }
        let p95 = latency.p95().unwrap();
        assert!(p95 > Duration::from_millis(8) && p95 <= Duration::from_millis(10));
        assert_eq!(latency.p99(), Some(p95));
    }

    #[test]
    fn old_observations_decay() {
        let latency = Latency::new();
        (0..UPDATE_INTERVAL).for_each(|_| latency.record(Duration::from_millis(50)));
        (0..6 * UPDATE_INTERVAL).for_each(|_| latency.record(Duration::from_millis(1)));
        assert!(latency.p95().unwrap() < Duration::from_millis(2));
    }
}
