//! Accounts that are deleted: forgotten here, and what they wrote deleted where it is kept.
//!
//! A deletion is durable in the user service before anything else is done. Services never call one
//! another, so it is the gateways that carry it on: each looks once a second for what was deleted,
//! and whichever is handed a pending deletion asks the other services to delete, as often as it
//! takes. Whoever dies or finds a service away in the middle leaves it to the next one.

use std::{sync::Arc, time::Duration};

use chassis::{deadline::Deadline, per_item, pool::Pool};
use minitwit_proto::{
    follower::v1::{
        DeleteFollowsRequest, operator_service_client::OperatorServiceClient as FollowerOperators,
    },
    message::v1::{
        DeleteMessagesRequest, operator_service_client::OperatorServiceClient as MessageOperators,
    },
    user::v1::{
        ConcludeDeletionsRequest, DeleteUsersRequest, DeletionLease, LeaseDeletionsRequest,
        ListDeletionsRequest, PasswordCheck, UserDeletion, delete_user_result::Outcome,
        operator_service_client::OperatorServiceClient as UserOperators,
    },
};
use tokio::task::JoinSet;
use tonic::{Code, Status};
use uuid::Uuid;

use super::{
    Pools,
    accounts::{Accounts, incomplete},
};

/// How often each gateway looks for what was deleted.
const INTERVAL: Duration = Duration::from_secs(1);

/// How long a deletion stays in one hand.
const LEASE_MILLIS: u32 = 5_000;

/// How long carrying one on may take: within the lease.
const PATIENCE: Duration = Duration::from_secs(4);

/// How many deletions are carried on at once.
const AT_ONCE: u32 = 10;

/// How long one rpc may take: each deletes only so much.
const RPC_BUDGET: Duration = Duration::from_secs(2);

/// Deletes accounts, and what they wrote.
#[derive(Clone, Debug)]
pub struct Deletion {
    user: UserOperators<Pool>,
    follower: FollowerOperators<Pool>,
    message: MessageOperators<Pool>,
}

impl Deletion {
    /// One that asks these services.
    pub fn new(pools: &Pools) -> Self {
        Self {
            user: UserOperators::new(pools.user.clone()),
            follower: FollowerOperators::new(pools.follower.clone()),
            message: MessageOperators::new(pools.message.clone()),
        }
    }

    /// Deletes an account. From then on there is nobody of that name; what it wrote is in the hand of
    /// the caller for a while, who should go on with [`Deletion::carry_out`].
    ///
    /// # Errors
    ///
    /// `NotFound`: there is no such account; what the check of the password says.
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
        let response = self.user.clone().delete_users(request).await?.into_inner();
        match per_item::only(response.results, |result| result.outcome) {
            Some(Outcome::Applied(_)) => Ok(DeletionLease {
                account_id: per_item::encode_id(account),
                // At once, so within the time of grace: it is looked for once more.
                leased_millis: 0,
            }),
            Some(Outcome::Error(error)) => Err(per_item::status(error)),
            None => Err(incomplete()),
        }
    }

    /// Deletes what a deleted account wrote, and says so to the user service.
    ///
    /// # Errors
    ///
    /// A service is away, or the time was too short: the deletion stays pending, and what is left is
    /// deleted by whoever is handed it next.
    pub async fn carry_out(&self, lease: &DeletionLease, deadline: Deadline) -> Result<(), Status> {
        let id = &lease.account_id;
        let messages = async {
            loop {
                let request = deadline.at_most(RPC_BUDGET).request(DeleteMessagesRequest {
                    author_ids: vec![id.clone()],
                });
                let answer = self.message.clone().delete_messages(request).await?;
                if !answer.into_inner().more {
                    return Ok::<_, Status>(());
                }
            }
        };
        let follows = async {
            loop {
                let request = deadline.at_most(RPC_BUDGET).request(DeleteFollowsRequest {
                    account_ids: vec![id.clone()],
                });
                let answer = self.follower.clone().delete_follows(request).await?;
                if !answer.into_inner().more {
                    return Ok::<_, Status>(());
                }
            }
        };
        // Each as far as it comes: one service that is away does not keep the other's.
        let (messages, follows) = tokio::join!(messages, follows);
        messages.and(follows)?;
        let request = deadline.request(ConcludeDeletionsRequest {
            leases: vec![lease.clone()],
        });
        self.user.clone().conclude_deletions(request).await?;
        Ok(())
    }

    async fn lease(&self) -> Result<Vec<DeletionLease>, Status> {
        let request = Deadline::after(RPC_BUDGET).request(LeaseDeletionsRequest {
            limit: AT_ONCE,
            lease_millis: LEASE_MILLIS,
        });
        let answer = self.user.clone().lease_deletions(request).await?;
        Ok(answer.into_inner().leases)
    }

    /// Takes what is pending into its hand, and goes on with it.
    async fn carry_on(&self) {
        let leases = match self.lease().await {
            Ok(leases) => leases,
            Err(status) => {
                tracing::debug!(code = ?status.code(), "deletions are not handed out");
                return;
            }
        };
        let deadline = Deadline::after(PATIENCE);
        for lease in leases {
            match self.carry_out(&lease, deadline).await {
                Ok(()) => tracing::info!("what a deleted account wrote is gone"),
                Err(status) => tracing::warn!(
                    code = ?status.code(), message = status.message(),
                    "what a deleted account wrote is deleted later"
                ),
            }
        }
    }
}

