//! What is said of each call, and a bound on how often.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use crate::{stamp::unix_millis, trace};

/// Lets so many lines through in a second, and counts the others.
#[derive(Debug)]
pub struct LogLimiter {
    most: u64,
    /// The second that is being counted, and how often in it, in one number.
    counted: AtomicU64,
    left_out: AtomicU64,
}

/// How loud a call is told of that was answered. The lines that were left out since the last one come
/// along, where lines may be left out at all.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogDecision {
    /// As a warning: it failed.
    Warn(u64),
    /// As a line of the log: it was slow, or its request is sampled.
    Info(Option<u64>),
    /// Only to those who debug: a line for every good call would cost more than the call.
    Debug,
    /// Not at all: enough has been said this second.
    Suppress,
}

/// How many bits of the count are the number within the second.
const BITS: u32 = 24;

impl LogLimiter {
    /// Lets `most` through in each second.
    pub const fn per_second(most: u64) -> Self {
        Self {
            most,
            counted: AtomicU64::new(0),
            left_out: AtomicU64::new(0),
        }
    }

    /// How loud to tell of a call of the running task.
    pub fn decide(&self, failed: bool, slow: bool) -> LogDecision {
        if failed || slow {
            match self.may() {
                Some(left_out) if failed => LogDecision::Warn(left_out),
                Some(left_out) => LogDecision::Info(Some(left_out)),
                None => LogDecision::Suppress,
            }
        } else if trace::is_sampled() {
            LogDecision::Info(None)
        } else {
            LogDecision::Debug
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
            self.left_out.fetch_add(1, Relaxed);
            return None;
        }
        Some(self.left_out.swap(0, Relaxed))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn failures_and_slow_calls_are_told_of_within_bounds() {
        let log_limiter = LogLimiter::per_second(0);
        assert_eq!(log_limiter.decide(false, false), LogDecision::Debug);
        assert_eq!(log_limiter.decide(true, false), LogDecision::Suppress);
        assert_eq!(log_limiter.decide(false, true), LogDecision::Suppress);
        let log_limiter = LogLimiter::per_second(1_000);
        assert_eq!(log_limiter.decide(true, true), LogDecision::Warn(0));
        assert_eq!(log_limiter.decide(false, true), LogDecision::Info(Some(0)));
    }

    #[test]
    fn what_was_left_out_is_told_later() {
        let log_limiter = LogLimiter::per_second(2);
        assert_eq!(log_limiter.may_at(7), Some(0));
        assert_eq!(log_limiter.may_at(7), Some(0));
        assert_eq!(log_limiter.may_at(7), None);
        assert_eq!(log_limiter.may_at(7), None);
        assert_eq!(log_limiter.may_at(8), Some(2));
        assert_eq!(log_limiter.may_at(8), Some(0));
    }
}
