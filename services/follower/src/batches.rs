//! Handlers that execute batches of calls with one statement each.

use std::sync::Arc;

use chassis::{
    batch::{BatchHandler, dedup, fan_out},
    deadline::Deadline,
    per_item::WriteOutcome,
};
use tonic::Status;
use uuid::Uuid;

use crate::store::{ConditionalQuery, Edge, FollowCounts, FollowList, FollowUpdate, FollowerStore};

/// Sets edges with one statement and one commit.
pub(crate) struct Set<S>(pub(crate) Arc<S>);

impl<S: FollowerStore> BatchHandler for Set<S> {
    type Item = FollowUpdate;
    type Output = WriteOutcome;

    async fn run(
        &self,
        updates: Vec<FollowUpdate>,
        _: Deadline,
    ) -> Result<Vec<Result<WriteOutcome, Status>>, Status> {
        let outcomes = self.0.set(updates).await?;
        Ok(outcomes.into_iter().map(Ok).collect())
    }
}

/// Reads lists. `None` means that the caller's version of the list is current.
pub(crate) struct List<S>(pub(crate) Arc<S>);

impl<S: FollowerStore> BatchHandler for List<S> {
    type Item = ConditionalQuery;
    type Output = Option<Arc<FollowList>>;

    async fn run(
        &self,
        queries: Vec<ConditionalQuery>,
        _: Deadline,
    ) -> Result<Vec<Result<Self::Output, Status>>, Status> {
        let (distinct, positions) = dedup(queries);
        let lists = self.0.list(&distinct).await?;
        let lists: Vec<_> = lists.into_iter().map(|list| list.map(Arc::new)).collect();
        Ok(fan_out(&lists, &positions).into_iter().map(Ok).collect())
    }
}

/// Checks edges.
pub(crate) struct Check<S>(pub(crate) Arc<S>);

impl<S: FollowerStore> BatchHandler for Check<S> {
    type Item = Edge;
    type Output = bool;

    async fn run(
        &self,
        edges: Vec<Edge>,
        _: Deadline,
    ) -> Result<Vec<Result<bool, Status>>, Status> {
        let (distinct, positions) = dedup(edges);
        let found = self.0.check(distinct).await?;
        Ok(fan_out(&found, &positions).into_iter().map(Ok).collect())
    }
}

/// Counts the edges of accounts.
pub(crate) struct Count<S>(pub(crate) Arc<S>);

impl<S: FollowerStore> BatchHandler for Count<S> {
    type Item = Uuid;
    type Output = FollowCounts;

    async fn run(
        &self,
        accounts: Vec<Uuid>,
        _: Deadline,
    ) -> Result<Vec<Result<FollowCounts, Status>>, Status> {
        let (distinct, positions) = dedup(accounts);
        let counts = self.0.count(distinct).await?;
        Ok(fan_out(&counts, &positions).into_iter().map(Ok).collect())
    }
}
