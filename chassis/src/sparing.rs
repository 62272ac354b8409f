//! A bound on how often something is said.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use crate::stamp::unix_millis;

/// Lets so many lines through in a second, and counts the others.
#[derive(Debug)]
pub struct Sparing {
    most: u64,
    /// The second that is being counted, and how often in it, in one number.
    counted: AtomicU64,
    unsaid: AtomicU64,
}

/// How many bits of the count are the number within the second.
const BITS: u32 = 24;

impl Sparing {
    /// Lets `most` through in each second.
    pub const fn per_second(most: u64) -> Self {
        Self {
            most,
            counted: AtomicU64::new(0),
            unsaid: AtomicU64::new(0),
        }
    }

    /// Whether one more may be said; answers how many were not since the last that was.
    pub fn may(&self) -> Option<u64> {
        self.may_at(unix_millis() / 1000)
    }

    fn may_at(&self, second: u64) -> Option<u64> {
        let count = |seen: u64| {
            if seen >> BITS == second {
                seen + 1
            } else {
                (second << BITS) + 1
            }
        };
        let before = self
            .counted
            .fetch_update(Relaxed, Relaxed, |seen| Some(count(seen)));
        let within = count(before.unwrap_or_default()) & ((1 << BITS) - 1);
        if within > self.most {
            self.unsaid.fetch_add(1, Relaxed);
            return None;
        }
        Some(self.unsaid.swap(0, Relaxed))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_left_out_is_told_later() {
        let sparing = Sparing::per_second(2);
        assert_eq!(sparing.may_at(7), Some(0));
        assert_eq!(sparing.may_at(7), Some(0));
        assert_eq!(sparing.may_at(7), None);
        assert_eq!(sparing.may_at(7), None);
        assert_eq!(sparing.may_at(8), Some(2));
        assert_eq!(sparing.may_at(8), Some(0));
    }
}
