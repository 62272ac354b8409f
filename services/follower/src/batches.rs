//! What the service does with a batch of calls.

use std::sync::Arc;

use chassis::{
    batch::{BatchHandler, dedup, fan_out},
    deadline::Deadline,
    per_item::WriteOutcome,
};
use tonic::Status;
use uuid::Uuid;

use crate::store::{Asked, Edge, FollowCounts, FollowList, FollowUpdate, FollowerStore};

/// Sets edges: one statement, one commit.
pub(crate) struct Set<S>(pub(crate) Arc<S>);

impl<S: FollowerStore> BatchHandler for Set<S> {
    type Item = FollowUpdate;
    type Output = WriteOutcome;

    async fn run(
        &self,
        updates: Vec<FollowUpdate>,
        _: Deadline,
    ) -> Result<Vec<Result<WriteOutcome, Status>>, Status> {
        let written = self.0.set(updates).await?;
        Ok(written.into_iter().map(Ok).collect())
    }
}

/// Reads lists; `None` means unchanged.
pub(crate) struct List<S>(pub(crate) Arc<S>);

impl<S: FollowerStore> BatchHandler for List<S> {
    type Item = Asked;
    type Output = Option<Arc<FollowList>>;

    async fn run(
        &self,
        asked: Vec<Asked>,
        _: Deadline,
    ) -> Result<Vec<Result<Self::Output, Status>>, Status> {
        let (distinct, positions) = dedup(asked);
        let lists = self.0.list(&distinct).await?;
        let lists: Vec<_> = lists.into_iter().map(|list| list.map(Arc::new)).collect();
        Ok(fan_out(&lists, &positions).into_iter().map(Ok).collect())
    }
}

/// Tells whether one account follows another.
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

/// Counts accounts' edges.
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
