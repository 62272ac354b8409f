//! Ending all sessions of an account, with or without a new password.
//!
//! Each request names the epoch that it ends. If that epoch has just ended, the request is a
//! repetition and succeeds. A request of an older session changes nothing.

use chassis::deadline::Deadline;
use secrecy::{ExposeSecret, SecretString};
use tonic::Status;
use uuid::Uuid;

use crate::{
    hasher::Priority,
    password::{PasswordHash, Verdict},
    sign_in::{Authenticator, Check, Purpose},
    store::{User, UserStore},
    throttle::AttemptStore,
};

/// A requested change of a password.
#[derive(Debug)]
pub(crate) struct PasswordChange {
    /// Name and old password of the account.
    pub(crate) check: Check,
    pub(crate) new: SecretString,
    /// Epoch of the session that sends the request.
    pub(crate) epoch: i64,
}

impl<S: UserStore, A: AttemptStore> Authenticator<S, A> {
    /// Changes a password and ends all sessions. A wrong old password counts as a failed sign-in.
    pub(crate) async fn change_password(
        &self,
        change: PasswordChange,
        deadline: Deadline,
    ) -> Result<User, Status> {
        let PasswordChange { check, new, epoch } = change;
        let found = self.find.call(check.username.clone(), deadline).await?;
        let credential = found.ok_or_else(|| Status::not_found("no such user"))?;
        if credential.user.session_epoch == epoch + 1 {
            // An earlier attempt of the same request may have changed the password. If the stored
            // password is already the new one, the request succeeds.
            let (stored, new) = (credential.pw_hash, new);
            let verify = move || stored.verify(new.expose_secret());
            let verdict = self.hasher.run(Priority::SignIn, deadline, verify).await?;
            return match verdict {
                Verdict::Right => Ok(credential.user),
                _ => Err(session_ended()),
            };
        }
        if credential.user.session_epoch != epoch {
            return Err(session_ended());
        }
        let checked = self.check(check, Purpose::OwnAccount, deadline).await?;
        let hash = move || PasswordHash::of(new.expose_secret());
        let hash = self.hasher.run(Priority::SignIn, deadline, hash).await?;
        self.advance_epoch(checked.user, epoch, Some(&hash)).await
    }

    /// Ends all sessions of an account.
    pub(crate) async fn end_sessions(&self, id: Uuid, epoch: i64) -> Result<User, Status> {
        let found = self.store.find_by_id(vec![id]).await?.pop().flatten();
        let user = found.ok_or_else(|| Status::not_found("no such user"))?;
        if user.session_epoch == epoch + 1 {
            return Ok(user);
        }
        self.advance_epoch(user, epoch, None).await
    }

    async fn advance_epoch(
        &self,
        user: User,
        epoch: i64,
        hash: Option<&PasswordHash>,
    ) -> Result<User, Status> {
        if !self.store.end_sessions(user.id, epoch, hash).await? {
            return Err(session_ended());
        }
        Ok(User {
            session_epoch: epoch + 1,
            ..user
        })
    }
}

fn session_ended() -> Status {
    Status::aborted("the session has ended")
}
