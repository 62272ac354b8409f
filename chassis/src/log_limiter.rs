//! Level of the log line of a call, and the limit on such lines.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use crate::{stamp::unix_millis, trace};

/// Limits the log lines per second and counts the suppressed lines.
#[derive(Debug)]
pub struct LogLimiter {
    lines_per_second_max: u64,
    /// The current second in the upper bits and the number of lines in this second in the lower
    /// bits.
    second_and_lines: AtomicU64,
    suppressed: AtomicU64,
}

/// Level of the log line of an answered call. The number is the count of lines that were suppressed
/// since the last line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogDecision {
    /// The call failed.
    Warn(u64),
    /// The call was slow, or its request is sampled. The line of a sampled request is never
    /// suppressed and has no number.
    Info(Option<u64>),
    /// The call succeeded in time. A visible line for every such call would cost more than the
    /// call.
    Debug,
    /// The limit of this second is reached.
    Suppress,
}

/// Number of lower bits of `second_and_lines` that count the lines.
const LINE_BITS: u32 = 24;

impl LogLimiter {
    /// A limiter of `lines_per_second_max` lines in each second.
    pub const fn per_second(lines_per_second_max: u64) -> Self {
        Self {
            lines_per_second_max,
            second_and_lines: AtomicU64::new(0),
            suppressed: AtomicU64::new(0),
        }
    }

    /// Decides on the log line of a call of the running task.
    pub fn decide(&self, failed: bool, slow: bool) -> LogDecision {
        if failed || slow {
            match self.allow() {
                Some(suppressed) if failed => LogDecision::Warn(suppressed),
                Some(suppressed) => LogDecision::Info(Some(suppressed)),
                None => LogDecision::Suppress,
            }
        } else if trace::is_recorded() {
            LogDecision::Info(None)
        } else {
            LogDecision::Debug
        }
    }

    /// Requests permission to log one line. Returns the number of lines that were suppressed since the
    /// last line, or `None` if the limit is reached.
    pub fn allow(&self) -> Option<u64> {
        self.allow_at(unix_millis() / 1000)
    }

    fn allow_at(&self, second: u64) -> Option<u64> {
        let count = |seen: u64| {
            if seen >> LINE_BITS == second {
                seen + 1
            } else {
                (second << LINE_BITS) + 1
            }
        };
        let before = self
            .second_and_lines
            .fetch_update(Relaxed, Relaxed, |seen| Some(count(seen)));
        let lines = count(before.unwrap_or_default()) & ((1 << LINE_BITS) - 1);
        if lines > self.lines_per_second_max {
            self.suppressed.fetch_add(1, Relaxed);
            return None;
        }
        Some(self.suppressed.swap(0, Relaxed))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn failed_and_slow_calls_are_logged_within_the_limit() {
        let log_limiter = LogLimiter::per_second(0);
        assert_eq!(log_limiter.decide(false, false), LogDecision::Debug);
        assert_eq!(log_limiter.decide(true, false), LogDecision::Suppress);
        assert_eq!(log_limiter.decide(false, true), LogDecision::Suppress);
        let log_limiter = LogLimiter::per_second(1_000);
        assert_eq!(log_limiter.decide(true, true), LogDecision::Warn(0));
        assert_eq!(log_limiter.decide(false, true), LogDecision::Info(Some(0)));
    }

    #[test]
    fn the_next_line_reports_the_suppressed_lines() {
        let log_limiter = LogLimiter::per_second(2);
        assert_eq!(log_limiter.allow_at(7), Some(0));
        assert_eq!(log_limiter.allow_at(7), Some(0));
        assert_eq!(log_limiter.allow_at(7), None);
        assert_eq!(log_limiter.allow_at(7), None);
        assert_eq!(log_limiter.allow_at(8), Some(2));
        assert_eq!(log_limiter.allow_at(8), Some(0));
    }
}
