//! Keys of writes. They are version 7 UUIDs (RFC 9562) from a clock that never goes back.
//!
//! A key has three uses. It is the id of a created object. It identifies a repeated write (idempotency
//! key). It is the stamp that decides which of two writes of a state is the later one, where the greater
//! stamp wins. The clock is a hybrid logical clock. It follows the wall clock, strictly increases within
//! the process, and moves past every stamp that it observes.

use std::{
    sync::{Mutex, PoisonError},
    time::{SystemTime, UNIX_EPOCH},
};

use uuid::Uuid;

/// A hybrid logical clock that generates the keys of writes.
#[derive(Debug, Default)]
pub struct Clock {
    /// The ordered bits of the last key: 48 bits of milliseconds and 12 bits of a counter.
    last: Mutex<u64>,
}

/// Number of bits of the counter within a millisecond.
const COUNTER_BITS: u32 = 12;

impl Clock {
    /// Generates a key that is greater than all keys that this clock has generated or observed.
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

/// Derives the key of a write from a name that the client chose, so that every repetition of the write
/// has the same key.
///
/// `millis` is the time of the first attempt, in milliseconds since 1970. `name` fills the other bits, so
/// it should be random or a hash.
pub fn from_name(millis: u64, name: u128) -> Uuid {
    #[expect(
        clippy::cast_possible_truncation,
        reason = "each half of the name fills its own bits"
    )]
    let (counter, tail) = ((name >> 64) as u64 & 0xFFF, name as u64);
    key(millis << COUNTER_BITS | counter, tail)
}

/// The time in a key, in milliseconds since 1970.
pub fn millis(key: Uuid) -> u64 {
    ordered_bits(key) >> COUNTER_BITS
}

/// Decodes a key from its 16 bytes. Returns `None` for any other length.
pub fn from_wire(bytes: &[u8]) -> Option<Uuid> {
    Uuid::from_slice(bytes).ok()
}

/// The time of the wall clock, in milliseconds since 1970.
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
    fn keys_strictly_increase() {
        let clock = Clock::default();
        let keys: Vec<Uuid> = (0..10_000).map(|_| clock.stamp()).collect();
        assert!(keys.windows(2).all(|pair| pair[0] < pair[1]));
    }

    #[test]
    fn keys_are_version_7_and_contain_their_time() {
        let before = unix_millis();
        let key = Clock::default().stamp();
        assert_eq!(key.get_version_num(), 7);
        assert_eq!(key.get_variant(), uuid::Variant::RFC4122);
        assert!((before..=unix_millis()).contains(&millis(key)));
    }

    #[test]
    fn a_key_is_greater_than_an_observed_stamp() {
        let clock = Clock::default();
        let ahead = from_name(unix_millis() + 60_000, 7 << 64 | 9);
        clock.observe(ahead);
        assert!(clock.stamp() > ahead);
    }

    #[test]
    fn a_name_always_yields_the_same_key() {
        let name = 0x0123_4567_89ab_cdef_0123_4567_89ab_cdef;
        assert_eq!(
            from_name(1_700_000_000_000, name),
            from_name(1_700_000_000_000, name)
        );
        assert_eq!(
            millis(from_name(1_700_000_000_000, name)),
            1_700_000_000_000
        );
    }
}
