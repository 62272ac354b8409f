//! One test for each sequence of update states that the Engine can report.

use super::*;

fn running(running: u64, desired: u64) -> Observation {
    Observation {
        changed: true,
        desired,
        running,
        ..Observation::default()
    }
}

fn updating(state: UpdateState, message: &str) -> Observation {
    let update = Update {
        state,
        started: Some("today".into()),
        message: message.into(),
    };
    Observation {
        update: Some(update),
        ..running(2, 2)
    }
}

fn existing_service() -> Baseline {
    Baseline {
        existed: true,
        update_started: Some("yesterday".into()),
    }
}

/// The progress after each of the observations, which are one second apart.
fn progress_of(goal: Goal, baseline: Baseline, observations: &[Observation]) -> Vec<Progress> {
    let mut tracker = ProgressTracker::new(goal, baseline);
    let seconds = (0..).map(Duration::from_secs);
    observations
        .iter()
        .zip(seconds)
        .map(|(observation, now)| tracker.update(observation, now))
        .collect()
}

fn final_progress(goal: Goal, baseline: Baseline, observations: &[Observation]) -> Progress {
    progress_of(goal, baseline, observations).pop().unwrap()
}

fn is_pending(progress: &Progress) -> bool {
    matches!(progress, Progress::Pending(_))
}

#[test]
fn an_update_that_completes_is_done() {
    let observations = [
        updating(UpdateState::Updating, ""),
        updating(UpdateState::Completed, ""),
    ];
    let progress = progress_of(Goal::Update, existing_service(), &observations);
    assert!(is_pending(&progress[0]));
    assert_eq!(progress[1], Progress::Done("updated, 2 running".into()));
}

#[test]
fn a_completed_update_waits_for_a_task_that_died_since() {
    let observation = Observation {
        running: 1,
        ..updating(UpdateState::Completed, "")
    };
    assert!(is_pending(&final_progress(
        Goal::Update,
        existing_service(),
        &[observation]
    )));
}

#[test]
fn a_roll_back_fails_the_update_and_reports_the_cause() {
    let observations = [
        updating(UpdateState::RollbackStarted, "failure of task x"),
        updating(UpdateState::RollbackCompleted, "rollback completed"),
    ];
    let progress = progress_of(Goal::Update, existing_service(), &observations);
    assert_eq!(
        progress[0],
        Progress::Pending("the update failed, rolling back: failure of task x".into())
    );
    assert_eq!(
        progress[1],
        Progress::Failed("rolled back: rollback completed".into())
    );
}

#[test]
fn a_paused_update_fails_with_every_goal() {
    for goal in [Goal::Update, Goal::Rollback] {
        for state in [UpdateState::Paused, UpdateState::RollbackPaused] {
            let progress = final_progress(goal, existing_service(), &[updating(state, "why")]);
            assert!(
                matches!(progress, Progress::Failed(_)),
                "{goal:?} {state:?} {progress:?}"
            );
        }
    }
}

#[test]
fn a_requested_roll_back_is_done_when_it_is_completed() {
    let observations = [
        updating(UpdateState::RollbackStarted, ""),
        updating(UpdateState::RollbackCompleted, ""),
    ];
    let progress = final_progress(Goal::Rollback, existing_service(), &observations);
    assert_eq!(progress, Progress::Done("rolled back, 2 running".into()));
}

#[test]
fn the_end_of_an_earlier_update_is_ignored() {
    let baseline = Baseline {
        existed: true,
        update_started: Some("today".into()),
    };
    let observations = [updating(
        UpdateState::RollbackCompleted,
        "of the earlier update",
    )];
    assert!(is_pending(&final_progress(
        Goal::Update,
        baseline,
        &observations
    )));
}

#[test]
fn a_changed_service_stays_pending_while_its_update_may_start() {
    let mut observations = vec![running(2, 2); 10];
    observations.push(updating(UpdateState::Updating, ""));
    let progress = progress_of(Goal::Update, existing_service(), &observations);
    assert!(progress.iter().all(is_pending), "{progress:?}");
}

#[test]
fn an_unchanged_service_is_done_after_two_seconds() {
    let observation = Observation {
        changed: false,
        ..running(2, 2)
    };
    let progress = progress_of(Goal::Update, existing_service(), &vec![observation; 4]);
    assert_eq!(progress[2], Progress::Done("unchanged, 2 running".into()));
}

#[test]
fn a_new_service_has_to_keep_running() {
    let mut observations = vec![running(0, 1), running(1, 1), running(1, 1), running(0, 1)];
    observations.extend(vec![running(1, 1); 11]);
    let progress = progress_of(Goal::Update, Baseline::default(), &observations);
    let (last, earlier) = progress.split_last().unwrap();
    assert!(earlier.iter().all(is_pending), "{progress:?}");
    assert_eq!(*last, Progress::Done("created, 1 running".into()));
}

#[test]
fn a_new_service_whose_tasks_keep_failing_has_failed() {
    let observation = Observation {
        failed: NEW_SERVICE_FAILURES_MAX,
        ..running(0, 1)
    };
    let progress = final_progress(
        Goal::Update,
        Baseline::default(),
        std::slice::from_ref(&observation),
    );
    assert!(matches!(progress, Progress::Failed(_)));
    assert!(
        is_pending(&final_progress(
            Goal::Update,
            existing_service(),
            &[observation]
        )),
        "an existing service may recover"
    );
}

#[test]
fn a_job_is_done_when_its_task_has_completed() {
    let observation = Observation {
        desired: 1,
        completed: 1,
        ..Observation::default()
    };
    assert_eq!(
        final_progress(Goal::Complete, Baseline::default(), &[observation]),
        Progress::Done("done".into())
    );
}

#[test]
fn a_job_whose_tasks_are_not_restarted_has_failed() {
    let restarted = Observation {
        desired: 1,
        active: 1,
        failed: 2,
        ..Observation::default()
    };
    let waiting = Observation {
        active: 0,
        ..restarted.clone()
    };
    let stopped = Observation {
        active: 0,
        failed: 3,
        ..restarted.clone()
    };
    let mut observations = vec![restarted.clone(), waiting, restarted];
    observations.extend(vec![stopped; 4]);
    let progress = progress_of(Goal::Complete, Baseline::default(), &observations);
    let (last, earlier) = progress.split_last().unwrap();
    assert!(earlier.iter().all(is_pending), "{progress:?}");
    assert_eq!(*last, Progress::Failed("failed 3 times".into()));
}
