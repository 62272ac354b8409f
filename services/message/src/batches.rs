//! Handlers that execute batches of calls with one statement each.

use std::sync::Arc;

use chassis::{
    batch::{BatchHandler, dedup, fan_out},
    deadline::Deadline,
    per_item::WriteOutcome,
};
use tonic::Status;
use uuid::Uuid;

use crate::store::{
    ConditionalQuery, FlagUpdate, Message, MessageStore, NewMessage, TimelineDelta,
};

/// Stores messages with one statement and one commit.
pub(crate) struct Insert<S>(pub(crate) Arc<S>);

impl<S: MessageStore> BatchHandler for Insert<S> {
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

/// Reads timelines. The weight of a query is the number of its authors.
pub(crate) struct List<S>(pub(crate) Arc<S>);

impl<S: MessageStore> BatchHandler for List<S> {
    type Item = ConditionalQuery;
    type Output = TimelineDelta;

    async fn run(
        &self,
        queries: Vec<ConditionalQuery>,
        _: Deadline,
    ) -> Result<Vec<Result<TimelineDelta, Status>>, Status> {
        let (distinct, positions) = dedup(queries);
        let deltas = self.0.timelines(&distinct).await?;
        Ok(fan_out(&deltas, &positions).into_iter().map(Ok).collect())
    }

    fn weight(conditional: &ConditionalQuery) -> usize {
        conditional.query.scope.author_count()
    }
}

/// Looks up messages by their ids.
pub(crate) struct Find<S>(pub(crate) Arc<S>);

impl<S: MessageStore> BatchHandler for Find<S> {
    type Item = Uuid;
    type Output = Message;

    async fn run(
        &self,
        ids: Vec<Uuid>,
        _: Deadline,
    ) -> Result<Vec<Result<Message, Status>>, Status> {
        let (distinct, positions) = dedup(ids);
        let found = self.0.find(distinct.clone()).await?;
        let results: Vec<_> = distinct
            .iter()
            .zip(found)
            .map(|(id, message)| {
                message.ok_or_else(|| Status::not_found(format!("no message {id}")))
            })
            .collect();
        Ok(fan_out(&results, &positions))
    }
}

/// Counts the messages of authors.
pub(crate) struct Count<S>(pub(crate) Arc<S>);

impl<S: MessageStore> BatchHandler for Count<S> {
    type Item = Uuid;
    type Output = i64;

    async fn run(
        &self,
        authors: Vec<Uuid>,
        _: Deadline,
    ) -> Result<Vec<Result<i64, Status>>, Status> {
        let (distinct, positions) = dedup(authors);
        let counts = self.0.count(distinct).await?;
        Ok(fan_out(&counts, &positions).into_iter().map(Ok).collect())
    }
}

/// Sets flags with one statement and one commit.
pub(crate) struct SetFlags<S>(pub(crate) Arc<S>);

impl<S: MessageStore> BatchHandler for SetFlags<S> {
    type Item = FlagUpdate;
    type Output = WriteOutcome;

    async fn run(
        &self,
        updates: Vec<FlagUpdate>,
        _: Deadline,
    ) -> Result<Vec<Result<WriteOutcome, Status>>, Status> {
        let ids: Vec<Uuid> = updates.iter().map(|update| update.message_id).collect();
        let outcomes = self.0.set_flags(updates).await?;
        let missing = |id| Status::not_found(format!("no message {id}"));
        Ok(ids
            .into_iter()
            .zip(outcomes)
            .map(|(id, outcome)| outcome.ok_or_else(|| missing(id)))
            .collect())
    }
}
