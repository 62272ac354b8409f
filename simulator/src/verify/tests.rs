use super::*;
use crate::action::Action;
use crate::attempt::RequestOutcome;
use crate::snapshot::{LIST_LENGTH_MAX, Message};
use ViolationKind as Kind;

/// A run with sequential requests of one second each, and the server's lists before and after.
struct TestRun {
    before: Snapshot,
    after: Snapshot,
    attempts: Vec<Attempt>,
}

impl TestRun {
    /// A run in which the users `a` and `b` register.
    fn new() -> Self {
        let mut run = Self {
            before: Snapshot::default(),
            after: Snapshot::default(),
            attempts: Vec::new(),
        };
        run.before.latest = Some(-1);
        for name in ["a", "b"] {
            run.before.users.insert(name.into(), UserState::Absent);
            run.after
                .users
                .insert(name.into(), UserState::Present(Profile::default()));
            run.act(name, register(), RequestOutcome::Status(204));
        }
        run
    }

    /// As [`Self::new`], but both users existed before the run.
    fn old() -> Self {
        let mut run = Self::new();
        run.before.users = run.after.users.clone();
        for attempt in &mut run.attempts {
            attempt.outcome = RequestOutcome::Status(400);
        }
        run
    }

    fn act(&mut self, who: &str, command: Command, outcome: RequestOutcome) {
        let id = i64::try_from(self.attempts.len()).unwrap();
        let sent = Duration::from_secs(10 * self.attempts.len() as u64);
        let action = Action {
            id,
            delay: 0,
            timestamp_ms: 0,
            username: who.to_owned(),
            command,
        };
        let attempt = Attempt {
            action,
            sent,
            done: sent + Duration::from_secs(1),
            outcome,
        };
        if attempt.effect_on_latest() == Effect::Yes {
            self.after.latest = Some(id);
        }
        self.attempts.push(attempt);
    }

    fn tweet(&mut self, text: &str, status: u16) {
        self.act("a", tweet(text), RequestOutcome::Status(status));
    }

    /// Sets the messages that the server lists of `a` after the run, newest first.
    fn listed(&mut self, texts: &[&str]) {
        profile(&mut self.after).messages = texts.iter().map(|text| message(text, 100)).collect();
    }

    fn listed_before(&mut self, texts: &[&str]) {
        profile(&mut self.before).messages = texts.iter().map(|text| message(text, 100)).collect();
    }

    fn follows(&mut self, names: &[&str]) {
        profile(&mut self.after).follows = names.iter().map(|&name| name.to_owned()).collect();
    }

    fn verification(&self) -> Verification {
        verify(&History {
            before: &self.before,
            after: &self.after,
            attempts: &self.attempts,
            sequential: true,
            dates: (90, 110),
        })
    }

    fn kinds(&self) -> Vec<Kind> {
        self.verification()
            .violations
            .iter()
            .map(|violation| violation.kind)
            .collect()
    }
}

fn profile(snapshot: &mut Snapshot) -> &mut Profile {
    match snapshot.users.get_mut("a") {
        Some(UserState::Present(profile)) => profile,
        _ => panic!("the user `a` is missing"),
    }
}

fn message(text: &str, pub_date: i64) -> Message {
    Message {
        content: text.to_owned(),
        pub_date,
        user: "a".to_owned(),
    }
}

fn register() -> Command {
    Command::Register {
        email: "a@b".into(),
        password: "x".into(),
    }
}

fn tweet(text: &str) -> Command {
    Command::Tweet {
        content: text.to_owned(),
    }
}

fn follow() -> Command {
    Command::Follow { whom: "b".into() }
}

fn unfollow() -> Command {
    Command::Unfollow { whom: "b".into() }
}

#[test]
fn a_run_with_correct_lists_has_no_violations() {
    let mut run = TestRun::new();
    run.tweet("one", 204);
    run.tweet("two", 204);
    run.act("a", follow(), RequestOutcome::Status(204));
    run.listed(&["two", "one"]);
    run.follows(&["b"]);
    let verification = run.verification();
    assert_eq!(verification.violations, []);
    assert_eq!(
        (
            verification.users,
            verification.messages,
            verification.follows
        ),
        (2, 2, 1)
    );
}

