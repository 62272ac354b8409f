//! Who follows whom: lists, rendered and asked for by version, and the writes that change them.

use std::sync::Arc;

use chassis::{
    batch::{Batcher, Work, share},
    deadline::Deadline,
    item::{self, Written},
    pool::Pool,
    stamp::Clock,
};
use minitwit_proto::follower::v1::{
    Direction, FollowList, FollowUpdate, FollowsQuery, ListFollowsRequest, SetFollowsRequest,
    follower_service_client::FollowerServiceClient, list_follows_result, set_follow_result,
};
use tonic::Status;
use uuid::Uuid;

use super::{
    accounts::{Accounts, answer_all, incomplete, wire},
    batcher,
    keep::{Keep, Rendered},
    writes::{outlast, superseded_by},
};

/// Which list of accounts, rendered as the simulator's JSON.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct FolloweesKey {
    pub(crate) account: Uuid,
    pub(crate) limit: u32,
}

/// A wanted state of an edge.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Edge {
    pub(crate) follower: Uuid,
    pub(crate) followee: Uuid,
    pub(crate) following: bool,
}

/// The edges of the follower service.
pub(crate) struct Follows {
    lists: Batcher<List>,
    writes: Batcher<Set>,
    clock: Arc<Clock>,
}

impl Follows {
    pub(super) fn new(
        client: FollowerServiceClient<Pool>,
        accounts: Accounts,
        clock: Arc<Clock>,
        rendered_bytes_max: u64,
    ) -> Self {
        let list =
            List { client: client.clone(), accounts, kept: Keep::new(rendered_bytes_max) };
        Self {
            lists: batcher("gateway.list_follows", list),
            writes: batcher("gateway.set_follows", Set { client }),
            clock,
        }
    }

    /// Whom an account follows, as it is now.
    pub(crate) async fn followees(
        &self,
        key: FolloweesKey,
        deadline: Deadline,
    ) -> Result<Arc<Rendered>, Status> {
        self.lists.call(key, deadline).await
    }

    /// Follows or unfollows under the key of the request.
    pub(crate) async fn set(
        &self,
        edge: Edge,
        key: Uuid,
        deadline: Deadline,
    ) -> Result<(), Status> {
        outlast(&self.clock, key, |stamp| self.writes.call((edge, stamp), deadline)).await
    }
}

struct List {
    client: FollowerServiceClient<Pool>,
    accounts: Accounts,
    kept: Keep<FolloweesKey>,
}

impl Work for List {
    type Item = FolloweesKey;
    type Output = Arc<Rendered>;

    async fn run(
        &self,
        asked: Vec<FolloweesKey>,
        deadline: Deadline,
    ) -> Result<Vec<Result<Arc<Rendered>, Status>>, Status> {
        let (keys, positions) = share(asked);
        // Held until the answer is there: what is "unchanged" must not be evicted meanwhile.
        let kept: Vec<Option<Arc<Rendered>>> = keys.iter().map(|key| self.kept.get(key)).collect();
        let queries = keys.iter().zip(&kept).map(|(key, kept)| FollowsQuery {
            account_id: wire(key.account),
            direction: Direction::Followees.into(),
            limit: key.limit,
            after_id: bytes::Bytes::new(),
            known_version: kept.as_ref().map(|kept| kept.version),
        });
        let request = deadline.request(ListFollowsRequest { queries: queries.collect() });
        let response = self.client.clone().list_follows(request).await?.into_inner();

        let mut answers = Vec::with_capacity(keys.len());
        for ((key, kept), result) in keys.into_iter().zip(kept).zip(response.results) {
            use list_follows_result::Outcome;
            answers.push(match (result.outcome, kept) {
                (Some(Outcome::List(list)), _) => self.render(key, &list, deadline).await,
                (Some(Outcome::Unchanged(_)), Some(kept)) => Ok(kept),
                (Some(Outcome::Error(error)), _) => Err(item::status(error)),
                (Some(Outcome::Unchanged(_)) | None, _) => Err(incomplete()),
            });
        }
        answer_all(&answers, &positions)
    }
}

impl List {
    async fn render(
        &self,
        key: FolloweesKey,
        list: &FollowList,
        deadline: Deadline,
    ) -> Result<Arc<Rendered>, Status> {
        let ids = item::ids("ids", &list.ids)?;
        let accounts = self.accounts.of_ids(&ids, deadline).await?;
        let names: Vec<&str> = accounts.iter().flatten().map(|one| one.username.as_str()).collect();
        let rendered = Rendered {
            version: list.version,
            body: crate::api::follows::render(&names),
            first: ids.first().copied(),
            last: ids.last().copied(),
            count: names.len(),
        };
        Ok(self.kept.insert(key, rendered))
    }
}

struct Set {
    client: FollowerServiceClient<Pool>,
}

impl Work for Set {
    type Item = (Edge, Uuid);
    type Output = Written;

    async fn run(
        &self,
        writes: Vec<(Edge, Uuid)>,
        deadline: Deadline,
    ) -> Result<Vec<Result<Written, Status>>, Status> {
        use set_follow_result::Outcome;
        let updates = writes.into_iter().map(|(edge, stamp)| FollowUpdate {
            follower_id: wire(edge.follower),
            followee_id: wire(edge.followee),
            following: edge.following,
            stamp: wire(stamp),
        });
        let request = deadline.request(SetFollowsRequest { updates: updates.collect() });
        let response = self.client.clone().set_follows(request).await?.into_inner();
        let results = response.results.into_iter().map(|result| match result.outcome {
            Some(Outcome::Applied(_)) => Ok(Written::Applied),
            Some(Outcome::Superseded(superseded)) => superseded_by(&superseded),
            Some(Outcome::Error(error)) => Err(item::status(error)),
            None => Err(incomplete()),
        });
        Ok(results.collect())
    }
}
