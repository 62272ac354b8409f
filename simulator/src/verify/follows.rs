//! Verifies the follows of users.

use std::collections::HashSet;

use crate::attempt::{Attempt, Effect};
use crate::report::{Verification, ViolationKind};
use crate::snapshot::LIST_LENGTH_MAX;

use super::{Lists, UserAttempts, ValueWrite, at, possible_final_values};

pub(crate) fn verify(
    lists: &Lists<'_>,
    user_attempts: &UserAttempts<'_>,
    verification: &mut Verification,
) {
    let name = lists.name;
    let mut listed = HashSet::new();
    for whom in &lists.after.follows {
        if !listed.insert(whom.as_str()) {
            let detail = format!("{name:?} is listed as following {whom:?} twice");
            verification.add(ViolationKind::FollowDoubled, detail);
        }
    }
    if lists.after.follows.len() >= LIST_LENGTH_MAX {
        verification.notes.push(format!(
            "{name:?} follows {LIST_LENGTH_MAX} users or more, so missing users were not looked for"
        ));
        return;
    }
    let before: HashSet<_> = lists.before.follows.iter().map(String::as_str).collect();
    let mut touched: Vec<_> = user_attempts.edges.iter().collect();
    touched.sort_unstable_by_key(|(whom, _)| **whom);
    for (&whom, writes) in touched {
        // The API does not define whether users who follow themselves are listed.
        if whom == name {
            continue;
        }
        verification.follows += 1;
        let value_writes: Vec<_> = writes
            .iter()
            .map(|(attempt, follow)| ValueWrite::new(attempt, attempt.effect(), *follow))
            .collect();
        let is_listed = listed.contains(whom);
        if !possible_final_values(before.contains(whom), &value_writes).contains(&is_listed) {
            verification.add(
                ViolationKind::FollowWrong,
                describe(name, whom, writes, is_listed),
            );
        }
    }
    let untouched = |whom: &&&str| !user_attempts.edges.contains_key(**whom);
    for whom in before.difference(&listed).filter(untouched) {
        let detail = format!("{name:?} no longer follows {whom:?}, and no unfollow was sent");
        verification.add(ViolationKind::Altered, detail);
    }
    for whom in listed.difference(&before).filter(untouched) {
        let detail = format!("{name:?} follows {whom:?}, and no follow was sent");
        verification.add(ViolationKind::FollowWrong, detail);
    }
}

fn describe(name: &str, whom: &str, writes: &[(&Attempt, bool)], is_listed: bool) -> String {
    let state = if is_listed {
        "is listed"
    } else {
        "is not listed"
    };
    let with_effect = |effect| {
        writes
            .iter()
            .filter(move |(attempt, _)| attempt.effect() == effect)
    };
    let open = match with_effect(Effect::Maybe).count() {
        0 => String::new(),
        count => format!(" ({count} more were not answered)"),
    };
    match with_effect(Effect::Yes).max_by_key(|(attempt, _)| attempt.sent) {
        Some((attempt, follow)) => format!(
            "{} {} of {whom:?} by {name:?} was acknowledged {}, and {whom:?} {state}{open}",
            if *follow { "follow" } else { "unfollow" },
            attempt.action.id,
            at(attempt.done),
        ),
        None => {
            format!(
                "{whom:?} {state} among the follows of {name:?}, without an acknowledged write{open}"
            )
        }
    }
}
