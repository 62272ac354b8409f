//! Checking a sign-in: is the person held off, is the name known, is the password right.

use std::sync::{
    Arc,
    atomic::{AtomicI64, Ordering},
};

use chassis::{batch::Batcher, deadline::Deadline, retry_after};
use minitwit_proto::limits::PASSWORD_BYTES_MAX;
use secrecy::{ExposeSecret, SecretString};
use tonic::{Code, Status};

use crate::{
    batches::{CountAttempt, FindCredential, now_millis},
    hasher::{Hasher, Priority},
    password::Verdict,
    store::{Credential, User, UserStore},
    throttle::{Attempt, AttemptStore, Forgiveness, Standing},
};

/// How often counters too old to count are cleared away.
const PRUNE_INTERVAL_MILLIS: i64 = 60_000;

/// A sign-in as it came.
#[derive(Debug)]
pub(crate) struct Check {
    pub(crate) username: String,
    pub(crate) password: SecretString,
    /// Empty: not counted.
    pub(crate) address: String,
}

/// What a password is checked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Purpose {
    /// To begin a session: a one-time password is good for one.
    SignIn,
    /// To change or delete the account, by somebody who is signed in: perhaps with a one-time
    /// password.
    OwnAccount,
}

/// Whose password was right.
#[derive(Debug)]
pub(crate) struct Checked {
    pub(crate) user: User,
    /// Whether it was good for this one sign-in.
    pub(crate) one_time_password: bool,
}

/// Checks sign-ins.
pub(crate) struct Doorkeeper<S: UserStore, A: AttemptStore> {
    pub(crate) store: Arc<S>,
    pub(crate) attempts: Arc<A>,
    pub(crate) find: Batcher<FindCredential<S>>,
    pub(crate) count: Batcher<CountAttempt<A>>,
    pub(crate) hasher: Hasher,
    pub(crate) pruned_millis: AtomicI64,
}

impl<S: UserStore, A: AttemptStore> Doorkeeper<S, A> {
    /// Checks one sign-in, and counts it if it fails.
    pub(crate) async fn check(
        &self,
        check: Check,
        purpose: Purpose,
        deadline: Deadline,
    ) -> Result<Checked, Status> {
        if check.address.is_empty() {
            return self.check_password(check, purpose, deadline).await;
        }
        let attempt = Attempt {
            address: check.address.clone(),
            username: check.username.clone(),
        };
        self.prune_now_and_then();
        if let Standing::Held(until) = self.count.call(attempt.clone(), deadline).await? {
            return Err(held(until - now_millis()));
        }
        let checked = self.check_password(check, purpose, deadline).await;
        let forgiveness = match &checked {
            Ok(_) => Some(Forgiveness::Right),
            Err(status) => match status.code() {
                Code::NotFound | Code::Unauthenticated => None,
                _ => Some(Forgiveness::Undecided),
            },
        };
        if let Some(why) = forgiveness
            && let Err(error) = self.attempts.forgive(&attempt, why).await
        {
            // The sign-in itself is decided; the counter forgets by itself.
            tracing::warn!(error = ?error, "a sign-in stays counted as a failure");
        }
        checked
    }

    async fn check_password(
        &self,
        check: Check,
        purpose: Purpose,
        deadline: Deadline,
    ) -> Result<Checked, Status> {
        let found = self.find.call(check.username, deadline).await?;
        let credential = found.ok_or_else(|| Status::not_found("Invalid username"))?;
        let (stored, password) = (credential.pw_hash.clone(), check.password);
        if password.expose_secret().len() > PASSWORD_BYTES_MAX {
            return Err(wrong_password());
        }
        let verify = move || match purpose {
            Purpose::SignIn => stored.verify(password.expose_secret()),
            Purpose::OwnAccount => stored.for_good().verify(password.expose_secret()),
        };
        let verdict = self.hasher.run(Priority::SignIn, deadline, verify).await?;
        self.settle(credential, verdict).await
    }

    async fn settle(&self, credential: Credential, verdict: Verdict) -> Result<Checked, Status> {
        let Credential { user, pw_hash } = credential;
        let one_time_password = matches!(verdict, Verdict::OneTime(_));
        match verdict {
            Verdict::Wrong => return Err(wrong_password()),
            Verdict::Right => {}
            // Only who takes it out of use may come in with it.
            Verdict::OneTime(used) => {
                if !self.store.replace_hash(user.id, &pw_hash, &used).await? {
                    return Err(wrong_password());
                }
            }
            Verdict::Outdated(renewed) => {
                // Should it fail, the old hash is as good at the next sign-in.
                if let Err(error) = self.store.replace_hash(user.id, &pw_hash, &renewed).await {
                    tracing::warn!(error = ?error, user.id = %user.id, "an old hash stays");
                }
            }
        }
        Ok(Checked {
            user,
            one_time_password,
        })
    }

    fn prune_now_and_then(&self) {
        let now = now_millis();
        let last = self.pruned_millis.load(Ordering::Relaxed);
        if now < last + PRUNE_INTERVAL_MILLIS {
            return;
        }
        let mine =
            self.pruned_millis
                .compare_exchange(last, now, Ordering::Relaxed, Ordering::Relaxed);
        if mine.is_ok() {
            let attempts = Arc::clone(&self.attempts);
            tokio::spawn(async move {
                if let Err(error) = attempts.prune(now).await {
                    tracing::warn!(error = ?error, "old sign-in failures stay");
                }
            });
        }
    }
}

fn wrong_password() -> Status {
    Status::unauthenticated("Invalid password")
}

fn held(left_millis: i64) -> Status {
    let seconds = (left_millis.max(1) + 999) / 1000;
    let minutes = (seconds + 59) / 60;
    let plural = if minutes == 1 { "" } else { "s" };
    let message = format!("Too many failed sign-ins, try again in {minutes} minute{plural}");
    let seconds = u32::try_from(seconds).unwrap_or(u32::MAX);
    retry_after::status(Code::ResourceExhausted, message, seconds)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_wait_is_rounded_up() {
        let message = |millis| held(millis).message().to_owned();
        assert!(message(-5).ends_with("in 1 minute"));
        assert!(message(60_000).ends_with("in 1 minute"));
        assert!(message(60_001).ends_with("in 2 minutes"));
        assert!(message(900_000).ends_with("in 15 minutes"));
        let seconds = |millis| retry_after::seconds(&held(millis));
        assert_eq!(seconds(-5), Some(1));
        assert_eq!(seconds(1001), Some(2));
        assert_eq!(seconds(900_000), Some(900));
    }
}
