//! The gRPC service that deletes the messages of deleted accounts.

use chassis::per_item;
use minitwit_proto::message::v1::{self as proto, deletion_service_server::DeletionService};
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
    async fn delete_messages(
        &self,
        request: Request<proto::DeleteMessagesRequest>,
    ) -> Result<Response<proto::DeleteMessagesResponse>, Status> {
        let ids = request.into_inner().author_ids;
        let authors: Vec<Uuid> = per_item::each_id("author_id", &ids)?;
        if authors.is_empty() {
            return Ok(Response::new(proto::DeleteMessagesResponse::default()));
        }
        let more = self.store.delete(authors).await?;
        Ok(Response::new(proto::DeleteMessagesResponse { more }))
    }
}
