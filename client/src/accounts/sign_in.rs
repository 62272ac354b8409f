//! Registration, sign-in and sessions of accounts.

use std::sync::Arc;

use chassis::{deadline::Deadline, per_item};
use minitwit_proto::user::v1::{
    ChangePasswordsRequest, EndSessionsRequest, NewUser, PasswordChange, PasswordCheck,
    RegisterUsersRequest, SessionEnd, VerifyPasswordsRequest,
};
use tonic::Status;
use uuid::Uuid;

use super::{Account, Accounts};
use crate::outcome::{ItemResult as _, incomplete, single};

/// Successful check of a password.
#[derive(Clone, Debug)]
pub struct SignIn {
    /// Account that the password belongs to.
    pub account: Arc<Account>,
    /// Whether the password was a one-time password, which this check has used up.
    pub one_time_password: bool,
}

impl Accounts {
    /// Registers an account. Its id is the key of the write.
    pub async fn register(&self, new: NewUser, deadline: Deadline) -> Result<Arc<Account>, Status> {
        let request = deadline.request(RegisterUsersRequest { users: vec![new] });
        let response = self.client.clone().register_users(request).await?;
        self.cache.insert(single(response.into_inner().results)?)
    }

    /// Checks a name and a password. The user service counts the failed checks.
    pub async fn verify(&self, check: PasswordCheck, deadline: Deadline) -> Result<SignIn, Status> {
        let request = deadline.request(VerifyPasswordsRequest {
            checks: vec![check],
        });
        let response = self.client.clone().verify_passwords(request).await?;
        let result = response.into_inner().results.into_iter().next();
        let result = result.ok_or_else(incomplete)?;
        let one_time_password = result.one_time_password;
        Ok(SignIn {
            account: self.cache.insert(result.into_result()?)?,
            one_time_password,
        })
    }

    /// Changes a password and ends all sessions of the account.
    pub async fn change_password(
        &self,
        change: PasswordChange,
        deadline: Deadline,
    ) -> Result<Arc<Account>, Status> {
        let request = deadline.request(ChangePasswordsRequest {
            changes: vec![change],
        });
        let response = self.client.clone().change_passwords(request).await?;
        self.cache.insert(single(response.into_inner().results)?)
    }

    /// Ends all sessions of an account, on behalf of a session of `session_epoch`.
    pub async fn end_sessions(
        &self,
        account: Uuid,
        session_epoch: i64,
        deadline: Deadline,
    ) -> Result<Arc<Account>, Status> {
        let end = SessionEnd {
            account_id: per_item::encode_id(account),
            session_epoch,
        };
        let request = deadline.request(EndSessionsRequest { ends: vec![end] });
        let response = self.client.clone().end_sessions(request).await?;
        self.cache.insert(single(response.into_inner().results)?)
    }
}
