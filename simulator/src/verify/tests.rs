use super::*;
use crate::action::Action;
use crate::attempt::Answer;
use crate::snapshot::{Message, WINDOW};
use ViolationKind as Kind;

/// A run of one request after another, each a second long, and what the server shows of it.
struct World {
    before: Snapshot,
    after: Snapshot,
    attempts: Vec<Attempt>,
}

impl World {
    /// Users `a` and `b`, who registered in this run, and nothing else.
    fn new() -> Self {
        let mut world = Self {
            before: Snapshot::default(),
            after: Snapshot::default(),
            attempts: Vec::new(),
        };
        world.before.latest = Some(-1);
        for name in ["a", "b"] {
            world.before.users.insert(name.into(), UserState::Absent);
            world
                .after
                .users
                .insert(name.into(), UserState::Present(Profile::default()));
            world.act(name, register(), Answer::Status(204));
        }
        world
    }

    /// As [`Self::new`], and both have been there before.
    fn old() -> Self {
        let mut world = Self::new();
        world.before.users = world.after.users.clone();
        for attempt in &mut world.attempts {
            attempt.answer = Answer::Status(400);
        }
        world
    }

    fn act(&mut self, who: &str, command: Command, answer: Answer) {
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
            answer,
        };
        if attempt.effect_on_latest() == Effect::Yes {
            self.after.latest = Some(id);
        }
        self.attempts.push(attempt);
    }

    fn tweet(&mut self, text: &str, status: u16) {
        self.act("a", tweet(text), Answer::Status(status));
    }

    /// What the server lists of `a` now, newest first.
    fn listed(&mut self, texts: &[&str]) {
        profile(&mut self.after).messages = texts.iter().map(|text| message(text, 100)).collect();
    }

    fn listed_before(&mut self, texts: &[&str]) {
        profile(&mut self.before).messages = texts.iter().map(|text| message(text, 100)).collect();
    }

    fn follows(&mut self, names: &[&str]) {
        profile(&mut self.after).follows = names.iter().map(|&name| name.to_owned()).collect();
    }

    fn verdict(&self) -> Verification {
        verify(&History {
            before: &self.before,
            after: &self.after,
            attempts: &self.attempts,
            sequential: true,
            dates: (90, 110),
        })
    }

    fn kinds(&self) -> Vec<Kind> {
        self.verdict()
            .violations
            .iter()
            .map(|violation| violation.kind)
            .collect()
    }
}

