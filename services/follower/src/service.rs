//! The gRPC face of the follower service: validate, batch, translate. Nothing else.

use std::sync::Arc;

use chassis::{
    batch::{BatchHandler, Batcher, Flattened, Limits},
    deadline::Deadline,
    per_item::{self, answer_each},
    skew::SkewWatch,
};
use minitwit_proto::{
    common::v1::Unchanged,
    follower::v1::{
        self as proto, follower_service_server::FollowerService, list_follows_result,
        set_follow_result,
    },
    limits::FOLLOW_LIST_IDS_MAX,
};
use tonic::{Request, Response, Status};
use uuid::Uuid;

use crate::{
    batches::{Check, Count, List, Set},
    store::{
        Asked, Direction, Edge, FollowCounts, FollowList, FollowUpdate, FollowerStore, FollowsQuery,
    },
};

/// Two statements at a time leave the other connections to the other kinds of calls.
const LIMITS: Limits = Limits {
    workers: 2,
    batch_weight_max: 256,
    queue_max: 1024,
};

/// The service over a store.
pub struct Follows<S: FollowerStore> {
    set: Batcher<Flattened<Set<S>>>,
    list: Batcher<Flattened<List<S>>>,
    check: Batcher<Flattened<Check<S>>>,
    count: Batcher<Flattened<Count<S>>>,
    skew: SkewWatch,
}

impl<S: FollowerStore> Follows<S> {
    /// The service over `store`.
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

fn batcher<W: BatchHandler>(name: &'static str, work: W) -> Batcher<Flattened<W>> {
    Batcher::new(name, LIMITS, Flattened(work))
}

#[tonic::async_trait]
impl<S: FollowerStore> FollowerService for Follows<S> {
    async fn set_follows(
        &self,
        request: Request<proto::SetFollowsRequest>,
    ) -> Result<Response<proto::SetFollowsResponse>, Status> {
        use set_follow_result::Outcome;
        let deadline = Deadline::of(&request);
        let updates = request.into_inner().updates;
        let updates = updates.iter().map(follow_update);
        let set = answer_each(updates, async |valid| {
            for update in &valid {
                self.skew.check(update.stamp);
            }
            self.set.call(valid, deadline).await
        })
        .await?;
        let results = set.into_iter().map(|set| match set.map(Result::from) {
            Ok(Ok(applied)) => Outcome::Applied(applied),
            Ok(Err(superseded)) => Outcome::Superseded(superseded),
            Err(status) => Outcome::Error(per_item::error(&status)),
        });
        let results = results.map(|outcome| proto::SetFollowResult {
            outcome: Some(outcome),
        });
        Ok(Response::new(proto::SetFollowsResponse {
            results: results.collect(),
        }))
    }

    async fn list_follows(
        &self,
        request: Request<proto::ListFollowsRequest>,
    ) -> Result<Response<proto::ListFollowsResponse>, Status> {
        use list_follows_result::Outcome;
        let deadline = Deadline::of(&request);
        let queries = request.into_inner().queries;
        let queries = queries.iter().map(asked);
        let listed =
            answer_each(queries, async |valid| self.list.call(valid, deadline).await).await?;
        let results = listed.into_iter().map(|listed| match listed {
            Ok(Some(list)) => Outcome::List(list_to_wire(&list)),
            Ok(None) => Outcome::Unchanged(Unchanged {}),
            Err(status) => Outcome::Error(per_item::error(&status)),
        });
        let results = results.map(|outcome| proto::ListFollowsResult {
            outcome: Some(outcome),
        });
        Ok(Response::new(proto::ListFollowsResponse {
            results: results.collect(),
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

fn asked(query: &proto::FollowsQuery) -> Result<Asked, Status> {
    let direction = direction(query.direction())?;
    let after = per_item::id_or("after_id", &query.after_id, Uuid::nil())?;
    Ok(Asked {
        query: FollowsQuery {
            account_id: per_item::id("account_id", &query.account_id)?,
            direction,
            limit: query.limit.min(FOLLOW_LIST_IDS_MAX),
            after,
        },
        known: query.known_version,
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