/// The deletions as one gateway sees them.
pub(crate) struct Deletions {
    deletion: Deletion,
    accounts: Accounts,
}

impl Deletions {
    /// Begins to look for what is deleted, for as long as this lives.
    pub(super) fn new(pools: &Pools, accounts: Accounts) -> Arc<Self> {
        let deletions = Arc::new(Self {
            deletion: Deletion::new(pools),
            accounts,
        });
        let weak = Arc::downgrade(&deletions);
        tokio::spawn(async move {
            let mut since = 0;
            // Beside the looking, which goes on though a deletion cannot be finished.
            let mut carrying_on = JoinSet::new();
            while let Some(deletions) = weak.upgrade() {
                let pending = deletions.look(&mut since).await;
                while carrying_on.try_join_next().is_some() {}
                if pending && carrying_on.is_empty() {
                    let deletion = deletions.deletion.clone();
                    carrying_on.spawn(async move { deletion.carry_on().await });
                }
                drop(deletions);
                tokio::time::sleep(INTERVAL).await;
            }
        });
        deletions
    }

    /// Deletes somebody's own account; what it wrote goes before the answer, if there is time.
    pub(crate) async fn delete(
        &self,
        account: Uuid,
        check: PasswordCheck,
        deadline: Deadline,
    ) -> Result<(), Status> {
        let username = check.username.clone();
        let lease = self.deletion.delete(account, Some(check), deadline).await?;
        self.accounts.forget(account, &username);
        if let Err(status) = self
            .deletion
            .carry_out(&lease, deadline.at_most(RPC_BUDGET))
            .await
        {
            tracing::warn!(
                code = ?status.code(), message = status.message(),
                "what a deleted account wrote is deleted later"
            );
        }
        Ok(())
    }

    /// Forgets who was deleted, and tells whether a deletion is pending.
    async fn look(&self, since: &mut i64) -> bool {
        let request = Deadline::after(RPC_BUDGET).request(ListDeletionsRequest {
            since_millis: *since,
        });
        let answer = match self.deletion.user.clone().list_deletions(request).await {
            Ok(answer) => answer.into_inner(),
            // The service is of an older version, which deletes nobody.
            Err(status) if status.code() == Code::Unimplemented => return false,
            Err(status) => {
                tracing::debug!(code = ?status.code(), "deletions cannot be asked for");
                return false;
            }
        };
        *since = answer.now_millis;
        if answer.truncated {
            self.accounts.forget_all();
        }
        for deleted in answer.deleted {
            if let Ok(id) = per_item::id("account_id", &deleted.account_id) {
                self.accounts.forget(id, &deleted.username);
            }
        }
        answer.pending
    }
}
