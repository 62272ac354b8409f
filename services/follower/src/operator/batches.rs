//! Handlers that execute batches of imports.

use std::sync::Arc;

use chassis::{batch::BatchHandler, deadline::Deadline};
use tonic::Status;

use super::store::OperatorStore;
use crate::store::FollowUpdate;

/// Stores edges and returns for each whether it had been written before.
pub(super) struct Import<S>(pub(super) Arc<S>);

impl<S: OperatorStore> BatchHandler for Import<S> {
    type Item = FollowUpdate;
    type Output = bool;

    async fn run(
        &self,
        updates: Vec<FollowUpdate>,
        _: Deadline,
    ) -> Result<Vec<Result<bool, Status>>, Status> {
        let stored_before = self.0.import(updates).await?;
        Ok(stored_before.into_iter().map(Ok).collect())
    }
}