#[test]
fn a_lost_message_is_a_violation_with_details() {
    let mut run = TestRun::new();
    run.tweet("one", 204);
    run.tweet("two", 204);
    run.listed(&["two"]);
    let verification = run.verification();
    assert_eq!(verification.violations.len(), 1);
    assert_eq!(verification.violations[0].kind, Kind::Lost);
    assert_eq!(
        verification.violations[0].detail,
        "message 2 of \"a\", acknowledged at t=21.000 s, is not listed: \"one\""
    );
}

#[test]
fn a_doubled_message_is_a_violation_unless_it_was_sent_twice() {
    let mut run = TestRun::new();
    run.tweet("one", 204);
    run.listed(&["one", "one"]);
    assert_eq!(run.kinds(), [Kind::Doubled]);
    run.tweet("one", 204);
    assert_eq!(run.kinds(), []);
    run.listed(&["one"]);
    assert_eq!(run.kinds(), [Kind::Lost]);
}

#[test]
fn a_message_without_a_response_may_be_listed_once() {
    for outcome in [
        RequestOutcome::TimedOut,
        RequestOutcome::Broken("reset".into()),
        RequestOutcome::Status(500),
    ] {
        let mut run = TestRun::new();
        run.act("a", tweet("one"), outcome);
        assert_eq!(run.kinds(), []);
        run.listed(&["one"]);
        assert_eq!(run.kinds(), []);
        run.listed(&["one", "one"]);
        assert_eq!(run.kinds(), [Kind::Doubled]);
    }
}

#[test]
fn a_rejected_message_must_not_be_listed() {
    for outcome in [
        RequestOutcome::Status(404),
        RequestOutcome::NotConnected("refused".into()),
    ] {
        let mut run = TestRun::new();
        run.act("a", tweet("one"), outcome);
        assert_eq!(run.kinds(), []);
        run.listed(&["one"]);
        assert_eq!(run.kinds(), [Kind::Unexpected]);
    }
}

#[test]
fn a_changed_text_is_lost_and_unexpected() {
    let mut run = TestRun::new();
    run.tweet(" one ", 204);
    run.listed(&["one"]);
    assert_eq!(run.kinds(), [Kind::Lost, Kind::Unexpected]);
}

#[test]
fn a_second_replay_is_expected_in_addition_to_the_first() {
    let mut run = TestRun::old();
    run.listed_before(&["two", "one"]);
    run.tweet("one", 204);
    run.tweet("two", 204);
    run.listed(&["two", "one", "two", "one"]);
    assert_eq!(run.kinds(), []);
    run.listed(&["two", "two", "one"]);
    assert_eq!(run.kinds(), [Kind::Lost]);
    run.listed(&["two", "one", "two", "one", "one"]);
    assert_eq!(run.kinds(), [Kind::Doubled]);
    run.listed(&["one", "two", "two", "one"]);
    assert_eq!(run.kinds(), [Kind::Misplaced]);
}

#[test]
fn messages_from_before_the_run_must_stay() {
    let mut run = TestRun::old();
    run.listed_before(&["two", "one"]);
    run.listed(&["two"]);
    assert_eq!(run.kinds(), [Kind::Altered]);
    run.listed(&["one", "two"]);
    assert_eq!(run.kinds(), [Kind::Altered]);
}

#[test]
fn order_and_dates_are_checked() {
    let mut run = TestRun::new();
    run.tweet("one", 204);
    run.tweet("two", 204);
    run.listed(&["one", "two"]);
    assert_eq!(run.kinds(), [Kind::Misplaced]);
    profile(&mut run.after).messages = vec![message("two", 99), message("one", 101)];
    assert_eq!(run.kinds(), [Kind::Misplaced]);
    profile(&mut run.after).messages = vec![message("two", 111), message("one", 101)];
    assert_eq!(run.kinds(), [Kind::Misdated]);
}

