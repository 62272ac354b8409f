//! Detection of clock skew. Stamps that differ much from the clock of this process are counted and
//! logged.
//!
//! Stamps decide which write of a state wins, so the writes of a process whose clock is ahead win for as
//! long as it is ahead. Such writes are accepted, but operators should know about the clock.

use std::sync::atomic::{AtomicU64, Ordering};

use metrics::Counter;
use uuid::Uuid;

use crate::stamp;

/// Maximum difference between a stamp and this process's clock, in milliseconds. Larger ones are counted.
const SKEW_MILLIS_MAX: u64 = 5_000;

/// Minimum time between two log lines, in milliseconds.
const LOG_INTERVAL_MILLIS: u64 = 10_000;

/// Checks the stamps of one kind of write.
#[derive(Debug)]
pub struct SkewWatch {
    write: &'static str,
    skewed: Counter,
    /// Time of the last log line, in milliseconds since 1970. Zero before the first.
    logged_millis: AtomicU64,
}

impl SkewWatch {
    /// Creates a watch whose metric and log lines have the label `write`.
    pub fn new(write: &'static str) -> Self {
        Self {
            write,
            skewed: metrics::counter!("minitwit_stamp_skew_total", "write" => write),
            logged_millis: AtomicU64::new(0),
        }
    }

    /// Counts `stamp` if it differs by more than five seconds from this process's clock. Logs at most one
    /// such stamp every ten seconds.
    pub fn check(&self, stamp: Uuid) {
        let now = stamp::unix_millis();
        let stamp_millis = stamp::millis(stamp);
        if now.abs_diff(stamp_millis) <= SKEW_MILLIS_MAX {
            return;
        }
        self.skewed.increment(1);
        if self.due(now) {
            tracing::warn!(
                write = self.write,
                stamp_millis,
                now_millis = now,
                "a stamp differs by more than 5 s from the clock of this process"
            );
        }
    }

    /// Whether a log line is due at `now`. Returns true to one thread only.
    fn due(&self, now: u64) -> bool {
        let last = self.logged_millis.load(Ordering::Relaxed);
        let is_due = last == 0 || now.saturating_sub(last) >= LOG_INTERVAL_MILLIS;
        is_due
            && self
                .logged_millis
                .compare_exchange(last, now, Ordering::Relaxed, Ordering::Relaxed)
                .is_ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_log_line_is_due_every_ten_seconds() {
        let watch = SkewWatch::new("test");
        let due: Vec<bool> = [1_000, 1_001, 10_999, 11_000, 11_001]
            .into_iter()
            .map(|now| watch.due(now))
            .collect();
        assert_eq!(due, [true, false, false, true, false]);
    }
}
