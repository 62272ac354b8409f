//! Whether every message is there, once, in its place.

use std::collections::HashMap;

use crate::attempt::{Attempt, Effect};
use crate::report::{Verification, ViolationKind};
use crate::snapshot::{Message, WINDOW};

use super::{Deeds, History, Lists, at, quoted};

/// How often a text was there, was sent, and is there.
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
    deeds: &Deeds<'_>,
    found: &mut Verification,
) {
    let known = found.violations.len();
    let acknowledged = deeds
        .tweets
        .iter()
        .filter(|(tweet, _)| tweet.effect() == Effect::Yes);
    found.messages += acknowledged.count();
    let counts = count(lists, deeds);
    let bounds = Bounds::new(lists, deeds, found);
    let mut texts: Vec<_> = counts.iter().collect();
    texts.sort_unstable_by_key(|(text, _)| **text);
    for (text, count) in texts {
        verify_text(lists.name, text, count, bounds, found);
    }
    verify_order(lists, found);
    // Only lists that hold what they must can be laid side by side.
    if found.violations.len() == known && bounds == Bounds::Whole {
        let new = lists.after.messages.len() - lists.before.messages.len();
        verify_dates(
            lists.name,
            &lists.after.messages[..new],
            history.dates,
            found,
        );
        if history.sequential {
            verify_sequence(lists, new, deeds, found);
        }
    }
}

/// How much of the lists there is to go by.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Bounds {
    /// All messages are listed.
    Whole,
    /// All messages of the run are listed, and some of the older ones.
    Newest,
    /// Not even all messages of the run are listed.
    Part,
}

impl Bounds {
    fn new(lists: &Lists<'_>, deeds: &Deeds<'_>, found: &mut Verification) -> Self {
        if !lists.before.is_truncated() && !lists.after.is_truncated() {
            return Self::Whole;
        }
        found.notes.push(format!(
            "{:?} has {WINDOW} messages or more; only the newest {WINDOW} were compared",
            lists.name
        ));
        if deeds.tweets.len() <= WINDOW {
            Self::Newest
        } else {
            Self::Part
        }
    }
}

fn count<'a>(lists: &Lists<'a>, deeds: &Deeds<'a>) -> HashMap<&'a str, Count<'a>> {
    let mut counts: HashMap<&str, Count<'_>> = HashMap::new();
    for message in &lists.before.messages {
        counts.entry(&message.content).or_default().before += 1;
    }
    for message in &lists.after.messages {
        counts.entry(&message.content).or_default().now += 1;
    }
    for (attempt, text) in &deeds.tweets {
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
    bounds: Bounds,
    found: &mut Verification,
) {
    let least = match bounds {
        Bounds::Whole => count.before + count.acknowledged.len(),
        Bounds::Newest => count.acknowledged.len(),
        Bounds::Part => 0,
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
            found.add(ViolationKind::Lost, detail);
        }
        for _ in count.acknowledged.len()..missing {
            let detail = format!(
                "a message of {name:?} from before is gone: {}",
                quoted(text)
            );
            found.add(ViolationKind::Altered, detail);
        }
    }
    if count.now > most {
        let (kind, detail) = surplus(name, text, count, most);
        found.add(kind, detail);
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
                attempt.answer,
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

fn verify_order(lists: &Lists<'_>, found: &mut Verification) {
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
            found.add(ViolationKind::Misplaced, detail);
            return;
        }
    }
}

fn verify_dates(name: &str, new: &[Message], (from, to): (i64, i64), found: &mut Verification) {
    for message in new
        .iter()
        .filter(|message| !(from..=to).contains(&message.pub_date))
    {
        let detail = format!(
            "a message of {name:?} bears the time {}, and the run was from {from} to {to}: {}",
            message.pub_date,
            quoted(&message.content)
        );
        found.add(ViolationKind::Misdated, detail);
    }
}

/// The first `new` messages must hold the acknowledged ones in the order in which they were sent.
fn verify_sequence(lists: &Lists<'_>, new: usize, deeds: &Deeds<'_>, found: &mut Verification) {
    let (newest, oldest) = lists.after.messages.split_at(new);
    if oldest.iter().ne(&lists.before.messages) {
        let detail = format!(
            "the messages of {:?} from before the run changed",
            lists.name
        );
        found.add(ViolationKind::Altered, detail);
        return;
    }
    let mut listed = newest.iter().rev().map(|message| message.content.as_str());
    let acknowledged = deeds
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
            found.add(ViolationKind::Misplaced, detail);
            return;
        }
    }
}
