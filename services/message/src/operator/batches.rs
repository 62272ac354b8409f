//! Handlers that execute batches of imports.

use std::sync::Arc;

use chassis::{batch::BatchHandler, deadline::Deadline};
use tonic::Status;

use super::store::{ImportedMessage, OperatorStore};

/// Stores messages and returns for each whether it had been stored before.
pub(super) struct Import<S>(pub(super) Arc<S>);

impl<S: OperatorStore> BatchHandler for Import<S> {
    type Item = ImportedMessage;
    type Output = bool;

    async fn run(
        &self,
        messages: Vec<ImportedMessage>,
        _: Deadline,
    ) -> Result<Vec<Result<bool, Status>>, Status> {
        let stored_before = self.0.import(messages).await?;
        Ok(stored_before.into_iter().map(Ok).collect())
    }
}
