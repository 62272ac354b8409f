//! Statistics of a run: outcomes and latencies by command, causes and times of errors.

use std::collections::BTreeMap;
use std::time::Duration;

use hdrhistogram::Histogram;

use crate::action::Kind;
use crate::attempt::RequestOutcome;
use crate::report::{CommandReport, Latency, Window};

/// Maximum gap between two errors of the same window.
const WINDOW_GAP: Duration = Duration::from_secs(1);

/// Maximum latency of the histogram in microseconds, which is an hour. A longer one counts as an hour.
const LATENCY_US_MAX: u64 = 3_600_000_000;

/// The statistics of one command, or of all commands.
#[derive(Clone)]
struct Count {
    sent: u64,
    ok: u64,
    wrong_status: BTreeMap<u16, u64>,
    timeouts: u64,
    connection_errors: u64,
    not_sent: u64,
    latency_us: Histogram<u64>,
}

impl Count {
    fn new() -> Self {
        Self {
            sent: 0,
            ok: 0,
            wrong_status: BTreeMap::new(),
            timeouts: 0,
            connection_errors: 0,
            not_sent: 0,
            latency_us: Histogram::new_with_max(LATENCY_US_MAX, 3).expect("the bounds are valid"),
        }
    }

    fn add(&mut self, kind: Kind, outcome: &RequestOutcome, latency: Duration) {
        self.sent += u64::from(*outcome != RequestOutcome::NotSent);
        match outcome {
            RequestOutcome::Status(status) if kind.expects(*status) => self.ok += 1,
            RequestOutcome::Status(status) => *self.wrong_status.entry(*status).or_default() += 1,
            RequestOutcome::TimedOut => self.timeouts += 1,
            RequestOutcome::NotConnected(_) | RequestOutcome::Broken(_) => {
                self.connection_errors += 1;
            }
            RequestOutcome::NotSent => self.not_sent += 1,
        }
        // A time-out is a measure of the server's latency. A request without a connection, or with a
        // broken one, is not.
        if matches!(
            outcome,
            RequestOutcome::Status(_) | RequestOutcome::TimedOut
        ) {
            let micros = u64::try_from(latency.as_micros()).unwrap_or(u64::MAX);
            self.latency_us.saturating_record(micros);
        }
    }

    fn report(&self, command: &'static str) -> CommandReport {
        CommandReport {
            command: command.to_owned(),
            sent: self.sent,
            ok: self.ok,
            wrong_status: self.wrong_status.clone(),
            timeouts: self.timeouts,
            connection_errors: self.connection_errors,
            not_sent: self.not_sent,
            latency: latency(&self.latency_us),
        }
    }
}

fn latency(histogram_us: &Histogram<u64>) -> Option<Latency> {
    let at = |quantile| millis(histogram_us.value_at_quantile(quantile));
    (!histogram_us.is_empty()).then(|| Latency {
        p50_ms: at(0.5),
        p90_ms: at(0.9),
        p99_ms: at(0.99),
        p99_9_ms: at(0.999),
        max_ms: millis(histogram_us.max()),
    })
}

#[expect(clippy::cast_precision_loss, reason = "at most an hour")]
fn millis(micros: u64) -> f64 {
    micros as f64 / 1000.0
}

/// The statistics of a run.
pub(crate) struct RunStats {
    total: Count,
    by_kind: BTreeMap<Kind, Count>,
    causes: BTreeMap<String, u64>,
    /// The start and the end of each failed request.
    errors: Vec<(Duration, Duration)>,
    last_expected_at: Duration,
    longest_pause: (Duration, Duration),
}

impl RunStats {
    pub(crate) fn new() -> Self {
        Self {
            total: Count::new(),
            by_kind: BTreeMap::new(),
            causes: BTreeMap::new(),
            errors: Vec::new(),
            last_expected_at: Duration::ZERO,
            longest_pause: (Duration::ZERO, Duration::ZERO),
        }
    }

    /// Counts one request that was in flight from `sent` to `done`. `latency` is measured from the
    /// scheduled time.
    pub(crate) fn add(
        &mut self,
        kind: Kind,
        outcome: &RequestOutcome,
        (sent, done): (Duration, Duration),
        latency: Duration,
    ) {
        self.total.add(kind, outcome, latency);
        self.by_kind
            .entry(kind)
            .or_insert_with(Count::new)
            .add(kind, outcome, latency);
        if outcome.is_expected(kind) {
            self.end_pause(done);
            return;
        }
        self.errors.push((sent, done));
        let cause = match outcome {
            RequestOutcome::Status(status) => format!("status {status}"),
            RequestOutcome::TimedOut => "no answer in time".to_owned(),
            RequestOutcome::NotConnected(cause) => format!("cannot connect: {cause}"),
            RequestOutcome::Broken(cause) => format!("connection lost: {cause}"),
            RequestOutcome::NotSent => "not sent: too many requests in flight".to_owned(),
        };
        *self.causes.entry(cause).or_default() += 1;
    }

