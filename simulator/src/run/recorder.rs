//! Records every request of a run.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use crate::action::Action;
use crate::attempt::{Attempt, RequestOutcome};
use crate::progress::Stage;
use crate::stats::RunStats;

/// One request with its times and outcome.
pub(crate) struct Sample {
    pub(crate) action: Action,
    /// The scheduled time, from which the latency is measured.
    pub(crate) due: Instant,
    pub(crate) sent: Instant,
    pub(crate) done: Instant,
    pub(crate) outcome: RequestOutcome,
}

/// Records the samples of concurrent tasks.
pub(crate) struct Recorder {
    start: Instant,
    stage: Stage,
    inner: Mutex<Inner>,
}

struct Inner {
    stats: RunStats,
    attempts: Vec<Attempt>,
}

impl Inner {
    fn new() -> Self {
        Self {
            stats: RunStats::new(),
            attempts: Vec::new(),
        }
    }
}

/// The recorded requests of a run.
pub(crate) struct Recording {
    pub(crate) stats: RunStats,
    pub(crate) attempts: Vec<Attempt>,
    pub(crate) elapsed: Duration,
}

impl Recorder {
    pub(crate) fn new(stage: Stage) -> Self {
        let inner = Inner {
            stats: RunStats::new(),
            attempts: Vec::new(),
        };
        stage.errors(0);
        Self {
            start: Instant::now(),
            stage,
            inner: Mutex::new(inner),
        }
    }

    pub(crate) fn record(&self, sample: Sample) {
        let since_start = |time: Instant| time.saturating_duration_since(self.start);
        let (sent, done) = (since_start(sample.sent), since_start(sample.done));
        let latency = sample.done.saturating_duration_since(sample.due);
        let kind = sample.action.kind();
        let is_expected = sample.outcome.is_expected(kind);
        let mut inner = self.lock();
        inner
            .stats
            .add(kind, &sample.outcome, (sent, done), latency);
        if !is_expected {
            self.stage.errors(inner.stats.errors());
        }
        let Sample {
            action, outcome, ..
        } = sample;
        inner.attempts.push(Attempt {
            action,
            sent,
            done,
            outcome,
        });
        drop(inner);
        self.stage.step();
    }

    /// Returns the recording so far and begins a new one.
    pub(crate) fn finish(&self) -> Recording {
        let Inner { stats, attempts } = std::mem::replace(&mut *self.lock(), Inner::new());
        Recording {
            stats,
            attempts,
            elapsed: self.start.elapsed(),
        }
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
