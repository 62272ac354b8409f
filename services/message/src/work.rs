//! What the service does with a batch of calls.

use std::sync::Arc;

use chassis::{
    batch::{Work, share, unshare},
    deadline::Deadline,
    item::Written,
};
use tonic::Status;
use uuid::Uuid;

use crate::store::{Asked, FlagUpdate, Listed, Message, MessageStore, NewMessage};

/// Stores messages: one statement, one commit.
pub(crate) struct Insert<S>(pub(crate) Arc<S>);

impl<S: MessageStore> Work for Insert<S> {
    type Item = NewMessage;
    type Output = ();

    async fn run(
        &self,
        messages: Vec<NewMessage>,
        _: Deadline,
    ) -> Result<Vec<Result<(), Status>>, Status> {
        let count = messages.len();
        self.0.insert(messages).await?;
        Ok(vec![Ok(()); count])
    }
}

/// Reads timelines. One weighs as much as authors are merged into it.
pub(crate) struct List<S>(pub(crate) Arc<S>);

impl<S: MessageStore> Work for List<S> {
    type Item = Asked;
    type Output = Listed;

    async fn run(
        &self,
        asked: Vec<Asked>,
        _: Deadline,
    ) -> Result<Vec<Result<Listed, Status>>, Status> {
        let (distinct, positions) = share(asked);
        let listed = self.0.timelines(&distinct).await?;
        Ok(unshare(&listed, &positions).into_iter().map(Ok).collect())
    }

    fn weight(asked: &Asked) -> usize {
        asked.query.scope.merged()
    }
}

/// Finds messages by their ids.
pub(crate) struct Find<S>(pub(crate) Arc<S>);

impl<S: MessageStore> Work for Find<S> {
    type Item = Uuid;
    type Output = Message;

    async fn run(
        &self,
        ids: Vec<Uuid>,
        _: Deadline,
    ) -> Result<Vec<Result<Message, Status>>, Status> {
        let (distinct, positions) = share(ids);
        let found = self.0.find(distinct.clone()).await?;
        let answers: Vec<_> = distinct
            .iter()
            .zip(found)
            .map(|(id, message)| {
                message.ok_or_else(|| Status::not_found(format!("no message {id}")))
            })
            .collect();
        Ok(unshare(&answers, &positions))
    }
}

/// Counts authors' messages.
pub(crate) struct Count<S>(pub(crate) Arc<S>);

impl<S: MessageStore> Work for Count<S> {
    type Item = Uuid;
    type Output = i64;

    async fn run(
        &self,
        authors: Vec<Uuid>,
        _: Deadline,
    ) -> Result<Vec<Result<i64, Status>>, Status> {
        let (distinct, positions) = share(authors);
        let counts = self.0.count(distinct).await?;
        Ok(unshare(&counts, &positions).into_iter().map(Ok).collect())
    }
}

/// Sets flags.
pub(crate) struct SetFlags<S>(pub(crate) Arc<S>);

impl<S: MessageStore> Work for SetFlags<S> {
    type Item = FlagUpdate;
    type Output = Written;

    async fn run(
        &self,
        updates: Vec<FlagUpdate>,
        _: Deadline,
    ) -> Result<Vec<Result<Written, Status>>, Status> {
        let ids: Vec<Uuid> = updates.iter().map(|update| update.message_id).collect();
        let written = self.0.set_flags(updates).await?;
        let missing = |id| Status::not_found(format!("no message {id}"));
        Ok(ids
            .into_iter()
            .zip(written)
            .map(|(id, written)| written.ok_or_else(|| missing(id)))
            .collect())
    }
}
