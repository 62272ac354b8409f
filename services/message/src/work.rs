//! What the service does with a batch of calls.

use std::{collections::HashMap, sync::Arc};

use chassis::{
    batch::{Work, share, unshare},
    deadline::Deadline,
    item::Written,
};
use tonic::Status;
use uuid::Uuid;

use crate::store::{FlagUpdate, Message, MessageStore, NewMessage, Timeline, TimelineQuery};

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

/// A timeline asked for, and the version that the caller has.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Conditional {
    pub(crate) query: TimelineQuery,
    pub(crate) known: Option<i64>,
}

/// Reads timelines: first the versions of those that somebody keeps, then the rows of those that
/// have changed or that nobody keeps. `None` means unchanged.
pub(crate) struct List<S>(pub(crate) Arc<S>);

impl<S: MessageStore> Work for List<S> {
    type Item = Conditional;
    type Output = Option<Arc<Timeline>>;

    async fn run(
        &self,
        asked: Vec<Conditional>,
        _: Deadline,
    ) -> Result<Vec<Result<Self::Output, Status>>, Status> {
        let (distinct, positions) = share(asked);
        let mut answers: Vec<Option<Arc<Timeline>>> = vec![None; distinct.len()];
        let mut wanted: HashMap<&TimelineQuery, Vec<usize>> = HashMap::new();

        let (kept, others): (Vec<usize>, Vec<usize>) =
            (0..distinct.len()).partition(|&place| distinct[place].known.is_some());
        if !kept.is_empty() {
            let queries: Vec<_> = kept
                .iter()
                .map(|&place| distinct[place].query.clone())
                .collect();
            let versions = self.0.versions(&queries).await?;
            for (&place, version) in kept.iter().zip(versions) {
                if distinct[place].known != Some(version) {
                    wanted
                        .entry(&distinct[place].query)
                        .or_default()
                        .push(place);
                }
            }
        }
        for place in others {
            wanted
                .entry(&distinct[place].query)
                .or_default()
                .push(place);
        }
        if !wanted.is_empty() {
            let (queries, places): (Vec<_>, Vec<_>) = wanted
                .into_iter()
                .map(|(query, places)| (query.clone(), places))
                .unzip();
            let timelines = self.0.timelines(&queries).await?;
            for (places, timeline) in places.into_iter().zip(timelines) {
                let timeline = Arc::new(timeline);
                for place in places {
                    answers[place] = Some(Arc::clone(&timeline));
                }
            }
        }
        Ok(unshare(&answers, &positions).into_iter().map(Ok).collect())
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
