//! What the service does with a batch of calls.

use std::sync::Arc;

use chassis::{
    batch::{Work, share, unshare},
    deadline::Deadline,
    item::Written,
};
use tonic::Status;
use uuid::Uuid;

use crate::store::{Asked, Edge, FollowCounts, FollowList, FollowUpdate, FollowerStore};

/// Sets edges: one statement, one commit.
pub(crate) struct Set<S>(pub(crate) Arc<S>);

impl<S: FollowerStore> Work for Set<S> {
    type Item = FollowUpdate;
    type Output = Written;

    async fn run(
        &self,
        updates: Vec<FollowUpdate>,
        _: Deadline,
    ) -> Result<Vec<Result<Written, Status>>, Status> {
        let written = self.0.set(updates).await?;
        Ok(written.into_iter().map(Ok).collect())
    }
}

/// Reads lists; `None` means unchanged.
pub(crate) struct List<S>(pub(crate) Arc<S>);

impl<S: FollowerStore> Work for List<S> {
    type Item = Asked;
    type Output = Option<Arc<FollowList>>;

    async fn run(
        &self,
        asked: Vec<Asked>,
        _: Deadline,
    ) -> Result<Vec<Result<Self::Output, Status>>, Status> {
        let (distinct, positions) = share(asked);
        let lists = self.0.list(&distinct).await?;
        let lists: Vec<_> = lists.into_iter().map(|list| list.map(Arc::new)).collect();
        Ok(unshare(&lists, &positions).into_iter().map(Ok).collect())
    }
}

/// Tells whether one account follows another.
pub(crate) struct Check<S>(pub(crate) Arc<S>);

impl<S: FollowerStore> Work for Check<S> {
    type Item = Edge;
    type Output = bool;

    async fn run(
        &self,
        edges: Vec<Edge>,
        _: Deadline,
    ) -> Result<Vec<Result<bool, Status>>, Status> {
        let (distinct, positions) = share(edges);
        let found = self.0.check(distinct).await?;
        Ok(unshare(&found, &positions).into_iter().map(Ok).collect())
    }
}

/// Counts accounts' edges.
pub(crate) struct Count<S>(pub(crate) Arc<S>);

impl<S: FollowerStore> Work for Count<S> {
    type Item = Uuid;
    type Output = FollowCounts;

    async fn run(
        &self,
        accounts: Vec<Uuid>,
        _: Deadline,
    ) -> Result<Vec<Result<FollowCounts, Status>>, Status> {
        let (distinct, positions) = share(accounts);
        let counts = self.0.count(distinct).await?;
        Ok(unshare(&counts, &positions).into_iter().map(Ok).collect())
    }
}
