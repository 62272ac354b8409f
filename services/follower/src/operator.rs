//! The operator's hand: import, export, and what goes with an account.

use std::sync::Arc;

use chassis::{
    batch::{Batcher, Chunked, Limits},
    deadline::Deadline,
    item::{self, answer_each},
};
use minitwit_proto::{
    common::v1::Applied,
    follower::v1::{self as proto, import_follow_result, operator_service_server::OperatorService},
};
use tonic::{Request, Response, Status};
use uuid::Uuid;

use crate::{
    operator::{store::OperatorStore, work::Import},
    service,
};

pub mod store;
mod work;

/// The most items of one request of an import.
const IMPORT_ITEMS_MAX: usize = 5_000;

/// One statement at a time, and few that wait: whoever imports is to come later when the service has
/// other things to do.
const IMPORT: Limits = Limits {
    lanes: 1,
    batch_weight_max: 1_000,
    queue_max: 8,
};

/// The service over a store.
pub struct Operators<S: OperatorStore> {
    import: Batcher<Chunked<Import<S>>>,
    store: Arc<S>,
}

impl<S: OperatorStore> Operators<S> {
    /// The service over `store`.
    pub fn new(store: S) -> Self {
        let store = Arc::new(store);
        let import = Chunked(Import(Arc::clone(&store)));
        Self {
            import: Batcher::new("follower.import", IMPORT, import),
            store,
        }
    }
}

#[tonic::async_trait]
impl<S: OperatorStore> OperatorService for Operators<S> {
    async fn import_follows(
        &self,
        request: Request<proto::ImportFollowsRequest>,
    ) -> Result<Response<proto::ImportFollowsResponse>, Status> {
        use import_follow_result::Outcome;
        let deadline = Deadline::of(&request);
        let updates = request.into_inner().updates;
        if updates.len() > IMPORT_ITEMS_MAX {
            return Err(Status::invalid_argument(format!(
                "{} edges are imported, at most {IMPORT_ITEMS_MAX} can be at once",
                updates.len()
            )));
        }
        let updates = updates.iter().map(service::follow_update);
        let imported = answer_each(updates, async |valid| {
            self.import.call(valid, deadline).await
        })
        .await?;
        let results = imported.into_iter().map(|imported| match imported {
            Ok(stored_before) => proto::ImportFollowResult {
                outcome: Some(Outcome::Applied(Applied {})),
                stored_before,
            },
            Err(status) => proto::ImportFollowResult {
                outcome: Some(Outcome::Error(item::error(&status))),
                stored_before: false,
            },
        });
        Ok(Response::new(proto::ImportFollowsResponse {
            results: results.collect(),
        }))
    }

    async fn export_follows(
        &self,
        request: Request<proto::ExportFollowsRequest>,
    ) -> Result<Response<proto::ExportFollowsResponse>, Status> {
        let request = request.into_inner();
        let direction = service::direction(request.direction())?;
        let account = item::id("account_id", &request.account_id)?;
        let after = match request.after_id.as_ref() {
            [] => Uuid::nil(),
            id => item::id("after_id", id)?,
        };
        let edges = self.store.export(account, direction, after).await?;
        let edges = edges.into_iter().map(|update| proto::FollowUpdate {
            follower_id: update.edge.follower_id.as_bytes().to_vec().into(),
            followee_id: update.edge.followee_id.as_bytes().to_vec().into(),
            following: update.following,
            stamp: update.stamp.as_bytes().to_vec().into(),
        });
        Ok(Response::new(proto::ExportFollowsResponse {
            edges: edges.collect(),
        }))
    }

    async fn delete_follows(
        &self,
        request: Request<proto::DeleteFollowsRequest>,
    ) -> Result<Response<proto::DeleteFollowsResponse>, Status> {
        let ids = request.into_inner().account_ids;
        let accounts: Vec<Uuid> = ids
            .iter()
            .map(|id| item::id("account_id", id))
            .collect::<Result<_, _>>()?;
        if accounts.is_empty() {
            return Ok(Response::new(proto::DeleteFollowsResponse::default()));
        }
        let more = self.store.delete(accounts).await?;
        Ok(Response::new(proto::DeleteFollowsResponse { more }))
    }
}
