//! What the service does with a batch of calls.

use std::sync::Arc;

use chassis::{
    batch::{Work, share, unshare},
    conditional::{self, Conditional},
    deadline::Deadline,
    item::Written,
};
use tonic::Status;
use uuid::Uuid;

use crate::store::{Edge, FollowCounts, FollowList, FollowUpdate, FollowerStore, FollowsQuery};

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
    type Item = Conditional<FollowsQuery>;
    type Output = Option<Arc<FollowList>>;

    async fn run(
        &self,
        asked: Vec<Conditional<FollowsQuery>>,
        _: Deadline,
    ) -> Result<Vec<Result<Self::Output, Status>>, Status> {
        conditional::read(
            asked,
            async |queries| self.0.versions(&queries).await,
            async |queries| self.0.list(&queries).await,
        )
        .await
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
