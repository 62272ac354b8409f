//! Check of a sign-in by the limit of failures, the name, and the password.

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
    throttle::{Admission, Attempt, AttemptOutcome, AttemptStore},
};

/// Interval between deletions of expired failure counters, in milliseconds.
const PRUNE_INTERVAL_MILLIS: i64 = 60_000;

/// A name and a password to check.
#[derive(Debug)]
pub(crate) struct Check {
    pub(crate) username: String,
    pub(crate) password: SecretString,
    /// IP address of the browser. If it is empty, failures are not counted.
    pub(crate) address: String,
}

/// Purpose of a password check.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Purpose {
    /// To start a session. A one-time password is valid for one session.
    SignIn,
    /// To change or delete the account from a session. A one-time password that was used to start the session
    /// is valid.
    OwnAccount,
}

/// Result of a successful password check.
#[derive(Debug)]
pub(crate) struct VerifiedUser {
    pub(crate) user: User,
    /// Whether the password was a one-time password.
    pub(crate) one_time_password: bool,
}

/// Checks passwords and counts failed sign-ins.
pub(crate) struct Authenticator<S: UserStore, A: AttemptStore> {
    pub(crate) store: Arc<S>,
    pub(crate) attempts: Arc<A>,
    pub(crate) find: Batcher<FindCredential<S>>,
    pub(crate) count: Batcher<CountAttempt<A>>,
    pub(crate) hasher: Hasher,
    pub(crate) pruned_millis: AtomicI64,
}

impl<S: UserStore, A: AttemptStore> Authenticator<S, A> {
    /// Checks one password and counts a failure.
    pub(crate) async fn check(
        &self,
        check: Check,
        purpose: Purpose,
        deadline: Deadline,
    ) -> Result<VerifiedUser, Status> {
        if check.address.is_empty() {
            return self.check_password(check, purpose, deadline).await;
        }
        let attempt = Attempt {
            address: check.address.clone(),
            username: check.username.clone(),
        };
        self.prune_if_due();
        if let Admission::Blocked(until) = self.count.call(attempt.clone(), deadline).await? {
            return Err(blocked(until - now_millis()));
        }
        let checked = self.check_password(check, purpose, deadline).await;
        let outcome = match &checked {
            Ok(_) => Some(AttemptOutcome::Success),
            Err(status) => match status.code() {
                // The attempt is already counted as a failure.
                Code::NotFound | Code::Unauthenticated => None,
                _ => Some(AttemptOutcome::Undecided),
            },
        };
        if let Some(outcome) = outcome
            && let Err(error) = self.attempts.uncount(&attempt, outcome).await
        {
            // The result of the sign-in does not depend on the counter, and the counter expires.
            tracing::warn!(error = ?error, "sign-in remains counted as a failure");
        }
        checked
    }

    async fn check_password(
        &self,
        check: Check,
        purpose: Purpose,
        deadline: Deadline,
    ) -> Result<VerifiedUser, Status> {
        let found = self.find.call(check.username, deadline).await?;
        let credential = found.ok_or_else(|| Status::not_found("Invalid username"))?;
        let (stored, password) = (credential.pw_hash.clone(), check.password);
        if password.expose_secret().len() > PASSWORD_BYTES_MAX {
            return Err(wrong_password());
        }
        let verify = move || match purpose {
            Purpose::SignIn => stored.verify(password.expose_secret()),
            Purpose::OwnAccount => stored.reusable().verify(password.expose_secret()),
        };
        let verdict = self.hasher.run(Priority::SignIn, deadline, verify).await?;
        self.settle(credential, verdict).await
    }

    async fn settle(
        &self,
        credential: Credential,
        verdict: Verdict,
    ) -> Result<VerifiedUser, Status> {
        let Credential { user, pw_hash } = credential;
        let one_time_password = matches!(verdict, Verdict::OneTime(_));
        match verdict {
            Verdict::Wrong => return Err(wrong_password()),
            Verdict::Right => {}
            // The sign-in succeeds only if this request is the one that marks the one-time password as used.
            Verdict::OneTime(used) => {
                if !self.store.replace_hash(user.id, &pw_hash, &used).await? {
                    return Err(wrong_password());
                }
            }
            Verdict::Outdated(renewed) => {
                // The sign-in succeeds although the old hash remains. The next sign-in tries to replace it again.
                if let Err(error) = self.store.replace_hash(user.id, &pw_hash, &renewed).await {
                    tracing::warn!(error = ?error, user.id = %user.id, "password rehash failed");
                }
            }
        }
        Ok(VerifiedUser {
            user,
            one_time_password,
        })
    }

    fn prune_if_due(&self) {
        let now = now_millis();
        let last = self.pruned_millis.load(Ordering::Relaxed);
        if now < last + PRUNE_INTERVAL_MILLIS {
            return;
        }
        // Of concurrent callers, the one that stores the time prunes.
        let stored =
            self.pruned_millis
                .compare_exchange(last, now, Ordering::Relaxed, Ordering::Relaxed);
        if stored.is_ok() {
            let attempts = Arc::clone(&self.attempts);
            tokio::spawn(async move {
                if let Err(error) = attempts.prune(now).await {
                    tracing::warn!(error = ?error, "deleting expired sign-in failures failed");
                }
            });
        }
    }
}

fn wrong_password() -> Status {
    Status::unauthenticated("Invalid password")
}

fn blocked(left_millis: i64) -> Status {
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
    fn the_waiting_time_is_rounded_up() {
        let message = |millis| blocked(millis).message().to_owned();
        assert!(message(-5).ends_with("in 1 minute"));
        assert!(message(60_000).ends_with("in 1 minute"));
        assert!(message(60_001).ends_with("in 2 minutes"));
        assert!(message(900_000).ends_with("in 15 minutes"));
        let seconds = |millis| retry_after::seconds(&blocked(millis));
        assert_eq!(seconds(-5), Some(1));
        assert_eq!(seconds(1001), Some(2));
        assert_eq!(seconds(900_000), Some(900));
    }
}
