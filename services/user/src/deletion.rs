//! The gRPC service of deletions.
//!
//! A deletion is durable when `DeleteUsers` returns. Then the account can no longer be found. Other services own
//! the account's messages and follow relations, and this service never calls them. So the deletion stays
//! pending. A gateway leases it, deletes that data, and concludes the deletion.

use std::sync::Arc;

use chassis::{deadline::Deadline, per_item};
use minitwit_proto::{
    common::v1::Applied,
    limits::{DELETED_USERS_MAX, DELETION_LEASE_MILLIS_MAX},
    user::v1::{self as proto, deletion_service_server::DeletionService},
};
use tonic::{Request, Response, Status};
use uuid::Uuid;

use crate::{
    batches::now_millis,
    deletion::store::{DeletedUser, DeletionStore, Lease},
    service::{self, Users, concurrently, no_such_user},
    sign_in::{Authenticator, Check, Purpose},
    store::UserStore,
    throttle::AttemptStore,
};

pub mod store;

/// The `DeletionService` over its stores.
pub struct Deletions<S: UserStore, A: AttemptStore, D: DeletionStore> {
    authenticator: Arc<Authenticator<S, A>>,
    store: D,
}

impl<S: UserStore, A: AttemptStore, D: DeletionStore> Deletions<S, A, D> {
    /// Creates the service over `store`. It checks passwords with the authenticator of `users`.
    pub fn new(users: &Users<S, A>, store: D) -> Self {
        Self {
            authenticator: users.authenticator(),
            store,
        }
    }

    async fn delete(
        &self,
        id: Uuid,
        check: Option<Check>,
        lease_millis: u32,
        deadline: Deadline,
    ) -> Result<(), Status> {
        if let Some(check) = check {
            // An earlier attempt of the same request may have deleted the account. If so, it succeeds again.
            if self.store.is_deleted(id).await? {
                return Ok(());
            }
            let verified = self
                .authenticator
                .check(check, Purpose::OwnAccount, deadline);
            if verified.await?.user.id != id {
                return Err(Status::invalid_argument("the name is another account's"));
            }
        }
        let now = now_millis();
        let lease_until = now + i64::from(lease_millis);
        if !self.store.delete(id, now, lease_until).await? {
            return Err(no_such_user());
        }
        Ok(())
    }
}

#[tonic::async_trait]
impl<S: UserStore, A: AttemptStore, D: DeletionStore> DeletionService for Deletions<S, A, D> {
    async fn delete_users(
        &self,
        request: Request<proto::DeleteUsersRequest>,
    ) -> Result<Response<proto::DeleteUsersResponse>, Status> {
        let deadline = Deadline::of(&request);
        let deletions = request.into_inner().deletions.into_iter().map(|deletion| {
            let check = deletion.check.map(service::check).transpose()?;
            Ok((
                per_item::id("account_id", &deletion.account_id)?,
                check,
                deletion.lease_millis.min(DELETION_LEASE_MILLIS_MAX),
            ))
        });
        let deleted = concurrently(deletions, |(id, check, lease_millis)| {
            self.delete(id, check, lease_millis, deadline)
        });
        Ok(Response::new(proto::DeleteUsersResponse {
            results: per_item::results(deleted.await, |()| Applied {}),
        }))
    }

    async fn list_deletions(
        &self,
        request: Request<proto::ListDeletionsRequest>,
    ) -> Result<Response<proto::ListDeletionsResponse>, Status> {
        let now_millis = now_millis();
        let since = match request.get_ref().since_millis {
            0 => now_millis,
            since => since,
        };
        let (deleted, pending) = tokio::try_join!(
            self.store.deleted_since(since),
            self.store.pending(now_millis)
        )?;
        Ok(Response::new(proto::ListDeletionsResponse {
            truncated: deleted.len() >= DELETED_USERS_MAX,
            deleted: deleted.into_iter().map(deleted_user_to_wire).collect(),
            now_millis,
            pending: !pending.is_empty(),
        }))
    }

    async fn lease_deletions(
        &self,
        request: Request<proto::LeaseDeletionsRequest>,
    ) -> Result<Response<proto::LeaseDeletionsResponse>, Status> {
        let request = request.into_inner();
        let now = now_millis();
        let until = now + i64::from(request.lease_millis.min(DELETION_LEASE_MILLIS_MAX));
        let mut ids = self.store.pending(now).await?;
        ids.truncate(usize::try_from(request.limit).unwrap_or(usize::MAX));
        let leases = if ids.is_empty() {
            Vec::new()
        } else {
            self.store.lease(ids, now, until).await?
        };
        Ok(Response::new(proto::LeaseDeletionsResponse {
            leases: leases.into_iter().map(lease_to_wire).collect(),
        }))
    }

    async fn conclude_deletions(
        &self,
        request: Request<proto::ConcludeDeletionsRequest>,
    ) -> Result<Response<proto::ConcludeDeletionsResponse>, Status> {
        let leases = request.into_inner().leases;
        let leases = leases.iter().map(lease).collect::<Result<Vec<_>, _>>()?;
        if !leases.is_empty() {
            self.store.conclude(&leases).await?;
        }
        Ok(Response::new(proto::ConcludeDeletionsResponse {}))
    }
}

fn lease(lease: &proto::DeletionLease) -> Result<Lease, Status> {
    Ok(Lease {
        account_id: per_item::id("account_id", &lease.account_id)?,
        leased_millis: lease.leased_millis,
    })
}

fn lease_to_wire(lease: Lease) -> proto::DeletionLease {
    proto::DeletionLease {
        account_id: per_item::encode_id(lease.account_id),
        leased_millis: lease.leased_millis,
    }
}

fn deleted_user_to_wire(deleted: DeletedUser) -> proto::DeletedUser {
    proto::DeletedUser {
        account_id: per_item::encode_id(deleted.id),
        username: deleted.username,
    }
}