fn profile(snapshot: &mut Snapshot) -> &mut Profile {
    match snapshot.users.get_mut("a") {
        Some(UserState::Present(profile)) => profile,
        _ => panic!("a is there"),
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
fn a_run_that_held_has_no_violations() {
    let mut world = World::new();
    world.tweet("one", 204);
    world.tweet("two", 204);
    world.act("a", follow(), Answer::Status(204));
    world.listed(&["two", "one"]);
    world.follows(&["b"]);
    let found = world.verdict();
    assert_eq!(found.violations, []);
    assert_eq!((found.users, found.messages, found.follows), (2, 2, 1));
}

#[test]
fn a_lost_message_is_found_and_named() {
    let mut world = World::new();
    world.tweet("one", 204);
    world.tweet("two", 204);
    world.listed(&["two"]);
    let found = world.verdict();
    assert_eq!(found.violations.len(), 1);
    assert_eq!(found.violations[0].kind, Kind::Lost);
    assert_eq!(
        found.violations[0].detail,
        "message 2 of \"a\", acknowledged at t=21.000 s, is not listed: \"one\""
    );
}

#[test]
fn a_doubled_message_is_found_unless_it_was_sent_twice() {
    let mut world = World::new();
    world.tweet("one", 204);
    world.listed(&["one", "one"]);
    assert_eq!(world.kinds(), [Kind::Doubled]);
    world.tweet("one", 204);
    assert_eq!(world.kinds(), []);
    world.listed(&["one"]);
    assert_eq!(world.kinds(), [Kind::Lost]);
}

#[test]
fn an_unanswered_message_may_be_there_once() {
    for answer in [
        Answer::TimedOut,
        Answer::Broken("reset".into()),
        Answer::Status(500),
    ] {
        let mut world = World::new();
        world.act("a", tweet("one"), answer);
        assert_eq!(world.kinds(), []);
        world.listed(&["one"]);
        assert_eq!(world.kinds(), []);
        world.listed(&["one", "one"]);
        assert_eq!(world.kinds(), [Kind::Doubled]);
    }
}

#[test]
fn what_was_refused_must_not_be_there() {
    for answer in [Answer::Status(404), Answer::NotConnected("refused".into())] {
        let mut world = World::new();
        world.act("a", tweet("one"), answer);
        assert_eq!(world.kinds(), []);
        world.listed(&["one"]);
        assert_eq!(world.kinds(), [Kind::Unexpected]);
    }
}

#[test]
fn a_text_that_came_back_changed_is_lost_and_unexpected() {
    let mut world = World::new();
    world.tweet(" one ", 204);
    world.listed(&["one"]);
    assert_eq!(world.kinds(), [Kind::Lost, Kind::Unexpected]);
}

#[test]
fn a_second_replay_counts_on_top_of_the_first() {
    let mut world = World::old();
    world.listed_before(&["two", "one"]);
    world.tweet("one", 204);
    world.tweet("two", 204);
    world.listed(&["two", "one", "two", "one"]);
    assert_eq!(world.kinds(), []);
    world.listed(&["two", "two", "one"]);
    assert_eq!(world.kinds(), [Kind::Lost]);
    world.listed(&["two", "one", "two", "one", "one"]);
    assert_eq!(world.kinds(), [Kind::Doubled]);
    world.listed(&["one", "two", "two", "one"]);
    assert_eq!(world.kinds(), [Kind::Misplaced]);
}

#[test]
fn old_messages_must_stay() {
    let mut world = World::old();
    world.listed_before(&["two", "one"]);
    world.listed(&["two"]);
    assert_eq!(world.kinds(), [Kind::Altered]);
    world.listed(&["one", "two"]);
    assert_eq!(world.kinds(), [Kind::Altered]);
}

#[test]
fn order_and_dates_are_checked() {
    let mut world = World::new();
    world.tweet("one", 204);
    world.tweet("two", 204);
    world.listed(&["one", "two"]);
    assert_eq!(world.kinds(), [Kind::Misplaced]);
    profile(&mut world.after).messages = vec![message("two", 99), message("one", 101)];
    assert_eq!(world.kinds(), [Kind::Misplaced]);
    profile(&mut world.after).messages = vec![message("two", 111), message("one", 101)];
    assert_eq!(world.kinds(), [Kind::Misdated]);
}

#[test]
fn of_very_many_messages_the_newest_are_compared() {
    let mut world = World::old();
    let old: Vec<String> = (0..WINDOW).map(|number| format!("old {number}")).collect();
    let old: Vec<&str> = old.iter().map(String::as_str).collect();
    world.listed_before(&old);
    world.tweet("one", 204);
    world.tweet("two", 204);
    world.listed(&[&["two", "one"], &old[..WINDOW - 2]].concat());
    let found = world.verdict();
    assert_eq!((found.violations.len(), found.notes.len()), (0, 1));
    world.listed(&[&["two"], &old[..WINDOW - 1]].concat());
    assert_eq!(world.kinds(), [Kind::Lost]);
    world.listed(&[&["two", "two", "one"], &old[..WINDOW - 3]].concat());
    assert_eq!(world.kinds(), [Kind::Doubled]);
}

#[test]
fn the_last_acknowledged_follow_must_be_in_effect() {
    let mut world = World::new();
    world.act("a", follow(), Answer::Status(204));
    assert_eq!(world.kinds(), [Kind::FollowWrong], "lost");
    world.follows(&["b"]);
    assert_eq!(world.kinds(), []);
    world.follows(&["b", "b"]);
    assert_eq!(world.kinds(), [Kind::FollowDoubled]);
    world.act("a", unfollow(), Answer::Status(204));
    world.follows(&["b"]);
    let found = world.verdict();
    assert_eq!(found.violations[0].kind, Kind::FollowWrong, "undone");
    assert_eq!(
        found.violations[0].detail,
        "unfollow 3 of \"b\" by \"a\" was acknowledged at t=31.000 s, and \"b\" is listed"
    );
}

#[test]
fn after_an_unanswered_write_either_state_is_right() {
    let mut world = World::new();
    world.act("a", follow(), Answer::Status(204));
    world.act("a", unfollow(), Answer::TimedOut);
    assert_eq!(world.kinds(), []);
    world.follows(&["b"]);
    assert_eq!(world.kinds(), []);
    world.act("a", follow(), Answer::Status(204));
    world.follows(&[]);
    assert_eq!(
        world.kinds(),
        [Kind::FollowWrong],
        "the unanswered one is ten seconds old"
    );
}

#[test]
fn nobody_follows_by_themselves() {
    let mut world = World::old();
    world.follows(&["b"]);
    assert_eq!(world.kinds(), [Kind::FollowWrong]);
    profile(&mut world.before).follows = vec!["b".into()];
    world.follows(&[]);
    assert_eq!(world.kinds(), [Kind::Altered]);
}

#[test]
fn users_exist_who_registered_and_nobody_else() {
    let mut world = World::new();
    world.after.users.insert("b".into(), UserState::Absent);
    assert_eq!(world.kinds(), [Kind::UserMissing]);
    world.attempts[1].answer = Answer::TimedOut;
    assert_eq!(world.kinds(), [], "unanswered");
    world.attempts[0].answer = Answer::Status(400);
    assert_eq!(world.kinds(), [Kind::RegisterWrong], "refused, and there");
    let mut world = World::old();
    world.act("a", register(), Answer::Status(204));
    assert_eq!(
        world.kinds(),
        [Kind::RegisterWrong],
        "a taken name was given away"
    );
}

#[test]
fn latest_is_the_last_that_was_sent() {
    let mut world = World::new();
    world.tweet("one", 404);
    assert_eq!(world.after.latest, Some(2), "also when the answer is 404");
    assert_eq!(world.kinds(), []);
    for wrong in [1, -1, 3] {
        world.after.latest = Some(wrong);
        assert_eq!(world.kinds(), [Kind::LatestWrong], "{wrong}");
    }
    world.after.latest = None;
    assert_eq!(world.kinds(), [Kind::Unreadable]);
}

#[test]
fn latest_may_be_what_was_not_answered() {
    let mut world = World::new();
    world.act("a", Command::ReadAll, Answer::TimedOut);
    for right in [1, 2] {
        world.after.latest = Some(right);
        assert_eq!(world.kinds(), []);
    }
}
