//! Verifies that exactly the registered users exist.

use crate::attempt::{Attempt, Effect, RequestOutcome};
use crate::report::{Verification, ViolationKind};
use crate::snapshot::UserState;

use super::{UserAttempts, at};

/// Verifies a user who does not exist. No registration or action of the user may be acknowledged.
pub(crate) fn verify_absence(
    name: &str,
    before: &UserState,
    user_attempts: &UserAttempts<'_>,
    verification: &mut Verification,
) {
    if matches!(before, UserState::Present(_)) {
        let detail = format!("user {name:?} existed before the run and is missing");
        verification.add(ViolationKind::UserMissing, detail);
        return;
    }
    if let Some(attempt) = with_effect(user_attempts, Effect::Yes).next() {
        let detail = format!(
            "user {name:?}, whose registration {} was acknowledged {}, does not exist",
            attempt.action.id,
            at(attempt.done)
        );
        verification.add(ViolationKind::UserMissing, detail);
    } else if user_attempts.acknowledged() > 0 {
        let detail = format!(
            "user {name:?} does not exist, and {} of their actions were acknowledged",
            user_attempts.acknowledged()
        );
        verification.add(ViolationKind::UserMissing, detail);
    }
}

/// Verifies a user who exists. At most one registration of the user may be acknowledged.
pub(crate) fn verify_presence(
    name: &str,
    before: &UserState,
    user_attempts: &UserAttempts<'_>,
    verification: &mut Verification,
) {
    let existed = matches!(before, UserState::Present(_));
    let acknowledged = with_effect(user_attempts, Effect::Yes).count();
    if existed && acknowledged > 0 {
        let detail = format!(
            "user {name:?} existed before the run, and a registration was answered with 204"
        );
        verification.add(ViolationKind::RegisterWrong, detail);
    } else if acknowledged > 1 {
        let detail = format!("user {name:?} was registered {acknowledged} times");
        verification.add(ViolationKind::RegisterWrong, detail);
    }
    let possible = acknowledged > 0 || with_effect(user_attempts, Effect::Maybe).next().is_some();
    if !existed && !possible {
        let detail = match user_attempts.registers.first() {
            Some(Attempt {
                outcome: RequestOutcome::Status(status),
                action,
                ..
            }) => format!(
                "registration {} of {name:?}, who did not exist, was answered with {status}, \
                 but the user exists",
                action.id
            ),
            _ => format!("user {name:?} exists, and no registration was sent"),
        };
        verification.add(ViolationKind::RegisterWrong, detail);
    }
}

fn with_effect<'a>(
    user_attempts: &UserAttempts<'a>,
    effect: Effect,
) -> impl Iterator<Item = &'a Attempt> {
    user_attempts
        .registers
        .iter()
        .copied()
        .filter(move |attempt| attempt.effect() == effect)
}
