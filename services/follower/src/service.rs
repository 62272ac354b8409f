//! The gRPC service of follow relations. It validates requests, batches them and converts the results.

use std::sync::Arc;

use chassis::{
    batch::{BatchHandler, Batcher, Flattened, Limits},
    deadline::Deadline,
    per_item::{self, answer_each},
    skew::SkewWatch,
};
use minitwit_proto::{
    common::v1::{Applied, Superseded, Unchanged},
    follower::v1::{
        self as proto, follower_service_server::FollowerService,
        list_follows_result::Outcome as ListOutcome,
    },
    limits::FOLLOW_LIST_IDS_MAX,
};
use tonic::{Request, Response, Status};
use uuid::Uuid;

use crate::{
    batches::{Check, Count, List, Set},
    store::{
        ConditionalQuery, Direction, Edge, FollowCounts, FollowList, FollowUpdate, FollowerStore,
        FollowsQuery,
    },
};

/// Limits of each kind of call. With two workers, one kind cannot use all connections to the database.
const LIMITS: Limits = Limits {
    workers: 2,
    batch_weight_max: 256,
    queue_max: 1024,
};

/// The `FollowerService` over a store.
pub struct Follows<S: FollowerStore> {
    set: Batcher<Flattened<Set<S>>>,
    list: Batcher<Flattened<List<S>>>,
    check: Batcher<Flattened<Check<S>>>,
    count: Batcher<Flattened<Count<S>>>,
    skew: SkewWatch,
}

impl<S: FollowerStore> Follows<S> {
    /// Creates the service over `store`.
    pub fn new(store: S) -> Self {
        let store = Arc::new(store);
        Self {
            set: batcher("follower.set", Set(Arc::clone(&store))),
            list: batcher("follower.list", List(Arc::clone(&store))),
            check: batcher("follower.check", Check(Arc::clone(&store))),
            count: batcher("follower.count", Count(store)),
            skew: SkewWatch::new("follow"),
        }
    }
}

fn batcher<H: BatchHandler>(name: &'static str, handler: H) -> Batcher<Flattened<H>> {
    Batcher::new(name, LIMITS, Flattened(handler))
}

#[tonic::async_trait]
impl<S: FollowerStore> FollowerService for Follows<S> {
    async fn set_follows(
        &self,
        request: Request<proto::SetFollowsRequest>,
    ) -> Result<Response<proto::SetFollowsResponse>, Status> {
        let deadline = Deadline::of(&request);
        let updates = request.into_inner().updates;
        let updates = updates.iter().map(follow_update);
        let outcomes = answer_each(updates, async |valid| {
            for update in &valid {
                self.skew.check(update.stamp);
            }
            self.set.call(valid, deadline).await
        })
        .await?;
        Ok(Response::new(proto::SetFollowsResponse {
            results: per_item::results(outcomes, Result::<Applied, Superseded>::from),
        }))
    }

    async fn list_follows(
        &self,
        request: Request<proto::ListFollowsRequest>,
    ) -> Result<Response<proto::ListFollowsResponse>, Status> {
        let deadline = Deadline::of(&request);
        let queries = request.into_inner().queries;
        let queries = queries.iter().map(conditional_query);
        let lists =
            answer_each(queries, async |valid| self.list.call(valid, deadline).await).await?;
        Ok(Response::new(proto::ListFollowsResponse {
            results: per_item::results(lists, |list| match list {
                Some(list) => ListOutcome::List(list_to_wire(&list)),
                None => ListOutcome::Unchanged(Unchanged {}),
            }),
        }))
    }

    async fn check_follows(
        &self,
        request: Request<proto::CheckFollowsRequest>,
    ) -> Result<Response<proto::CheckFollowsResponse>, Status> {
        let deadline = Deadline::of(&request);
        let checks = request.into_inner().checks;
        let edges = checks
            .iter()
            .map(|check| edge(&check.follower_id, &check.followee_id))
            .collect::<Result<_, _>>()?;
        let following = self.check.call(edges, deadline).await?;
        let following = following.into_iter().collect::<Result<_, _>>()?;
        Ok(Response::new(proto::CheckFollowsResponse { following }))
    }

    async fn count_follows(
        &self,
        request: Request<proto::CountFollowsRequest>,
    ) -> Result<Response<proto::CountFollowsResponse>, Status> {
        let deadline = Deadline::of(&request);
        let ids = request.into_inner().account_ids;
        let ids: Vec<Uuid> = per_item::each_id("account_id", &ids)?;
        let counts = self.count.call(ids, deadline).await?;
        let counts = counts
            .into_iter()
            .map(|counts| counts.map(counts_to_wire))
            .collect::<Result<_, _>>()?;
        Ok(Response::new(proto::CountFollowsResponse { counts }))
    }
}

fn edge(from: &[u8], to: &[u8]) -> Result<Edge, Status> {
    Ok(Edge {
        follower_id: per_item::id("follower_id", from)?,
        followee_id: per_item::id("followee_id", to)?,
    })
}

pub(crate) fn follow_update(update: &proto::FollowUpdate) -> Result<FollowUpdate, Status> {
    Ok(FollowUpdate {
        edge: edge(&update.follower_id, &update.followee_id)?,
        following: update.following,
        stamp: per_item::id("stamp", &update.stamp)?,
    })
}

pub(crate) fn direction(direction: proto::Direction) -> Result<Direction, Status> {
    match direction {
        proto::Direction::Followees => Ok(Direction::Followees),
        proto::Direction::Followers => Ok(Direction::Followers),
        proto::Direction::Unspecified => Err(Status::invalid_argument("a list needs a direction")),
    }
}

fn conditional_query(query: &proto::FollowsQuery) -> Result<ConditionalQuery, Status> {
    let direction = direction(query.direction())?;
    let after = per_item::id_or("after_id", &query.after_id, Uuid::nil())?;
    Ok(ConditionalQuery {
        query: FollowsQuery {
            account_id: per_item::id("account_id", &query.account_id)?,
            direction,
            limit: query.limit.min(FOLLOW_LIST_IDS_MAX),
            after,
        },
        known_version: query.known_version,
    })
}

fn list_to_wire(list: &FollowList) -> proto::FollowList {
    proto::FollowList {
        version: list.version,
        ids: per_item::encode_ids(&list.ids),
    }
}

fn counts_to_wire(counts: FollowCounts) -> proto::FollowCounts {
    proto::FollowCounts {
        followees: counts.followees,
        followers: counts.followers,
    }
}
