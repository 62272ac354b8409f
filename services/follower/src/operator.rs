//! The gRPC service of operators for import and export.

use std::sync::Arc;

use chassis::{
    batch::{Batcher, Flattened, Limits},
    deadline::Deadline,
    per_item::{self, answer_each},
};
use minitwit_proto::{
    common::v1::Applied,
    follower::v1::{
        self as proto, deletion_service_server::DeletionService,
        operator_service_server::OperatorService,
    },
    limits::{EXPORT_ITEMS_MAX, IMPORT_ITEMS_MAX},
};
use tonic::{Request, Response, Status};
use uuid::Uuid;

use crate::{
    deletion::{Deletions, store::DeletionStore},
    operator::{batches::Import, store::OperatorStore},
    service,
    store::Direction,
};

mod batches;
pub mod store;

/// The `OperatorService` over a store.
pub struct Operators<S: OperatorStore, D: DeletionStore> {
    import: Batcher<Flattened<Import<S>>>,
    store: Arc<S>,
    deletions: Arc<Deletions<D>>,
}

impl<S: OperatorStore, D: DeletionStore> Operators<S, D> {
    /// Creates the service over `store`. Its rpcs of deletions are those of `deletions`.
    pub fn new(store: S, deletions: Arc<Deletions<D>>) -> Self {
        let store = Arc::new(store);
        let import = Flattened(Import(Arc::clone(&store)));
        Self {
            import: Batcher::new("follower.import", Limits::BULK, import),
            store,
            deletions,
        }
    }
}

#[tonic::async_trait]
impl<S: OperatorStore, D: DeletionStore> OperatorService for Operators<S, D> {
    async fn import_follows(
        &self,
        request: Request<proto::ImportFollowsRequest>,
    ) -> Result<Response<proto::ImportFollowsResponse>, Status> {
        let deadline = Deadline::of(&request);
        let updates = request.into_inner().updates;
        per_item::check_length("edges are imported", &updates, IMPORT_ITEMS_MAX as usize)?;
        let updates = updates.iter().map(service::follow_update);
        let imported = answer_each(updates, async |valid| {
            self.import.call(valid, deadline).await
        })
        .await?;
        Ok(Response::new(proto::ImportFollowsResponse {
            results: per_item::results(imported, |stored_before| proto::ImportFollowResult {
                stored_before,
                ..Applied {}.into()
            }),
        }))
    }

    async fn export_follows(
        &self,
        request: Request<proto::ExportFollowsRequest>,
    ) -> Result<Response<proto::ExportFollowsResponse>, Status> {
        let request = request.into_inner();
        let direction = service::direction(request.direction())?;
        let account = per_item::id("account_id", &request.account_id)?;
        let after = per_item::id_or("after_id", &request.after_id, Uuid::nil())?;
        let after = per_item::id_or("page_token", &request.page_token, after)?;
        let edges = self.store.export(account, direction, after).await?;
        let last = edges.last().map(|last| match direction {
            Direction::Followees => last.edge.followee_id,
            Direction::Followers => last.edge.follower_id,
        });
        let next = last.filter(|_| edges.len() >= EXPORT_ITEMS_MAX);
        let edges = edges.into_iter().map(|update| proto::FollowUpdate {
            follower_id: per_item::encode_id(update.edge.follower_id),
            followee_id: per_item::encode_id(update.edge.followee_id),
            following: update.following,
            stamp: per_item::encode_id(update.stamp),
        });
        Ok(Response::new(proto::ExportFollowsResponse {
            edges: edges.collect(),
            next_page_token: next.map(per_item::encode_id).unwrap_or_default(),
        }))
    }

    async fn delete_follows(
        &self,
        request: Request<proto::DeleteFollowsRequest>,
    ) -> Result<Response<proto::DeleteFollowsResponse>, Status> {
        self.deletions.delete_follows(request).await
    }
}