#[test]
fn the_newest_messages_of_a_truncated_list_are_compared() {
    let mut run = TestRun::old();
    let old: Vec<String> = (0..LIST_LENGTH_MAX)
        .map(|number| format!("old {number}"))
        .collect();
    let old: Vec<&str> = old.iter().map(String::as_str).collect();
    run.listed_before(&old);
    run.tweet("one", 204);
    run.tweet("two", 204);
    run.listed(&[&["two", "one"], &old[..LIST_LENGTH_MAX - 2]].concat());
    let verification = run.verification();
    assert_eq!(
        (verification.violations.len(), verification.notes.len()),
        (0, 1)
    );
    run.listed(&[&["two"], &old[..LIST_LENGTH_MAX - 1]].concat());
    assert_eq!(run.kinds(), [Kind::Lost]);
    run.listed(&[&["two", "two", "one"], &old[..LIST_LENGTH_MAX - 3]].concat());
    assert_eq!(run.kinds(), [Kind::Doubled]);
}

#[test]
fn the_last_acknowledged_follow_must_be_in_effect() {
    let mut run = TestRun::new();
    run.act("a", follow(), RequestOutcome::Status(204));
    assert_eq!(run.kinds(), [Kind::FollowWrong], "lost");
    run.follows(&["b"]);
    assert_eq!(run.kinds(), []);
    run.follows(&["b", "b"]);
    assert_eq!(run.kinds(), [Kind::FollowDoubled]);
    run.act("a", unfollow(), RequestOutcome::Status(204));
    run.follows(&["b"]);
    let verification = run.verification();
    assert_eq!(verification.violations[0].kind, Kind::FollowWrong, "undone");
    assert_eq!(
        verification.violations[0].detail,
        "unfollow 3 of \"b\" by \"a\" was acknowledged at t=31.000 s, and \"b\" is listed"
    );
}

#[test]
fn after_a_write_without_a_response_both_states_are_accepted() {
    let mut run = TestRun::new();
    run.act("a", follow(), RequestOutcome::Status(204));
    run.act("a", unfollow(), RequestOutcome::TimedOut);
    assert_eq!(run.kinds(), []);
    run.follows(&["b"]);
    assert_eq!(run.kinds(), []);
    run.act("a", follow(), RequestOutcome::Status(204));
    run.follows(&[]);
    assert_eq!(
        run.kinds(),
        [Kind::FollowWrong],
        "the write without a response is ten seconds old"
    );
}

#[test]
fn a_change_of_a_follow_without_a_request_is_a_violation() {
    let mut run = TestRun::old();
    run.follows(&["b"]);
    assert_eq!(run.kinds(), [Kind::FollowWrong]);
    profile(&mut run.before).follows = vec!["b".into()];
    run.follows(&[]);
    assert_eq!(run.kinds(), [Kind::Altered]);
}

#[test]
fn exactly_the_registered_users_exist() {
    let mut run = TestRun::new();
    run.after.users.insert("b".into(), UserState::Absent);
    assert_eq!(run.kinds(), [Kind::UserMissing]);
    run.attempts[1].outcome = RequestOutcome::TimedOut;
    assert_eq!(run.kinds(), [], "without a response");
    run.attempts[0].outcome = RequestOutcome::Status(400);
    assert_eq!(run.kinds(), [Kind::RegisterWrong], "rejected, but existing");
    let mut run = TestRun::old();
    run.act("a", register(), RequestOutcome::Status(204));
    assert_eq!(
        run.kinds(),
        [Kind::RegisterWrong],
        "a taken name was acknowledged"
    );
}

#[test]
fn latest_is_the_value_of_the_last_request() {
    let mut run = TestRun::new();
    run.tweet("one", 404);
    assert_eq!(run.after.latest, Some(2), "even if the response is 404");
    assert_eq!(run.kinds(), []);
    for wrong in [1, -1, 3] {
        run.after.latest = Some(wrong);
        assert_eq!(run.kinds(), [Kind::LatestWrong], "{wrong}");
    }
    run.after.latest = None;
    assert_eq!(run.kinds(), [Kind::Unreadable]);
}

#[test]
fn latest_may_be_the_value_of_a_request_without_a_response() {
    let mut run = TestRun::new();
    run.act("a", Command::ReadAll, RequestOutcome::TimedOut);
    for right in [1, 2] {
        run.after.latest = Some(right);
        assert_eq!(run.kinds(), []);
    }
}
