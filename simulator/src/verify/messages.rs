//! Verifies that every message is listed once, in the right order and with the right time.

use std::collections::HashMap;

use crate::attempt::{Attempt, Effect};
use crate::report::{Verification, ViolationKind};
use crate::snapshot::{LIST_LENGTH_MAX, Message};

use super::{History, Lists, UserAttempts, at, quoted};

/// The occurrences of a text before the run, after the run, and in the requests.
#[derive(Default)]
struct Count<'a> {
    before: usize,
    now: usize,
    acknowledged: Vec<&'a Attempt>,
    unanswered: Vec<&'a Attempt>,
    refused: Vec<&'a Attempt>,
}

pub(crate) fn verify(
    history: &History<'_>,
    lists: &Lists<'_>,
    user_attempts: &UserAttempts<'_>,
    verification: &mut Verification,
) {
    let known = verification.violations.len();
    let acknowledged = user_attempts
        .tweets
        .iter()
        .filter(|(tweet, _)| tweet.effect() == Effect::Yes);
    verification.messages += acknowledged.count();
    let counts = count(lists, user_attempts);
    let coverage = Coverage::new(lists, user_attempts, verification);
    let mut texts: Vec<_> = counts.iter().collect();
    texts.sort_unstable_by_key(|(text, _)| **text);
    for (text, count) in texts {
        verify_text(lists.name, text, count, coverage, verification);
    }
    verify_order(lists, verification);
    // The order and the dates can only be compared if the lists have the right messages.
    if verification.violations.len() == known && coverage == Coverage::Full {
        let new = lists.after.messages.len() - lists.before.messages.len();
        verify_dates(
            lists.name,
            &lists.after.messages[..new],
            history.dates,
            verification,
        );
        if history.sequential {
            verify_sequence(lists, new, user_attempts, verification);
        }
    }
}

/// The part of a user's messages that the lists contain.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Coverage {
    /// All messages are listed.
    Full,
    /// All messages of the run are listed, and some of the older ones.
    Newest,
    /// Not even all messages of the run are listed.
    Partial,
}

impl Coverage {
    fn new(
        lists: &Lists<'_>,
        user_attempts: &UserAttempts<'_>,
        verification: &mut Verification,
    ) -> Self {
        if !lists.before.is_truncated() && !lists.after.is_truncated() {
            return Self::Full;
        }
        verification.notes.push(format!(
            "{:?} has {LIST_LENGTH_MAX} messages or more, so only the newest {LIST_LENGTH_MAX} were compared",
            lists.name
        ));
        if user_attempts.tweets.len() <= LIST_LENGTH_MAX {
            Self::Newest
        } else {
            Self::Partial
        }
    }
}

fn count<'a>(lists: &Lists<'a>, user_attempts: &UserAttempts<'a>) -> HashMap<&'a str, Count<'a>> {
    let mut counts: HashMap<&str, Count<'_>> = HashMap::new();
    for message in &lists.before.messages {
        counts.entry(&message.content).or_default().before += 1;
    }
    for message in &lists.after.messages {
        counts.entry(&message.content).or_default().now += 1;
    }
    for (attempt, text) in &user_attempts.tweets {
        let count = counts.entry(text).or_default();
        match attempt.effect() {
            Effect::Yes => count.acknowledged.push(attempt),
            Effect::Maybe => count.unanswered.push(attempt),
            Effect::No => count.refused.push(attempt),
        }
    }
    counts
}

fn verify_text(
    name: &str,
    text: &str,
    count: &Count<'_>,
    coverage: Coverage,
    verification: &mut Verification,
) {
    let least = match coverage {
        Coverage::Full => count.before + count.acknowledged.len(),
        Coverage::Newest => count.acknowledged.len(),
        Coverage::Partial => 0,
    };
    let most = count.before + count.acknowledged.len() + count.unanswered.len();
    if count.now < least {
        let missing = least - count.now;
        for attempt in count.acknowledged.iter().rev().take(missing) {
            let detail = format!(
                "message {} of {name:?}, acknowledged {}, is not listed: {}",
                attempt.action.id,
                at(attempt.done),
                quoted(text)
            );
            verification.add(ViolationKind::Lost, detail);
        }
        for _ in count.acknowledged.len()..missing {
            let detail = format!(
                "a message of {name:?} from before the run is missing: {}",
                quoted(text)
            );
            verification.add(ViolationKind::Altered, detail);
        }
    }
    if count.now > most {
        let (kind, detail) = surplus(name, text, count, most);
        verification.add(kind, detail);
    }
}

fn surplus(name: &str, text: &str, count: &Count<'_>, most: usize) -> (ViolationKind, String) {
    let Count { now, before, .. } = *count;
    let sent = count.acknowledged.iter().chain(&count.unanswered).next();
    match (sent, count.refused.first()) {
        (Some(attempt), _) => (
            ViolationKind::Doubled,
            format!(
                "message {} of {name:?}, sent {}, is listed {now} times instead of {most}: {}",
                attempt.action.id,
                at(attempt.sent),
                quoted(text)
            ),
        ),
        (None, Some(attempt)) => (
            ViolationKind::Unexpected,
            format!(
                "message {} of {name:?} was not accepted ({:?} {}), and is listed: {}",
                attempt.action.id,
                attempt.outcome,
                at(attempt.done),
                quoted(text)
            ),
        ),
        (None, None) => (
            ViolationKind::Unexpected,
            format!(
                "a message of {name:?} that this run did not send is listed {now} times, \
                 {before} before the run: {}",
                quoted(text)
            ),
        ),
    }
}

fn verify_order(lists: &Lists<'_>, verification: &mut Verification) {
    for pair in lists.after.messages.windows(2) {
        if let [newer, older] = pair
            && newer.pub_date < older.pub_date
        {
            let detail = format!(
                "{:?} has a message of {} listed above one of {}: {}",
                lists.name,
                newer.pub_date,
                older.pub_date,
                quoted(&newer.content)
            );
            verification.add(ViolationKind::Misplaced, detail);
            return;
        }
    }
}

fn verify_dates(
    name: &str,
    new: &[Message],
    (from, to): (i64, i64),
    verification: &mut Verification,
) {
    for message in new
        .iter()
        .filter(|message| !(from..=to).contains(&message.pub_date))
    {
        let detail = format!(
            "a message of {name:?} has the time {}, but the run was from {from} to {to}: {}",
            message.pub_date,
            quoted(&message.content)
        );
        verification.add(ViolationKind::Misdated, detail);
    }
}

/// Verifies that the newest `new` messages contain the acknowledged messages in the order in which
/// they were sent.
fn verify_sequence(
    lists: &Lists<'_>,
    new: usize,
    user_attempts: &UserAttempts<'_>,
    verification: &mut Verification,
) {
    let (newest, oldest) = lists.after.messages.split_at(new);
    if oldest.iter().ne(&lists.before.messages) {
        let detail = format!(
            "the messages of {:?} from before the run changed",
            lists.name
        );
        verification.add(ViolationKind::Altered, detail);
        return;
    }
    let mut listed = newest.iter().rev().map(|message| message.content.as_str());
    let acknowledged = user_attempts
        .tweets
        .iter()
        .filter(|(tweet, _)| tweet.effect() == Effect::Yes);
    for (attempt, text) in acknowledged {
        if !listed.any(|content| content == *text) {
            let detail = format!(
                "message {} of {:?} is not listed in the order of posting: {}",
                attempt.action.id,
                lists.name,
                quoted(text)
            );
            verification.add(ViolationKind::Misplaced, detail);
            return;
        }
    }
}
