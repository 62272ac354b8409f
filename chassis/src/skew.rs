//! Clocks that are kept badly: a stamp far off this process's own clock is counted and told of.
//!
//! Stamps decide which write of a state wins, so a clock that runs ahead wins for as long as it is
//! ahead. Nothing is refused for that; but somebody should know.

use std::sync::atomic::{AtomicU64, Ordering};

use metrics::Counter;
use uuid::Uuid;

use crate::stamp;

/// How far off a stamp may be before it is counted.
const SKEW_MILLIS_MAX: u64 = 5_000;

/// How often it is told of.
const TELL_INTERVAL_MILLIS: u64 = 10_000;

/// Watches the stamps of one kind of write.
#[derive(Debug)]
pub struct SkewWatch {
    write: &'static str,
    skewed: Counter,
    told_millis: AtomicU64,
}

impl SkewWatch {
    /// A watch whose metric and log lines carry `write`.
    pub fn new(write: &'static str) -> Self {
        Self {
            write,
            skewed: metrics::counter!("minitwit_stamp_skew_total", "write" => write),
            told_millis: AtomicU64::new(0),
        }
    }

    /// Counts `stamp` if it is more than five seconds off this process's clock; every ten seconds
    /// one is logged.
    pub fn check(&self, stamp: Uuid) {
        let now = stamp::unix_millis();
        let of_stamp = stamp::millis(stamp);
        if now.abs_diff(of_stamp) <= SKEW_MILLIS_MAX {
            return;
        }
        self.skewed.increment(1);
        if self.may_tell(now) {
            tracing::warn!(
                write = self.write,
                stamp_millis = of_stamp,
                now_millis = now,
                "a stamp is far off this clock"
            );
        }
    }

    fn may_tell(&self, now: u64) -> bool {
        let last = self.told_millis.load(Ordering::Relaxed);
        let due = last == 0 || now.saturating_sub(last) >= TELL_INTERVAL_MILLIS;
        due && self
            .told_millis
            .compare_exchange(last, now, Ordering::Relaxed, Ordering::Relaxed)
            .is_ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_told_of_now_and_then_only() {
        let watch = SkewWatch::new("test");
        let told: Vec<bool> = [1_000, 1_001, 10_999, 11_000, 11_001]
            .into_iter()
            .map(|now| watch.may_tell(now))
            .collect();
        assert_eq!(told, [true, false, false, true, false]);
    }
}
