//! Where every request of a run is written down.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use crate::action::Action;
use crate::attempt::{Answer, Attempt};
use crate::progress::Stage;
use crate::tally::Tally;

/// One request, as its sender saw it.
pub(crate) struct Sample {
    pub(crate) action: Action,
    /// When it was to be sent; the time to answer counts from here.
    pub(crate) due: Instant,
    pub(crate) sent: Instant,
    pub(crate) done: Instant,
    pub(crate) answer: Answer,
}

/// Takes samples from many tasks.
pub(crate) struct Recorder {
    start: Instant,
    stage: Stage,
    inner: Mutex<Inner>,
}

struct Inner {
    tally: Tally,
    attempts: Vec<Attempt>,
}

impl Inner {
    fn new() -> Self {
        Self {
            tally: Tally::new(),
            attempts: Vec::new(),
        }
    }
}

/// What a recorder wrote down.
pub(crate) struct Recording {
    pub(crate) tally: Tally,
    pub(crate) attempts: Vec<Attempt>,
    pub(crate) elapsed: Duration,
}

impl Recorder {
    pub(crate) fn new(stage: Stage) -> Self {
        let inner = Inner {
            tally: Tally::new(),
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
        let right = sample.answer.is_right(kind);
        let mut inner = self.lock();
        inner.tally.add(kind, &sample.answer, (sent, done), latency);
        if !right {
            self.stage.errors(inner.tally.errors());
        }
        let Sample { action, answer, .. } = sample;
        inner.attempts.push(Attempt {
            action,
            sent,
            done,
            answer,
        });
        drop(inner);
        self.stage.step();
    }

    /// What was written down until now; what comes later begins anew.
    pub(crate) fn finish(&self) -> Recording {
        let Inner { tally, attempts } = std::mem::replace(&mut *self.lock(), Inner::new());
        Recording {
            tally,
            attempts,
            elapsed: self.start.elapsed(),
        }
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
