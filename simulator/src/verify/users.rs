//! Whether those who registered exist, and nobody else.

use crate::attempt::{Answer, Attempt, Effect};
use crate::report::{Verification, ViolationKind};
use crate::snapshot::UserState;

use super::{Deeds, at};

/// A user is not there: nobody may have been told otherwise.
pub(crate) fn verify_absence(
    name: &str,
    before: &UserState,
    deeds: &Deeds<'_>,
    found: &mut Verification,
) {
    if matches!(before, UserState::Present(_)) {
        let detail = format!("user {name:?} existed before the run and is gone");
        found.add(ViolationKind::UserMissing, detail);
        return;
    }
    if let Some(attempt) = with_effect(deeds, Effect::Yes).next() {
        let detail = format!(
            "user {name:?}, whose registration {} was acknowledged {}, does not exist",
            attempt.action.id,
            at(attempt.done)
        );
        found.add(ViolationKind::UserMissing, detail);
    } else if deeds.acknowledged() > 0 {
        let detail = format!(
            "user {name:?} does not exist, and {} of their actions were acknowledged",
            deeds.acknowledged()
        );
        found.add(ViolationKind::UserMissing, detail);
    }
}

/// A user is there: somebody must have registered them, once.
pub(crate) fn verify_presence(
    name: &str,
    before: &UserState,
    deeds: &Deeds<'_>,
    found: &mut Verification,
) {
    let existed = matches!(before, UserState::Present(_));
    let acknowledged = with_effect(deeds, Effect::Yes).count();
    if existed && acknowledged > 0 {
        let detail = format!("user {name:?} existed, and a registration was answered with 204");
        found.add(ViolationKind::RegisterWrong, detail);
    } else if acknowledged > 1 {
        let detail = format!("user {name:?} was registered {acknowledged} times");
        found.add(ViolationKind::RegisterWrong, detail);
    }
    let possible = acknowledged > 0 || with_effect(deeds, Effect::Maybe).next().is_some();
    if !existed && !possible {
        let detail = match deeds.registers.first() {
            Some(Attempt {
                answer: Answer::Status(status),
                action,
                ..
            }) => format!(
                "registration {} of {name:?}, who did not exist, was answered with {status}, \
                 and the user exists now",
                action.id
            ),
            _ => format!("user {name:?} exists, and no registration was sent"),
        };
        found.add(ViolationKind::RegisterWrong, detail);
    }
}

fn with_effect<'a>(deeds: &Deeds<'a>, effect: Effect) -> impl Iterator<Item = &'a Attempt> {
    deeds
        .registers
        .iter()
        .copied()
        .filter(move |attempt| attempt.effect() == effect)
}
