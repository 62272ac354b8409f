//! What became of a service, decided from what the Engine tells of it: no Docker in here.

use std::time::Duration;

/// How long a service must be calm before an update that never showed is taken for none: an
/// update that has something to replace shows within milliseconds.
const NO_UPDATE_AFTER: Duration = Duration::from_secs(15);

/// How long a service that nobody changed must be calm, since its old state is no news.
const UNCHANGED_AFTER: Duration = Duration::from_secs(2);

/// How long a new service must keep running: the Engine watches updates only.
const CREATED_AFTER: Duration = Duration::from_secs(10);

/// How long a job must be without a task before it has given up: restarts take a moment.
const GIVEN_UP_AFTER: Duration = Duration::from_secs(3);

/// A new service of which so many tasks failed will not come up: the Engine tries for ever.
const CREATE_FAILURES_MAX: usize = 5;

/// What is wanted of a service.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Goal {
    /// It runs its new specification.
    Update,
    /// It runs its old specification again.
    Rollback,
    /// Its tasks have ended well.
    Complete,
}

/// How the service stood before anything was ordered.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Before {
    /// Whether it was there.
    pub(crate) existed: bool,
    /// When the last update that it had began: what the Engine may still tell of.
    pub(crate) update_started: Option<String>,
}

/// One look at a service.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Look {
    /// Whether what its tasks run differs from before.
    pub(crate) changed: bool,
    /// The update that the Engine tells of.
    pub(crate) update: Option<Update>,
    /// How many tasks it is to have.
    pub(crate) wanted: u64,
    /// How many of them run, which with a health check means: are healthy.
    pub(crate) running: u64,
    /// How many have ended well, of a job.
    pub(crate) completed: u64,
    /// How many tasks may still come to something.
    pub(crate) active: usize,
    /// How many tasks failed since the order was given.
    pub(crate) failed: usize,
}

/// An update, as the Engine tells of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Update {
    pub(crate) state: State,
    pub(crate) started: Option<String>,
    pub(crate) message: String,
}

/// The states of an update.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum State {
    Updating,
    Paused,
    Completed,
    RollbackStarted,
    RollbackPaused,
    RollbackCompleted,
}

/// What is to be said of a service.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// Not over yet; how far it is.
    Pending(String),
    /// It is as it was wanted.
    Done(String),
    /// It is not, and it will not be.
    Failed(String),
}

/// Follows one service from look to look.
#[derive(Debug)]
pub(crate) struct Judge {
    goal: Goal,
    before: Before,
    /// Since when nothing has moved, on the clock of the looks.
    calm_since: Option<Duration>,
}

impl Judge {
    pub(crate) fn new(goal: Goal, before: Before) -> Self {
        Self {
            goal,
            before,
            calm_since: None,
        }
    }

    /// What is to be said after a look at `now`, counted from any fixed moment.
    pub(crate) fn judge(&mut self, look: &Look, now: Duration) -> Verdict {
        if self.goal == Goal::Complete {
            return self.judge_job(look, now);
        }
        // An update of an earlier day may still stand there.
        let update = look.update.as_ref().filter(|update| {
            self.before.update_started.is_none() || update.started != self.before.update_started
        });
        match update {
            Some(update) => self.judge_update(update, look),
            None => self.judge_without_update(look, now),
        }
    }

    fn judge_update(&mut self, update: &Update, look: &Look) -> Verdict {
        self.calm_since = None;
        let Look {
            running, wanted, ..
        } = look;
        let message = &update.message;
        match (update.state, self.goal) {
            (State::Completed, Goal::Update) | (State::RollbackCompleted, Goal::Rollback) => {
                let done = if self.goal == Goal::Update {
                    "updated"
                } else {
                    "rolled back"
                };
                if running < wanted {
                    Verdict::Pending(format!("{done}, {running} of {wanted} running"))
                } else {
                    Verdict::Done(format!("{done}, {running} running"))
                }
            }
            (State::Updating | State::Completed, _) => {
                Verdict::Pending(format!("updating, {running} running of {wanted}"))
            }
            (State::RollbackStarted, Goal::Rollback) => {
                Verdict::Pending(format!("rolling back, {running} running of {wanted}"))
            }
            (State::RollbackStarted, _) => {
                Verdict::Pending(format!("the update failed, rolling back: {message}"))
            }
            (State::RollbackCompleted, _) => Verdict::Failed(format!("rolled back: {message}")),
            (State::Paused, _) => Verdict::Failed(format!("paused: {message}")),
            (State::RollbackPaused, _) => {
                Verdict::Failed(format!("paused in the middle of a roll-back: {message}"))
            }
        }
    }

    fn judge_without_update(&mut self, look: &Look, now: Duration) -> Verdict {
        let Look {
            running,
            wanted,
            failed,
            ..
        } = *look;
        if !self.before.existed && running < wanted && failed >= CREATE_FAILURES_MAX {
            return Verdict::Failed(format!("does not come up: {failed} tasks failed"));
        }
        let (patience, done) = match (self.before.existed, look.changed, self.goal) {
            (_, _, Goal::Rollback) => (NO_UPDATE_AFTER, "nothing to roll back"),
            (false, _, _) => (CREATED_AFTER, "created"),
            (true, true, _) => (NO_UPDATE_AFTER, "updated without a restart"),
            (true, false, _) => (UNCHANGED_AFTER, "unchanged"),
        };
        if running >= wanted && self.is_calm(now, patience) {
            return Verdict::Done(format!("{done}, {running} running"));
        }
        if running < wanted {
            self.calm_since = None;
        }
        Verdict::Pending(format!("{running} of {wanted} running"))
    }

    fn judge_job(&mut self, look: &Look, now: Duration) -> Verdict {
        let Look {
            wanted,
            completed,
            active,
            failed,
            ..
        } = *look;
        if completed >= wanted && wanted > 0 {
            return Verdict::Done("done".to_owned());
        }
        if active > 0 || failed == 0 {
            self.calm_since = None;
        } else if self.is_calm(now, GIVEN_UP_AFTER) {
            return Verdict::Failed(format!("failed {failed} times"));
        }
        Verdict::Pending(match (active, failed) {
            (0, failed) => format!("failed {failed} times so far"),
            (_, 0) => "running".to_owned(),
            (_, failed) => format!("running, after {failed} failures"),
        })
    }

    fn is_calm(&mut self, now: Duration, patience: Duration) -> bool {
        now.saturating_sub(*self.calm_since.get_or_insert(now)) >= patience
    }
}

#[cfg(test)]
mod tests;
