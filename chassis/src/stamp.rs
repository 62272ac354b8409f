//! The keys of writes: version 7 UUIDs from a clock that never goes back.
//!
//! One key, three uses: the id of what is created, the proof that a repeated write is the same
//! write, and the stamp by which the last write of a state wins. The clock is a hybrid logical one:
//! it follows the wall clock, is strictly increasing within the process, and moves past any stamp
//! that it is shown.

use std::{
    sync::{Mutex, PoisonError},
    time::{SystemTime, UNIX_EPOCH},
};

use uuid::Uuid;

/// Makes the keys of writes.
#[derive(Debug, Default)]
pub struct Clock {
    /// The last 60 ordered bits given out: 48 of milliseconds, 12 of a counter.
    last: Mutex<u64>,
}

const COUNTER_BITS: u32 = 12;

impl Clock {
    /// A key greater than any that this clock has given out or observed.
    pub fn stamp(&self) -> Uuid {
        let now = unix_millis() << COUNTER_BITS;
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        *last = now.max(*last + 1);
        key(*last, rand::random())
    }

    /// Moves the clock past `stamp`, so that the next key is greater.
    pub fn observe(&self, stamp: Uuid) {
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        *last = (*last).max(ordered_bits(stamp));
    }
}

/// The key of a write that someone else has named: the same for every repetition of it.
///
/// `millis` is when the write was first sent, in milliseconds since 1970; `name` is spread over
/// the rest, so it should already be as good as random.
pub fn named(millis: u64, name: u128) -> Uuid {
    #[expect(
        clippy::cast_possible_truncation,
        reason = "each half of the name has its own place"
    )]
    let (counter, tail) = ((name >> 64) as u64 & 0xFFF, name as u64);
    key(millis << COUNTER_BITS | counter, tail)
}

/// The time of a key, in milliseconds since 1970.
pub fn millis(key: Uuid) -> u64 {
    ordered_bits(key) >> COUNTER_BITS
}

/// Reads a key from the wire: 16 bytes.
pub fn from_wire(bytes: &[u8]) -> Option<Uuid> {
    Uuid::from_slice(bytes).ok()
}

/// Milliseconds since 1970 by the wall clock.
pub fn unix_millis() -> u64 {
    let since = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    u64::try_from(since.as_millis()).expect("the year is below 584 million")
}

fn key(ordered: u64, tail: u64) -> Uuid {
    let high = (ordered >> COUNTER_BITS) << 16 | 0x7000 | (ordered & 0xFFF);
    Uuid::from_u64_pair(high, tail & (u64::MAX >> 2) | 1 << 63)
}

fn ordered_bits(key: Uuid) -> u64 {
    let (high, _) = key.as_u64_pair();
    (high >> 16) << COUNTER_BITS | (high & 0xFFF)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_only_ever_grow() {
        let clock = Clock::default();
        let keys: Vec<Uuid> = (0..10_000).map(|_| clock.stamp()).collect();
        assert!(keys.windows(2).all(|pair| pair[0] < pair[1]));
    }

    #[test]
    fn keys_are_version_7_and_tell_their_time() {
        let before = unix_millis();
        let key = Clock::default().stamp();
        assert_eq!(key.get_version_num(), 7);
        assert_eq!(key.get_variant(), uuid::Variant::RFC4122);
        assert!((before..=unix_millis()).contains(&millis(key)));
    }

    #[test]
    fn an_observed_stamp_is_left_behind() {
        let clock = Clock::default();
        let ahead = named(unix_millis() + 60_000, 7 << 64 | 9);
        clock.observe(ahead);
        assert!(clock.stamp() > ahead);
    }

    #[test]
    fn a_named_key_is_the_same_each_time() {
        let name = 0x0123_4567_89ab_cdef_0123_4567_89ab_cdef;
        assert_eq!(
            named(1_700_000_000_000, name),
            named(1_700_000_000_000, name)
        );
        assert_eq!(millis(named(1_700_000_000_000, name)), 1_700_000_000_000);
    }
}
