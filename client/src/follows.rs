//! Writes of follow relations.

use std::sync::Arc;

use chassis::{
    batch::{BatchHandler, Batcher},
    deadline::Deadline,
    per_item::{self, WriteOutcome},
    pool::Pool,
    stamp::Clock,
};
use minitwit_proto::follower::v1::{
    FollowUpdate, SetFollowsRequest, follower_service_client::FollowerServiceClient,
};
use tonic::Status;
use uuid::Uuid;

use crate::{batching::batcher, outcome::each, stamped::retry_superseded};

/// State of the follow relation of two accounts.
#[derive(Clone, Copy, Debug)]
pub struct Edge {
    /// Account that follows.
    pub follower: Uuid,
    /// Account that is followed.
    pub followee: Uuid,
    /// Whether the first account follows the second.
    pub following: bool,
}

/// Writes follow relations to the follower service.
pub struct FollowWrites {
    writes: Batcher<SetFollows>,
    clock: Arc<Clock>,
}

impl FollowWrites {
    /// Writes follow relations by `client`.
    pub fn new(client: FollowerServiceClient<Pool>, clock: Arc<Clock>) -> Self {
        Self {
            writes: batcher("gateway.set_follows", SetFollows { client }),
            clock,
        }
    }

    /// Sets a follow relation, under the key of the request.
    pub async fn set(&self, edge: Edge, key: Uuid, deadline: Deadline) -> Result<(), Status> {
        retry_superseded(&self.clock, key, |stamp| {
            self.writes.call((edge, stamp), deadline)
        })
        .await
    }
}

struct SetFollows {
    client: FollowerServiceClient<Pool>,
}

impl BatchHandler for SetFollows {
    type Item = (Edge, Uuid);
    type Output = WriteOutcome;

    async fn run(
        &self,
        writes: Vec<(Edge, Uuid)>,
        deadline: Deadline,
    ) -> Result<Vec<Result<WriteOutcome, Status>>, Status> {
        let updates = writes.into_iter().map(|(edge, stamp)| FollowUpdate {
            follower_id: per_item::encode_id(edge.follower),
            followee_id: per_item::encode_id(edge.followee),
            following: edge.following,
            stamp: per_item::encode_id(stamp),
        });
        let request = deadline.request(SetFollowsRequest {
            updates: updates.collect(),
        });
        let response = self.client.clone().set_follows(request).await?;
        Ok(each(response.into_inner().results))
    }
}