    fn end_pause(&mut self, now: Duration) {
        let (from, to) = self.longest_pause;
        if now.saturating_sub(self.last_expected_at) > to.saturating_sub(from) {
            self.longest_pause = (self.last_expected_at, now);
        }
        self.last_expected_at = self.last_expected_at.max(now);
    }

    pub(crate) fn errors(&self) -> u64 {
        u64::try_from(self.errors.len()).unwrap_or(u64::MAX)
    }

    /// The report of all commands together.
    pub(crate) fn total(&self) -> CommandReport {
        self.total.report("all")
    }

    pub(crate) fn commands(&self) -> Vec<CommandReport> {
        self.by_kind
            .iter()
            .map(|(kind, count)| count.report(kind.name()))
            .collect()
    }

    pub(crate) fn causes(&self) -> BTreeMap<String, u64> {
        self.causes.clone()
    }

    /// The longest time without an expected response, up to `end`.
    pub(crate) fn longest_pause(&self, end: Duration) -> Window {
        let last = (self.last_expected_at, end.max(self.last_expected_at));
        let (from, to) = [self.longest_pause, last]
            .into_iter()
            .max_by_key(|(from, to)| to.saturating_sub(*from))
            .expect("the array has two elements");
        let errors = self
            .errors
            .iter()
            .filter(|(sent, done)| *done >= from && *sent <= to)
            .count();
        window(from, to, errors)
    }

    /// The time windows with errors. Errors with a gap of at most [`WINDOW_GAP`] are in one window.
    pub(crate) fn error_windows(&self) -> Vec<Window> {
        let mut errors = self.errors.clone();
        errors.sort_unstable();
        let mut windows: Vec<(Duration, Duration, usize)> = Vec::new();
        for (sent, done) in errors {
            match windows.last_mut() {
                Some((_, to, count)) if sent <= *to + WINDOW_GAP => {
                    *to = done.max(*to);
                    *count += 1;
                }
                _ => windows.push((sent, done, 1)),
            }
        }
        windows
            .into_iter()
            .map(|(from, to, count)| window(from, to, count))
            .collect()
    }
}

fn window(from: Duration, to: Duration, errors: usize) -> Window {
    Window {
        from_seconds: from.as_secs_f64(),
        to_seconds: to.as_secs_f64(),
        errors,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn add(stats: &mut RunStats, outcome: &RequestOutcome, sent_ms: u64, done_ms: u64) {
        let span = (
            Duration::from_millis(sent_ms),
            Duration::from_millis(done_ms),
        );
        stats.add(
            Kind::Tweet,
            outcome,
            span,
            Duration::from_millis(done_ms - sent_ms),
        );
    }

    #[test]
    fn outcomes_are_counted_as_the_course_does() {
        let mut stats = RunStats::new();
        for outcome in [
            RequestOutcome::Status(204),
            RequestOutcome::Status(200),
            RequestOutcome::TimedOut,
            RequestOutcome::NotConnected("x".into()),
            RequestOutcome::Broken("y".into()),
            RequestOutcome::NotSent,
        ] {
            add(&mut stats, &outcome, 0, 10);
        }
        let total = stats.total();
        assert_eq!((total.sent, total.ok, total.timeouts), (5, 1, 1));
        assert_eq!((total.connection_errors, total.not_sent), (2, 1));
        assert_eq!(total.wrong_status, BTreeMap::from([(200, 1)]));
        assert_eq!(total.errors(), 5);
        assert_eq!(stats.errors(), 5);
    }

    #[test]
    fn errors_close_together_are_one_window() {
        let mut stats = RunStats::new();
        for (sent, done) in [(12_300, 12_600), (13_000, 13_100), (20_000, 20_001)] {
            add(&mut stats, &RequestOutcome::TimedOut, sent, done);
        }
        let windows: Vec<_> = stats
            .error_windows()
            .iter()
            .map(|window| (window.from_seconds, window.to_seconds, window.errors))
            .collect();
        assert_eq!(windows, [(12.3, 13.1, 2), (20.0, 20.001, 1)]);
    }

    #[test]
    fn the_longest_pause_is_between_expected_responses() {
        let mut stats = RunStats::new();
        add(&mut stats, &RequestOutcome::Status(204), 0, 100);
        add(&mut stats, &RequestOutcome::TimedOut, 110, 400);
        add(&mut stats, &RequestOutcome::Status(204), 890, 900);
        add(&mut stats, &RequestOutcome::Status(204), 900, 1000);
        let pause = stats.longest_pause(Duration::from_secs(1));
        assert_eq!(
            (pause.from_seconds, pause.to_seconds, pause.errors),
            (0.1, 0.9, 1)
        );
    }
}
