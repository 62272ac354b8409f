//! The running count: what was answered how, how fast, and when it went wrong.

use std::collections::BTreeMap;
use std::time::Duration;

use hdrhistogram::Histogram;

use crate::action::Kind;
use crate::attempt::Answer;
use crate::report::{CommandReport, Latency, Window};

/// Errors less than this apart belong to one window.
const WINDOW_GAP: Duration = Duration::from_secs(1);

/// Whatever takes longer than an hour counts as an hour.
const LATENCY_US_MAX: u64 = 3_600_000_000;

/// What is remembered of the answers to one command, or to all.
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
            latency_us: Histogram::new_with_max(LATENCY_US_MAX, 3).expect("the bounds are right"),
        }
    }

    fn add(&mut self, kind: Kind, answer: &Answer, latency: Duration) {
        self.sent += u64::from(*answer != Answer::NotSent);
        match answer {
            Answer::Status(status) if kind.expects(*status) => self.ok += 1,
            Answer::Status(status) => *self.wrong_status.entry(*status).or_default() += 1,
            Answer::TimedOut => self.timeouts += 1,
            Answer::NotConnected(_) | Answer::Broken(_) => self.connection_errors += 1,
            Answer::NotSent => self.not_sent += 1,
        }
        // A request that never got through says nothing of the server's speed; one that timed out
        // does.
        if matches!(answer, Answer::Status(_) | Answer::TimedOut) {
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

/// The count of a whole run.
pub(crate) struct Tally {
    total: Count,
    by_kind: BTreeMap<Kind, Count>,
    causes: BTreeMap<String, u64>,
    /// From when to when each failed request was under way.
    errors: Vec<(Duration, Duration)>,
    right_at: Duration,
    longest_pause: (Duration, Duration),
}

impl Tally {
    pub(crate) fn new() -> Self {
        Self {
            total: Count::new(),
            by_kind: BTreeMap::new(),
            causes: BTreeMap::new(),
            errors: Vec::new(),
            right_at: Duration::ZERO,
            longest_pause: (Duration::ZERO, Duration::ZERO),
        }
    }

    /// Counts one request, under way from `sent` to `done`, that took `latency` in the user's eyes.
    pub(crate) fn add(
        &mut self,
        kind: Kind,
        answer: &Answer,
        (sent, done): (Duration, Duration),
        latency: Duration,
    ) {
        self.total.add(kind, answer, latency);
        self.by_kind
            .entry(kind)
            .or_insert_with(Count::new)
            .add(kind, answer, latency);
        if answer.is_right(kind) {
            self.end_pause(done);
            return;
        }
        self.errors.push((sent, done));
        let cause = match answer {
            Answer::Status(status) => format!("status {status}"),
            Answer::TimedOut => "no answer in time".to_owned(),
            Answer::NotConnected(cause) => format!("cannot connect: {cause}"),
            Answer::Broken(cause) => format!("connection lost: {cause}"),
            Answer::NotSent => "not sent: too many requests in flight".to_owned(),
        };
        *self.causes.entry(cause).or_default() += 1;
    }

    fn end_pause(&mut self, now: Duration) {
        let (from, to) = self.longest_pause;
        if now.saturating_sub(self.right_at) > to.saturating_sub(from) {
            self.longest_pause = (self.right_at, now);
        }
        self.right_at = self.right_at.max(now);
    }

    pub(crate) fn errors(&self) -> u64 {
        u64::try_from(self.errors.len()).unwrap_or(u64::MAX)
    }

    /// What is counted so far, in the report's terms.
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

    /// The longest time without a right answer, up to `end`.
    pub(crate) fn longest_pause(&self, end: Duration) -> Window {
        let last = (self.right_at, end.max(self.right_at));
        let (from, to) = [self.longest_pause, last]
            .into_iter()
            .max_by_key(|(from, to)| to.saturating_sub(*from))
            .expect("there are two");
        let errors = self
            .errors
            .iter()
            .filter(|(sent, done)| *done >= from && *sent <= to)
            .count();
        window(from, to, errors)
    }

    /// The times of trouble: errors that are close together make one window.
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

    fn add(tally: &mut Tally, answer: &Answer, sent_ms: u64, done_ms: u64) {
        let span = (
            Duration::from_millis(sent_ms),
            Duration::from_millis(done_ms),
        );
        tally.add(
            Kind::Tweet,
            answer,
            span,
            Duration::from_millis(done_ms - sent_ms),
        );
    }

    #[test]
    fn answers_are_counted_as_the_course_does() {
        let mut tally = Tally::new();
        for answer in [
            Answer::Status(204),
            Answer::Status(200),
            Answer::TimedOut,
            Answer::NotConnected("x".into()),
            Answer::Broken("y".into()),
            Answer::NotSent,
        ] {
            add(&mut tally, &answer, 0, 10);
        }
        let total = tally.total();
        assert_eq!((total.sent, total.ok, total.timeouts), (5, 1, 1));
        assert_eq!((total.connection_errors, total.not_sent), (2, 1));
        assert_eq!(total.wrong_status, BTreeMap::from([(200, 1)]));
        assert_eq!(total.errors(), 5);
        assert_eq!(tally.errors(), 5);
    }

    #[test]
    fn errors_close_together_are_one_window() {
        let mut tally = Tally::new();
        for (sent, done) in [(12_300, 12_600), (13_000, 13_100), (20_000, 20_001)] {
            add(&mut tally, &Answer::TimedOut, sent, done);
        }
        let windows: Vec<_> = tally
            .error_windows()
            .iter()
            .map(|window| (window.from_seconds, window.to_seconds, window.errors))
            .collect();
        assert_eq!(windows, [(12.3, 13.1, 2), (20.0, 20.001, 1)]);
    }

    #[test]
    fn the_longest_pause_is_between_right_answers() {
        let mut tally = Tally::new();
        add(&mut tally, &Answer::Status(204), 0, 100);
        add(&mut tally, &Answer::TimedOut, 110, 400);
        add(&mut tally, &Answer::Status(204), 890, 900);
        add(&mut tally, &Answer::Status(204), 900, 1000);
        let pause = tally.longest_pause(Duration::from_secs(1));
        assert_eq!(
            (pause.from_seconds, pause.to_seconds, pause.errors),
            (0.1, 0.9, 1)
        );
    }
}
