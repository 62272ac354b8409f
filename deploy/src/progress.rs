//! The progress of one service towards its goal, computed from observations of its state.
//!
//! The functions here are pure: they do not talk to Docker.

use std::time::Duration;

/// Time for which a changed service must be stable before the update counts as one without a
/// restart. An update that replaces tasks is reported by the Engine within milliseconds.
const NO_UPDATE_STABLE_TIME: Duration = Duration::from_secs(15);

/// Time for which an unchanged service must be stable before it counts as done.
const UNCHANGED_STABLE_TIME: Duration = Duration::from_secs(2);

/// Time for which a new service must keep running. The Engine monitors updates, but no creations.
const CREATED_STABLE_TIME: Duration = Duration::from_secs(10);

/// Time without an active task after which a job with failed tasks has failed. The Engine needs
/// less than this time to restart a task.
const JOB_IDLE_TIME: Duration = Duration::from_secs(3);

/// Number of failed tasks after which a new service has failed. The Engine itself would restart
/// its tasks for ever.
const NEW_SERVICE_FAILURES_MAX: usize = 5;

/// The state that a service has to reach.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Goal {
    /// The service runs its new specification.
    Update,
    /// The service runs its previous specification again.
    Rollback,
    /// The tasks of the service have ended with success.
    Complete,
}

/// The state of the service before the deployment step.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Baseline {
    /// Whether the service existed.
    pub(crate) existed: bool,
    /// Start time of the service's last update, which the Engine reports until the next update.
    pub(crate) update_started: Option<String>,
}

/// The state of a service at one moment.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Observation {
    /// Whether the task template differs from the one before the deployment step.
    pub(crate) changed: bool,
    /// The update that the Engine reports.
    pub(crate) update: Option<Update>,
    /// Number of tasks that the service is to have.
    pub(crate) desired: u64,
    /// Number of running tasks. A task with a health check counts only while it is healthy.
    pub(crate) running: u64,
    /// Number of tasks of a job that have ended with success.
    pub(crate) completed: u64,
    /// Number of tasks that run or may still start.
    pub(crate) active: usize,
    /// Number of tasks that have failed since the deployment step began.
    pub(crate) failed: usize,
}

/// An update, as the Engine reports it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Update {
    pub(crate) state: UpdateState,
    pub(crate) started: Option<String>,
    pub(crate) message: String,
}

/// The states of an update.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum UpdateState {
    Updating,
    Paused,
    Completed,
    RollbackStarted,
    RollbackPaused,
    RollbackCompleted,
}

/// The progress of a service, with a text for the terminal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Progress {
    /// The service has not reached its goal yet.
    Pending(String),
    /// The service has reached its goal.
    Done(String),
    /// The service will not reach its goal.
    Failed(String),
}

/// Derives the progress of one service from consecutive observations.
#[derive(Debug)]
pub(crate) struct ProgressTracker {
    goal: Goal,
    baseline: Baseline,
    /// The time of the observation since which the service has been stable.
    stable_since: Option<Duration>,
}

impl ProgressTracker {
    pub(crate) fn new(goal: Goal, baseline: Baseline) -> Self {
        Self {
            goal,
            baseline,
            stable_since: None,
        }
    }

    /// Returns the progress after an observation at `now`, a time since any fixed moment.
    pub(crate) fn update(&mut self, observation: &Observation, now: Duration) -> Progress {
        if self.goal == Goal::Complete {
            return self.progress_of_job(observation, now);
        }
        // The Engine may still report an earlier update.
        let update = observation.update.as_ref().filter(|update| {
            self.baseline.update_started.is_none() || update.started != self.baseline.update_started
        });
        match update {
            Some(update) => self.progress_of_update(update, observation),
            None => self.progress_without_update(observation, now),
        }
    }

    fn progress_of_update(&mut self, update: &Update, observation: &Observation) -> Progress {
        self.stable_since = None;
        let Observation {
            running, desired, ..
        } = observation;
        let message = &update.message;
        match (update.state, self.goal) {
            (UpdateState::Completed, Goal::Update)
            | (UpdateState::RollbackCompleted, Goal::Rollback) => {
                let done = if self.goal == Goal::Update {
                    "updated"
                } else {
                    "rolled back"
                };
                if running < desired {
                    Progress::Pending(format!("{done}, {running} of {desired} running"))
                } else {
                    Progress::Done(format!("{done}, {running} running"))
                }
            }
            (UpdateState::Updating | UpdateState::Completed, _) => {
                Progress::Pending(format!("updating, {running} running of {desired}"))
            }
            (UpdateState::RollbackStarted, Goal::Rollback) => {
                Progress::Pending(format!("rolling back, {running} running of {desired}"))
            }
            (UpdateState::RollbackStarted, _) => {
                Progress::Pending(format!("the update failed, rolling back: {message}"))
            }
            (UpdateState::RollbackCompleted, _) => {
                Progress::Failed(format!("rolled back: {message}"))
            }
            (UpdateState::Paused, _) => Progress::Failed(format!("paused: {message}")),
            (UpdateState::RollbackPaused, _) => {
                Progress::Failed(format!("paused during the roll-back: {message}"))
            }
        }
    }

    fn progress_without_update(&mut self, observation: &Observation, now: Duration) -> Progress {
        let Observation {
            running,
            desired,
            failed,
            ..
        } = *observation;
        if !self.baseline.existed && running < desired && failed >= NEW_SERVICE_FAILURES_MAX {
            return Progress::Failed(format!("does not start: {failed} tasks failed"));
        }
        let (duration, done) = match (self.baseline.existed, observation.changed, self.goal) {
            (_, _, Goal::Rollback) => (NO_UPDATE_STABLE_TIME, "nothing to roll back"),
            (false, _, _) => (CREATED_STABLE_TIME, "created"),
            (true, true, _) => (NO_UPDATE_STABLE_TIME, "updated without a restart"),
            (true, false, _) => (UNCHANGED_STABLE_TIME, "unchanged"),
        };
        if running >= desired && self.is_stable_for(now, duration) {
            return Progress::Done(format!("{done}, {running} running"));
        }
        if running < desired {
            self.stable_since = None;
        }
        Progress::Pending(format!("{running} of {desired} running"))
    }

    fn progress_of_job(&mut self, observation: &Observation, now: Duration) -> Progress {
        let Observation {
            desired,
            completed,
            active,
            failed,
            ..
        } = *observation;
        if completed >= desired && desired > 0 {
            return Progress::Done("done".to_owned());
        }
        if active > 0 || failed == 0 {
            self.stable_since = None;
        } else if self.is_stable_for(now, JOB_IDLE_TIME) {
            return Progress::Failed(format!("failed {failed} times"));
        }
        Progress::Pending(match (active, failed) {
            (0, failed) => format!("failed {failed} times so far"),
            (_, 0) => "running".to_owned(),
            (_, failed) => format!("running, after {failed} failures"),
        })
    }

    fn is_stable_for(&mut self, now: Duration, duration: Duration) -> bool {
        now.saturating_sub(*self.stable_since.get_or_insert(now)) >= duration
    }
}

#[cfg(test)]
mod tests;
