//! Each way an update can go, as the Engine tells it.

use super::*;

fn running(running: u64, wanted: u64) -> Look {
    Look {
        changed: true,
        wanted,
        running,
        ..Look::default()
    }
}

fn updating(state: State, message: &str) -> Look {
    let update = Update {
        state,
        started: Some("today".into()),
        message: message.into(),
    };
    Look {
        update: Some(update),
        ..running(2, 2)
    }
}

fn known() -> Before {
    Before {
        existed: true,
        update_started: Some("yesterday".into()),
    }
}

/// The verdicts on looks taken a second apart.
fn verdicts(goal: Goal, before: Before, looks: &[Look]) -> Vec<Verdict> {
    let mut judge = Judge::new(goal, before);
    let seconds = (0..).map(Duration::from_secs);
    looks
        .iter()
        .zip(seconds)
        .map(|(look, now)| judge.judge(look, now))
        .collect()
}

fn last(goal: Goal, before: Before, looks: &[Look]) -> Verdict {
    verdicts(goal, before, looks).pop().unwrap()
}

fn is_pending(verdict: &Verdict) -> bool {
    matches!(verdict, Verdict::Pending(_))
}

#[test]
fn an_update_that_completes_is_done() {
    let looks = [
        updating(State::Updating, ""),
        updating(State::Completed, ""),
    ];
    let seen = verdicts(Goal::Update, known(), &looks);
    assert!(is_pending(&seen[0]));
    assert_eq!(seen[1], Verdict::Done("updated, 2 running".into()));
}

#[test]
fn a_completed_update_waits_for_a_task_that_died_since() {
    let look = Look {
        running: 1,
        ..updating(State::Completed, "")
    };
    assert!(is_pending(&last(Goal::Update, known(), &[look])));
}

#[test]
fn a_roll_back_fails_the_update_and_says_why() {
    let looks = [
        updating(State::RollbackStarted, "failure of task x"),
        updating(State::RollbackCompleted, "rollback completed"),
    ];
    let seen = verdicts(Goal::Update, known(), &looks);
    assert_eq!(
        seen[0],
        Verdict::Pending("the update failed, rolling back: failure of task x".into())
    );
    assert_eq!(
        seen[1],
        Verdict::Failed("rolled back: rollback completed".into())
    );
}

#[test]
fn a_paused_update_fails_whatever_was_wanted() {
    for goal in [Goal::Update, Goal::Rollback] {
        for state in [State::Paused, State::RollbackPaused] {
            let verdict = last(goal, known(), &[updating(state, "why")]);
            assert!(
                matches!(verdict, Verdict::Failed(_)),
                "{goal:?} {state:?} {verdict:?}"
            );
        }
    }
}

#[test]
fn a_wanted_roll_back_is_done_when_it_is_completed() {
    let looks = [
        updating(State::RollbackStarted, ""),
        updating(State::RollbackCompleted, ""),
    ];
    let verdict = last(Goal::Rollback, known(), &looks);
    assert_eq!(verdict, Verdict::Done("rolled back, 2 running".into()));
}

#[test]
fn the_end_of_an_earlier_update_is_not_taken_for_this_one() {
    let before = Before {
        existed: true,
        update_started: Some("today".into()),
    };
    let looks = [updating(State::RollbackCompleted, "of last time")];
    assert!(is_pending(&last(Goal::Update, before, &looks)));
}

#[test]
fn a_changed_service_is_not_done_before_its_update_had_time_to_show() {
    let mut looks = vec![running(2, 2); 10];
    looks.push(updating(State::Updating, ""));
    let seen = verdicts(Goal::Update, known(), &looks);
    assert!(seen.iter().all(is_pending), "{seen:?}");
}

#[test]
fn an_unchanged_service_is_done_at_once() {
    let look = Look {
        changed: false,
        ..running(2, 2)
    };
    let seen = verdicts(Goal::Update, known(), &vec![look; 4]);
    assert_eq!(seen[2], Verdict::Done("unchanged, 2 running".into()));
}

#[test]
fn a_new_service_has_to_keep_running() {
    let mut looks = vec![running(0, 1), running(1, 1), running(1, 1), running(0, 1)];
    looks.extend(vec![running(1, 1); 11]);
    let seen = verdicts(Goal::Update, Before::default(), &looks);
    let (end, way) = seen.split_last().unwrap();
    assert!(way.iter().all(is_pending), "{seen:?}");
    assert_eq!(*end, Verdict::Done("created, 1 running".into()));
}

#[test]
fn a_new_service_that_keeps_failing_is_given_up() {
    let look = Look {
        failed: CREATE_FAILURES_MAX,
        ..running(0, 1)
    };
    let verdict = last(Goal::Update, Before::default(), std::slice::from_ref(&look));
    assert!(matches!(verdict, Verdict::Failed(_)));
    assert!(
        is_pending(&last(Goal::Update, known(), &[look])),
        "an old one may come back"
    );
}

#[test]
fn a_job_is_done_when_its_task_has_completed() {
    let look = Look {
        wanted: 1,
        completed: 1,
        ..Look::default()
    };
    assert_eq!(
        last(Goal::Complete, Before::default(), &[look]),
        Verdict::Done("done".into())
    );
}

#[test]
fn a_job_that_is_not_tried_again_has_failed() {
    let trying = Look {
        wanted: 1,
        active: 1,
        failed: 2,
        ..Look::default()
    };
    let waiting = Look {
        active: 0,
        ..trying.clone()
    };
    let over = Look {
        active: 0,
        failed: 3,
        ..trying.clone()
    };
    let mut looks = vec![trying.clone(), waiting, trying];
    looks.extend(vec![over; 4]);
    let seen = verdicts(Goal::Complete, Before::default(), &looks);
    let (end, way) = seen.split_last().unwrap();
    assert!(way.iter().all(is_pending), "{seen:?}");
    assert_eq!(*end, Verdict::Failed("failed 3 times".into()));
}
