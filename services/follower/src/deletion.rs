//! The gRPC service that deletes the edges of deleted accounts.

use chassis::per_item;
use minitwit_proto::follower::v1::{self as proto, deletion_service_server::DeletionService};
use tonic::{Request, Response, Status};
use uuid::Uuid;

use crate::deletion::store::DeletionStore;

pub mod store;

/// The `DeletionService` over a store.
pub struct Deletions<D: DeletionStore> {
    store: D,
}

impl<D: DeletionStore> Deletions<D> {
    /// Creates the service over `store`.
    pub fn new(store: D) -> Self {
        Self { store }
    }
}

#[tonic::async_trait]
impl<D: DeletionStore> DeletionService for Deletions<D> {
    async fn delete_follows(
        &self,
        request: Request<proto::DeleteFollowsRequest>,
    ) -> Result<Response<proto::DeleteFollowsResponse>, Status> {
        let ids = request.into_inner().account_ids;
        let accounts: Vec<Uuid> = per_item::each_id("account_id", &ids)?;
        if accounts.is_empty() {
            return Ok(Response::new(proto::DeleteFollowsResponse::default()));
        }
        let more = self.store.delete(accounts).await?;
        Ok(Response::new(proto::DeleteFollowsResponse { more }))
    }
}
