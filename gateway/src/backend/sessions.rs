//! Ending every session of an account, with a new password or without.

use std::sync::Arc;

use chassis::{deadline::Deadline, per_item};
use minitwit_proto::user::v1::{
    ChangePasswordsRequest, EndSessionsRequest, PasswordChange, SessionEnd, change_password_result,
    end_sessions_result,
};
use tonic::Status;
use uuid::Uuid;

use super::accounts::{Account, Accounts, incomplete};

impl Accounts {
    /// Changes a password; every session of the account ends.
    pub(crate) async fn change_password(
        &self,
        change: PasswordChange,
        deadline: Deadline,
    ) -> Result<Arc<Account>, Status> {
        use change_password_result::Outcome;
        let request = deadline.request(ChangePasswordsRequest {
            changes: vec![change],
        });
        let response = self.client().change_passwords(request).await?.into_inner();
        match per_item::only(response.results, |result| result.outcome) {
            Some(Outcome::User(user)) => self.remembered(user),
            Some(Outcome::Error(error)) => Err(per_item::status(error)),
            None => Err(incomplete()),
        }
    }

    /// Ends every session of an account, asked for by one of the epoch that is to end.
    pub(crate) async fn end_sessions(
        &self,
        account: Uuid,
        session_epoch: i64,
        deadline: Deadline,
    ) -> Result<Arc<Account>, Status> {
        use end_sessions_result::Outcome;
        let end = SessionEnd {
            account_id: per_item::encode_id(account),
            session_epoch,
        };
        let request = deadline.request(EndSessionsRequest { ends: vec![end] });
        let response = self.client().end_sessions(request).await?.into_inner();
        match per_item::only(response.results, |result| result.outcome) {
            Some(Outcome::User(user)) => self.remembered(user),
            Some(Outcome::Error(error)) => Err(per_item::status(error)),
            None => Err(incomplete()),
        }
    }
}
