//! Compares what the server shows with what was sent: nothing lost, nothing doubled, nothing
//! undone.
//!
//! Three kinds of attempts are told apart. What was acknowledged must be there, exactly once. What
//! was refused, or never left, must not be there. What was not answered may be there, once. All of
//! it is on top of what was there before the run, so a scenario can be replayed against a server
//! that knows it already.

mod follows;
mod messages;
mod settled;
#[cfg(test)]
mod tests;
mod users;

use std::collections::HashMap;
use std::time::Duration;

use crate::action::Command;
use crate::attempt::{Attempt, Effect};
use crate::report::{Verification, Violation, ViolationKind};
use crate::snapshot::{Profile, Snapshot, UserState};

pub(crate) use settled::{Op, possible};

/// A run and what was seen of the server around it.
pub(crate) struct History<'a> {
    pub(crate) before: &'a Snapshot,
    pub(crate) after: &'a Snapshot,
    pub(crate) attempts: &'a [Attempt],
    /// One request at a time, so that the order of messages is known.
    pub(crate) sequential: bool,
    /// The run's beginning and end by the server's clock, in unix seconds, with some tolerance.
    pub(crate) dates: (i64, i64),
}

/// What one user did in the run.
#[derive(Default)]
pub(crate) struct Deeds<'a> {
    registers: Vec<&'a Attempt>,
    tweets: Vec<(&'a Attempt, &'a str)>,
    /// Writes by the name of whom they are about, true for a follow.
    edges: HashMap<&'a str, Vec<(&'a Attempt, bool)>>,
}

impl Deeds<'_> {
    fn acknowledged(&self) -> usize {
        let tweets = self.tweets.iter().map(|(attempt, _)| *attempt);
        let edges = self.edges.values().flatten().map(|(attempt, _)| *attempt);
        tweets
            .chain(edges)
            .filter(|attempt| attempt.effect() == Effect::Yes)
            .count()
    }
}

/// Compares everything.
pub(crate) fn verify(history: &History<'_>) -> Verification {
    let mut found = Verification {
        latest: history.after.latest,
        ..Verification::default()
    };
    let deeds = deeds(history.attempts);
    let mut names: Vec<_> = history.after.users.keys().collect();
    names.sort_unstable();
    let nothing = Deeds::default();
    for name in names {
        let deeds = deeds.get(name.as_str()).unwrap_or(&nothing);
        verify_user(history, name, deeds, &mut found);
    }
    verify_latest(history, &mut found);
    found
}

fn deeds(attempts: &[Attempt]) -> HashMap<&str, Deeds<'_>> {
    let mut all: HashMap<&str, Deeds<'_>> = HashMap::new();
    for attempt in attempts {
        let deeds = all.entry(&attempt.action.username).or_default();
        match &attempt.action.command {
            Command::Register { .. } => deeds.registers.push(attempt),
            Command::Tweet { content } => deeds.tweets.push((attempt, content)),
            Command::Follow { whom } => deeds.edges.entry(whom).or_default().push((attempt, true)),
            Command::Unfollow { whom } => {
                deeds.edges.entry(whom).or_default().push((attempt, false));
            }
            _ => {}
        }
    }
    all
}

fn verify_user(history: &History<'_>, name: &str, deeds: &Deeds<'_>, found: &mut Verification) {
    found.users += 1;
    let before = history.before.users.get(name).unwrap_or(&UserState::Absent);
    let after = &history.after.users[name];
    match after {
        UserState::Unreadable(cause) => found.add(
            ViolationKind::Unreadable,
            format!("the lists of {name:?} could not be read: {cause}"),
        ),
        UserState::Absent => users::verify_absence(name, before, deeds, found),
        UserState::Present(profile) => {
            users::verify_presence(name, before, deeds, found);
            let nothing = Profile::default();
            let earlier = match before {
                UserState::Present(profile) => profile,
                _ => &nothing,
            };
            let pair = Lists {
                name,
                before: earlier,
                after: profile,
            };
            messages::verify(history, &pair, deeds, found);
            follows::verify(&pair, deeds, found);
        }
    }
}

/// A user's lists on both sides of the run.
pub(crate) struct Lists<'a> {
    name: &'a str,
    before: &'a Profile,
    after: &'a Profile,
}

fn verify_latest(history: &History<'_>, found: &mut Verification) {
    let (Some(before), Some(after)) = (history.before.latest, history.after.latest) else {
        found.add(
            ViolationKind::Unreadable,
            "latest could not be read".to_owned(),
        );
        return;
    };
    let ops: Vec<_> = history
        .attempts
        .iter()
        .map(|attempt| Op::new(attempt, attempt.effect_on_latest(), attempt.action.id))
        .collect();
    let possible = possible(before, &ops);
    if !possible.contains(&after) {
        let expected = match possible.as_slice() {
            [one] => format!("it must be {one}"),
            many => format!("it must be one of {:?}", &many[..many.len().min(10)]),
        };
        found.add(
            ViolationKind::LatestWrong,
            format!("latest is {after}, and {expected}"),
        );
    }
}

impl Verification {
    pub(crate) fn add(&mut self, kind: ViolationKind, detail: String) {
        self.violations.push(Violation { kind, detail });
    }
}

/// "at t=1.234 s"
pub(crate) fn at(time: Duration) -> String {
    format!("at t={:.3} s", time.as_secs_f64())
}

/// A text in quotes, cut to what is needed to recognise it.
pub(crate) fn quoted(text: &str) -> String {
    const CHARS_MAX: usize = 60;
    let short: String = text.chars().take(CHARS_MAX).collect();
    let more = if short.len() < text.len() { "…" } else { "" };
    format!("{short:?}{more}")
}
