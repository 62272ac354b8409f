//! Ending every session of an account, with a new password or without.
//!
//! A write names the epoch that it ends: so a repeated one finds its own work done, and one that
//! comes from a session which has ended meanwhile does nothing.

use chassis::deadline::Deadline;
use secrecy::{ExposeSecret, SecretString};
use tonic::Status;
use uuid::Uuid;

use crate::{
    hasher::Priority,
    password::{PasswordHash, Verdict},
    sign_in::{Check, Doorkeeper, Purpose},
    store::{User, UserStore},
    throttle::AttemptStore,
};

/// A change of password as it came.
#[derive(Debug)]
pub(crate) struct PasswordChange {
    /// Who, with the old password.
    pub(crate) check: Check,
    pub(crate) new: SecretString,
    /// The epoch of the session that asks.
    pub(crate) epoch: i64,
}

impl<S: UserStore, A: AttemptStore> Doorkeeper<S, A> {
    /// Changes a password and ends every session; a wrong old one counts as a failed sign-in.
    pub(crate) async fn change_password(
        &self,
        change: PasswordChange,
        deadline: Deadline,
    ) -> Result<User, Status> {
        let PasswordChange { check, new, epoch } = change;
        let found = self.find.call(check.username.clone(), deadline).await?;
        let credential = found.ok_or_else(|| Status::not_found("no such user"))?;
        if credential.user.session_epoch == epoch + 1 {
            // Perhaps an earlier attempt of the same write: its own success.
            let (stored, new) = (credential.pw_hash, new);
            let verify = move || stored.verify(new.expose_secret());
            let verdict = self.hasher.run(Priority::SignIn, deadline, verify).await?;
            return match verdict {
                Verdict::Right => Ok(credential.user),
                _ => Err(ended()),
            };
        }
        if credential.user.session_epoch != epoch {
            return Err(ended());
        }
        let checked = self.check(check, Purpose::OwnAccount, deadline).await?;
        let hash = move || PasswordHash::of(new.expose_secret());
        let hash = self.hasher.run(Priority::SignIn, deadline, hash).await?;
        self.next_epoch(checked.user, epoch, Some(&hash)).await
    }

    /// Ends every session of an account.
    pub(crate) async fn end_sessions(&self, id: Uuid, epoch: i64) -> Result<User, Status> {
        let found = self.store.find_by_id(vec![id]).await?.pop().flatten();
        let user = found.ok_or_else(|| Status::not_found("no such user"))?;
        if user.session_epoch == epoch + 1 {
            return Ok(user);
        }
        self.next_epoch(user, epoch, None).await
    }

    async fn next_epoch(
        &self,
        user: User,
        epoch: i64,
        hash: Option<&PasswordHash>,
    ) -> Result<User, Status> {
        if !self.store.end_sessions(user.id, epoch, hash).await? {
            return Err(ended());
        }
        Ok(User {
            session_epoch: epoch + 1,
            ..user
        })
    }
}

fn ended() -> Status {
    Status::aborted("the session has ended")
}
