//! Compares the server's lists with the requests, to find writes that are lost, doubled or undone.
//!
//! An acknowledged write must be listed exactly once. A write that was rejected or never sent must
//! not be listed. A write without a response may be listed once. Entries from before the run are
//! expected in addition, so a scenario can be replayed against a server that already has its data.

mod final_value;
mod follows;
mod messages;
#[cfg(test)]
mod tests;
mod users;

use std::collections::HashMap;
use std::time::Duration;

use crate::action::Command;
use crate::attempt::{Attempt, Effect};
use crate::report::{Verification, Violation, ViolationKind};
use crate::snapshot::{Profile, Snapshot, UserState};

pub(crate) use final_value::{ValueWrite, possible_final_values};

/// The requests of a run, and the snapshots before and after the run.
pub(crate) struct History<'a> {
    pub(crate) before: &'a Snapshot,
    pub(crate) after: &'a Snapshot,
    pub(crate) attempts: &'a [Attempt],
    /// Whether requests were sent one at a time, so that the order of messages is known.
    pub(crate) sequential: bool,
    /// Start and end of the run by the server's clock, in Unix seconds, with a tolerance.
    pub(crate) dates: (i64, i64),
}

/// The writes of one user in the run.
#[derive(Default)]
pub(crate) struct UserAttempts<'a> {
    registers: Vec<&'a Attempt>,
    tweets: Vec<(&'a Attempt, &'a str)>,
    /// Follows (`true`) and unfollows (`false`), by the name of the other user.
    edges: HashMap<&'a str, Vec<(&'a Attempt, bool)>>,
}

impl UserAttempts<'_> {
    fn acknowledged(&self) -> usize {
        let tweets = self.tweets.iter().map(|(attempt, _)| *attempt);
        let edges = self.edges.values().flatten().map(|(attempt, _)| *attempt);
        tweets
            .chain(edges)
            .filter(|attempt| attempt.effect() == Effect::Yes)
            .count()
    }
}

/// Verifies the lists of all users, and `latest`.
pub(crate) fn verify(history: &History<'_>) -> Verification {
    let mut verification = Verification {
        latest: history.after.latest,
        ..Verification::default()
    };
    let by_user = attempts_by_user(history.attempts);
    let mut names: Vec<_> = history.after.users.keys().collect();
    names.sort_unstable();
    let no_attempts = UserAttempts::default();
    for name in names {
        let user_attempts = by_user.get(name.as_str()).unwrap_or(&no_attempts);
        verify_user(history, name, user_attempts, &mut verification);
    }
    verify_latest(history, &mut verification);
    verification
}

fn attempts_by_user(attempts: &[Attempt]) -> HashMap<&str, UserAttempts<'_>> {
    let mut all: HashMap<&str, UserAttempts<'_>> = HashMap::new();
    for attempt in attempts {
        let user_attempts = all.entry(&attempt.action.username).or_default();
        match &attempt.action.command {
            Command::Register { .. } => user_attempts.registers.push(attempt),
            Command::Tweet { content } => user_attempts.tweets.push((attempt, content)),
            Command::Follow { whom } => user_attempts
                .edges
                .entry(whom)
                .or_default()
                .push((attempt, true)),
            Command::Unfollow { whom } => {
                user_attempts
                    .edges
                    .entry(whom)
                    .or_default()
                    .push((attempt, false));
            }
            _ => {}
        }
    }
    all
}

fn verify_user(
    history: &History<'_>,
    name: &str,
    user_attempts: &UserAttempts<'_>,
    verification: &mut Verification,
) {
    verification.users += 1;
    let before = history.before.users.get(name).unwrap_or(&UserState::Absent);
    let after = &history.after.users[name];
    match after {
        UserState::Unreadable(cause) => verification.add(
            ViolationKind::Unreadable,
            format!("the lists of {name:?} could not be read: {cause}"),
        ),
        UserState::Absent => users::verify_absence(name, before, user_attempts, verification),
        UserState::Present(profile) => {
            users::verify_presence(name, before, user_attempts, verification);
            let no_lists = Profile::default();
            let earlier = match before {
                UserState::Present(profile) => profile,
                _ => &no_lists,
            };
            let pair = Lists {
                name,
                before: earlier,
                after: profile,
            };
            messages::verify(history, &pair, user_attempts, verification);
            follows::verify(&pair, user_attempts, verification);
        }
    }
}

/// A user's lists before and after the run.
pub(crate) struct Lists<'a> {
    name: &'a str,
    before: &'a Profile,
    after: &'a Profile,
}

fn verify_latest(history: &History<'_>, verification: &mut Verification) {
    let (Some(before), Some(after)) = (history.before.latest, history.after.latest) else {
        verification.add(
            ViolationKind::Unreadable,
            "latest could not be read".to_owned(),
        );
        return;
    };
    let value_writes: Vec<_> = history
        .attempts
        .iter()
        .map(|attempt| ValueWrite::new(attempt, attempt.effect_on_latest(), attempt.action.id))
        .collect();
    let possible = possible_final_values(before, &value_writes);
    if !possible.contains(&after) {
        let expected = match possible.as_slice() {
            [value] => format!("it must be {value}"),
            values => format!("it must be one of {:?}", &values[..values.len().min(10)]),
        };
        verification.add(
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

/// Formats a time of the run as "at t=1.234 s".
pub(crate) fn at(time: Duration) -> String {
    format!("at t={:.3} s", time.as_secs_f64())
}

/// A text in quotes, truncated to 60 characters.
pub(crate) fn quoted(text: &str) -> String {
    const CHARS_MAX: usize = 60;
    let short: String = text.chars().take(CHARS_MAX).collect();
    let more = if short.len() < text.len() { "…" } else { "" };
    format!("{short:?}{more}")
}
