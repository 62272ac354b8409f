//! Periodic poll of the deletions of all gateways.

use std::time::Duration;

use chassis::{deadline::Deadline, per_item};
use minitwit_proto::user::v1::PasswordCheck;
use tokio::task::JoinSet;
use tonic::{Code, Status};
use uuid::Uuid;

use super::{Deletion, RPC_TIMEOUT};
use crate::{Pools, accounts::Accounts};

/// Interval between two polls.
const POLL_INTERVAL: Duration = Duration::from_secs(1);

/// Deletes accounts, removes deleted accounts from the cache, and resumes pending deletions.
#[derive(Clone)]
pub struct DeletionWatch {
    deletion: Deletion,
    accounts: Accounts,
}

impl DeletionWatch {
    /// A watch that evicts deleted accounts from `accounts`. [`run`](Self::run) starts the polling.
    pub fn new(pools: &Pools, accounts: Accounts) -> Self {
        Self {
            deletion: Deletion::new(pools),
            accounts,
        }
    }

    /// Polls the deletions until the future is dropped. A drop stops an execution at once, and its
    /// deletion stays pending.
    pub async fn run(&self) {
        let mut since_millis = 0;
        // An execution can take longer than the interval, and must not delay the polls.
        let mut executions = JoinSet::new();
        loop {
            let pending = self.poll(&mut since_millis).await;
            while executions.try_join_next().is_some() {}
            if pending && executions.is_empty() {
                let deletion = self.deletion.clone();
                executions.spawn(async move { deletion.resume_pending().await });
            }
            tokio::time::sleep(POLL_INTERVAL).await;
        }
    }

    /// Deletes an account on behalf of its owner. Also deletes its data if the time suffices.
    /// Otherwise a later poll resumes the deletion.
    ///
    /// # Errors
    ///
    /// `NotFound` if there is no such account. The status of the password check.
    pub async fn delete(
        &self,
        account: Uuid,
        check: PasswordCheck,
        deadline: Deadline,
    ) -> Result<(), Status> {
        let username = check.username.clone();
        let lease = self.deletion.delete(account, Some(check), deadline).await?;
        self.accounts.evict(account, &username);
        self.deletion
            .execute_logged(&lease, deadline.at_most(RPC_TIMEOUT))
            .await;
        Ok(())
    }

    /// Evicts the accounts that were deleted since the last poll. Returns whether a deletion is pending.
    async fn poll(&self, since_millis: &mut i64) -> bool {
        let deletions = match self.deletion.list(*since_millis).await {
            Ok(deletions) => deletions,
            // A user service of an older version deletes no accounts.
            Err(status) if status.code() == Code::Unimplemented => return false,
            Err(status) => {
                tracing::debug!(code = ?status.code(), "cannot list deletions");
                return false;
            }
        };
        *since_millis = deletions.now_millis;
        if deletions.truncated {
            self.accounts.evict_all();
        }
        for deleted in deletions.deleted {
            if let Ok(id) = per_item::id("account_id", &deleted.account_id) {
                self.accounts.evict(id, &deleted.username);
            }
        }
        deletions.pending
    }
}
