//! Deletion of accounts across the three services.
//!
//! A deletion is first stored by the user service. The services do not call each other, so their callers
//! delete the account's messages and follows. A caller that holds the lease of a pending deletion
//! executes it. If the caller stops, or a service is unavailable, the lease expires and the next caller
//! leases the deletion.

use std::time::Duration;

use chassis::{deadline::Deadline, per_item, pool::Pool};
use minitwit_proto::{
    follower::v1::{
        DeleteFollowsRequest, deletion_service_client::DeletionServiceClient as FollowerDeletions,
    },
    message::v1::{
        DeleteMessagesRequest, deletion_service_client::DeletionServiceClient as MessageDeletions,
    },
    user::v1::{
        ConcludeDeletionsRequest, DeleteUsersRequest, DeletionLease, LeaseDeletionsRequest,
        ListDeletionsRequest, ListDeletionsResponse, PasswordCheck, UserDeletion,
        deletion_service_client::DeletionServiceClient as UserDeletions,
    },
};
use tonic::Status;
use uuid::Uuid;

use crate::{Pools, outcome::single};

mod watch;

pub use watch::DeletionWatch;

/// Duration of a lease, in milliseconds.
const LEASE_MILLIS: u32 = 5_000;

/// Timeout of the execution of all leased deletions, shorter than a lease.
const EXECUTION_TIMEOUT: Duration = Duration::from_secs(4);

/// Maximum number of deletions that one call leases.
const LEASED_DELETIONS_MAX: u32 = 10;

/// Timeout of one rpc. Each rpc deletes a limited number of rows.
const RPC_TIMEOUT: Duration = Duration::from_secs(2);

/// Deletes accounts and their data.
#[derive(Clone, Debug)]
pub struct Deletion {
    user: UserDeletions<Pool>,
    follower: FollowerDeletions<Pool>,
    message: MessageDeletions<Pool>,
}

impl Deletion {
    /// A deletion that calls the services behind `pools`.
    pub fn new(pools: &Pools) -> Self {
        Self {
            user: UserDeletions::new(pools.user.clone()),
            follower: FollowerDeletions::new(pools.follower.clone()),
            message: MessageDeletions::new(pools.message.clone()),
        }
    }

    /// Deletes an account at the user service and returns the lease of the deletion of its data. The
    /// caller continues with [`execute`](Self::execute).
    ///
    /// # Errors
    ///
    /// `NotFound` if there is no such account. The status of the password check.
    pub async fn delete(
        &self,
        account: Uuid,
        check: Option<PasswordCheck>,
        deadline: Deadline,
    ) -> Result<DeletionLease, Status> {
        let deletion = UserDeletion {
            account_id: per_item::encode_id(account),
            check,
            lease_millis: LEASE_MILLIS,
        };
        let request = deadline.request(DeleteUsersRequest {
            deletions: vec![deletion],
        });
        let response = self.user.clone().delete_users(request).await?;
        single(response.into_inner().results)?;
        Ok(DeletionLease {
            account_id: per_item::encode_id(account),
            // The user service stored the deletion a moment ago. With zero, it leases the deletion once
            // more, in case that a write of the account was still in flight.
            leased_millis: 0,
        })
    }

    /// Deletes the messages and follows of a deleted account, and concludes the deletion at the user
    /// service.
    ///
    /// # Errors
    ///
    /// A service is unavailable, or the deadline has passed. The deletion stays pending.
    pub async fn execute(&self, lease: &DeletionLease, deadline: Deadline) -> Result<(), Status> {
        let id = &lease.account_id;
        let messages = async {
            loop {
                let request = deadline
                    .at_most(RPC_TIMEOUT)
                    .request(DeleteMessagesRequest {
                        author_ids: vec![id.clone()],
                    });
                let response = self.message.clone().delete_messages(request).await?;
                if !response.into_inner().more {
                    return Ok::<_, Status>(());
                }
            }
        };
        let follows = async {
            loop {
                let request = deadline.at_most(RPC_TIMEOUT).request(DeleteFollowsRequest {
                    account_ids: vec![id.clone()],
                });
                let response = self.follower.clone().delete_follows(request).await?;
                if !response.into_inner().more {
                    return Ok::<_, Status>(());
                }
            }
        };
        // An unavailable service does not prevent the deletion at the other service.
        let (messages, follows) = tokio::join!(messages, follows);
        messages.and(follows)?;
        let request = deadline.request(ConcludeDeletionsRequest {
            leases: vec![lease.clone()],
        });
        self.user.clone().conclude_deletions(request).await?;
        Ok(())
    }

    /// Executes a deletion, and logs the result.
    async fn execute_logged(&self, lease: &DeletionLease, deadline: Deadline) {
        match self.execute(lease, deadline).await {
            Ok(()) => tracing::info!("account data deleted"),
            Err(status) => tracing::warn!(
                code = ?status.code(), message = status.message(),
                "cannot delete account data: the deletion stays pending"
            ),
        }
    }

    async fn lease(&self) -> Result<Vec<DeletionLease>, Status> {
        let request = Deadline::after(RPC_TIMEOUT).request(LeaseDeletionsRequest {
            limit: LEASED_DELETIONS_MAX,
            lease_millis: LEASE_MILLIS,
        });
        let response = self.user.clone().lease_deletions(request).await?;
        Ok(response.into_inner().leases)
    }

    async fn list(&self, since_millis: i64) -> Result<ListDeletionsResponse, Status> {
        let request = Deadline::after(RPC_TIMEOUT).request(ListDeletionsRequest { since_millis });
        let response = self.user.clone().list_deletions(request).await?;
        Ok(response.into_inner())
    }

    /// Leases pending deletions and executes them.
    async fn resume_pending(&self) {
        let leases = match self.lease().await {
            Ok(leases) => leases,
            Err(status) => {
                tracing::debug!(code = ?status.code(), "cannot lease deletions");
                return;
            }
        };
        let deadline = Deadline::after(EXECUTION_TIMEOUT);
        for lease in leases {
            self.execute_logged(&lease, deadline).await;
        }
    }
}
