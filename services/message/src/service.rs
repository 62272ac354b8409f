//! The gRPC service of messages. It validates requests, batches them and converts the results.

use std::sync::Arc;

use chassis::{
    batch::{BatchHandler, Batcher, Flattened, Limits},
    deadline::Deadline,
    per_item::{self, answer_each},
    skew::SkewWatch,
};
use minitwit_proto::{
    common::v1::{Applied, Superseded, Unchanged},
    limits::{TEXT_BYTES_MAX, TIMELINE_AUTHORS_MAX, TIMELINE_MESSAGES_MAX},
    message::v1::{
        self as proto, list_timeline_result::Outcome as TimelineOutcome,
        message_service_server::MessageService, timeline_query,
    },
};
use tonic::{Request, Response, Status};
use uuid::Uuid;

use crate::{
    batches::{Count, Find, Insert, List, SetFlags},
    store::{
        ConditionalQuery, FlagUpdate, KnownVersion, Message, MessageStore, NewMessage, Scope,
        Timeline, TimelineDelta, TimelineQuery,
    },
};

/// Limits of each kind of call. With two workers, one kind cannot use all connections to the database.
const LIMITS: Limits = Limits {
    workers: 2,
    batch_weight_max: 256,
    queue_max: 1024,
};

/// Limits of timelines of several authors. A batch of this weight needs much less than the budget of a
/// request.
const MERGED_LIMITS: Limits = Limits {
    batch_weight_max: 2_000,
    ..LIMITS
};

/// The `MessageService` over a store.
pub struct Messages<S: MessageStore> {
    insert: Batcher<Flattened<Insert<S>>>,
    list: Batcher<Flattened<List<S>>>,
    /// Timelines of several authors have a batcher of their own, because one of them may take as long as
    /// hundreds of other timelines.
    list_merged: Batcher<Flattened<List<S>>>,
    find: Batcher<Flattened<Find<S>>>,
    count: Batcher<Flattened<Count<S>>>,
    set_flags: Batcher<Flattened<SetFlags<S>>>,
    message_skew: SkewWatch,
    flag_skew: SkewWatch,
}

impl<S: MessageStore> Messages<S> {
    /// Creates the service over `store`.
    pub fn new(store: S) -> Self {
        let store = Arc::new(store);
        Self {
            insert: batcher("message.insert", Insert(Arc::clone(&store))),
            list: batcher("message.list", List(Arc::clone(&store))),
            list_merged: Batcher::new(
                "message.list_merged",
                MERGED_LIMITS,
                Flattened(List(Arc::clone(&store))),
            ),
            find: batcher("message.find", Find(Arc::clone(&store))),
            count: batcher("message.count", Count(Arc::clone(&store))),
            set_flags: batcher("message.set_flags", SetFlags(store)),
            message_skew: SkewWatch::new("message"),
            flag_skew: SkewWatch::new("flag"),
        }
    }
}

impl<S: MessageStore> Messages<S> {
    /// Reads timelines and returns them in the order of the queries. Timelines of several authors are in
    /// batches of their own, so neither kind waits for the other or fails with it.
    async fn list(
        &self,
        queries: Vec<ConditionalQuery>,
        deadline: Deadline,
    ) -> Result<Vec<Result<TimelineDelta, Status>>, Status> {
        let is_merged = |conditional: &ConditionalQuery| conditional.query.scope.author_count() > 1;
        let kinds: Vec<bool> = queries.iter().map(is_merged).collect();
        let (merged, single): (Vec<_>, Vec<_>) = queries.into_iter().partition(is_merged);
        if merged.is_empty() {
            return self.list.call(single, deadline).await;
        }
        if single.is_empty() {
            return self.list_merged.call(merged, deadline).await;
        }
        let counts = (merged.len(), single.len());
        let (merged, single) = tokio::join!(
            self.list_merged.call(merged, deadline),
            self.list.call(single, deadline),
        );
        let each = |deltas: Result<Vec<Result<TimelineDelta, Status>>, Status>, count| {
            let deltas = deltas.unwrap_or_else(|status| vec![Err(status); count]);
            deltas.into_iter()
        };
        let (mut merged, mut single) = (each(merged, counts.0), each(single, counts.1));
        let deltas = kinds.into_iter().map(|is_merged| {
            let kind = if is_merged { &mut merged } else { &mut single };
            kind.next()
                .unwrap_or_else(|| Err(Status::internal("a timeline was not answered")))
        });
        Ok(deltas.collect())
    }
}

fn batcher<H: BatchHandler>(name: &'static str, handler: H) -> Batcher<Flattened<H>> {
    Batcher::new(name, LIMITS, Flattened(handler))
}

#[tonic::async_trait]
impl<S: MessageStore> MessageService for Messages<S> {
    async fn create_messages(
        &self,
        request: Request<proto::CreateMessagesRequest>,
    ) -> Result<Response<proto::CreateMessagesResponse>, Status> {
        let deadline = Deadline::of(&request);
        let messages = request.into_inner().messages.into_iter().map(new_message);
        let created = answer_each(messages, async |valid| {
            for message in &valid {
                self.message_skew.check(message.id);
            }
            self.insert.call(valid, deadline).await
        })
        .await?;
        Ok(Response::new(proto::CreateMessagesResponse {
            results: per_item::results(created, |()| Applied {}),
        }))
    }

    async fn list_timelines(
        &self,
        request: Request<proto::ListTimelinesRequest>,
    ) -> Result<Response<proto::ListTimelinesResponse>, Status> {
        let deadline = Deadline::of(&request);
        let queries = request
            .into_inner()
            .queries
            .into_iter()
            .map(conditional_query);
        let deltas = answer_each(queries, async |valid| self.list(valid, deadline).await).await?;
        Ok(Response::new(proto::ListTimelinesResponse {
            results: per_item::results(deltas, |delta| match delta {
                TimelineDelta::Unchanged => TimelineOutcome::Unchanged(Unchanged {}),
                TimelineDelta::Added(added) => TimelineOutcome::Added(timeline_to_wire(&added)),
                TimelineDelta::Whole(page) => TimelineOutcome::Timeline(timeline_to_wire(&page)),
            }),
        }))
    }

    async fn get_messages(
        &self,
        request: Request<proto::GetMessagesRequest>,
    ) -> Result<Response<proto::GetMessagesResponse>, Status> {
        let deadline = Deadline::of(&request);
        let ids = request.into_inner().ids;
        let ids = ids.iter().map(|id| per_item::id("id", id));
        let found = answer_each(ids, async |valid| self.find.call(valid, deadline).await).await?;
        Ok(Response::new(proto::GetMessagesResponse {
            results: per_item::results(found, |message| message_to_wire(&message)),
        }))
    }

    async fn count_messages(
        &self,
        request: Request<proto::CountMessagesRequest>,
    ) -> Result<Response<proto::CountMessagesResponse>, Status> {
        let deadline = Deadline::of(&request);
        let ids = request.into_inner().author_ids;
        let ids: Vec<Uuid> = per_item::each_id("author_id", &ids)?;
        let counts = self.count.call(ids, deadline).await?;
        let counts = counts.into_iter().collect::<Result<_, _>>()?;
        Ok(Response::new(proto::CountMessagesResponse { counts }))
    }

    async fn set_flags(
        &self,
        request: Request<proto::SetFlagsRequest>,
    ) -> Result<Response<proto::SetFlagsResponse>, Status> {
        let deadline = Deadline::of(&request);
        let updates = request.into_inner().updates.into_iter().map(flag_update);
        let outcomes = answer_each(updates, async |valid| {
            for update in &valid {
                self.flag_skew.check(update.stamp);
            }
            self.set_flags.call(valid, deadline).await
        })
        .await?;
        Ok(Response::new(proto::SetFlagsResponse {
            results: per_item::results(outcomes, Result::<Applied, Superseded>::from),
        }))
    }
}

pub(crate) fn new_message(message: proto::NewMessage) -> Result<NewMessage, Status> {
    if message.text.len() > TEXT_BYTES_MAX {
        return Err(Status::invalid_argument(format!(
            "the text has {} bytes, at most {TEXT_BYTES_MAX} are taken",
            message.text.len()
        )));
    }
    if message.text.contains('\0') {
        return Err(Status::invalid_argument(
            "the text contains a NUL character",
        ));
    }
    Ok(NewMessage {
        id: per_item::id("id", &message.id)?,
        author_id: per_item::id("author_id", &message.author_id)?,
        text: message.text,
    })
}

fn conditional_query(query: proto::TimelineQuery) -> Result<ConditionalQuery, Status> {
    use timeline_query::Scope as WireScope;
    let newest = query
        .known_newest_id
        .map(|id| per_item::id("known_newest_id", &id));
    let newest = newest.transpose()?;
    let known = query
        .known_version
        .map(|version| KnownVersion { version, newest });
    let scope = match query.scope {
        Some(WireScope::Everybody(_)) => Scope::Everybody,
        Some(WireScope::Authors(authors)) => {
            Scope::Authors(per_item::decode_ids("authors.ids", &authors.ids)?)
        }
        None => return Err(Status::invalid_argument("a timeline needs a scope")),
    };
    if let Scope::Authors(authors) = &scope
        && authors.len() > TIMELINE_AUTHORS_MAX
    {
        return Err(Status::invalid_argument(format!(
            "{} authors are asked for, at most {TIMELINE_AUTHORS_MAX} can be merged",
            authors.len()
        )));
    }
    let before = per_item::id_or("before_id", &query.before_id, Uuid::max())?;
    let query = TimelineQuery {
        scope,
        limit: query.limit.min(TIMELINE_MESSAGES_MAX),
        before,
    };
    Ok(ConditionalQuery { query, known })
}

fn flag_update(update: proto::FlagUpdate) -> Result<FlagUpdate, Status> {
    Ok(FlagUpdate {
        message_id: per_item::id("message_id", &update.message_id)?,
        flagged: update.flagged,
        stamp: per_item::id("stamp", &update.stamp)?,
        moderator: update.moderator,
        moderator_id: per_item::id_or("moderator_id", &update.moderator_id, Uuid::nil())?,
    })
}

fn timeline_to_wire(timeline: &Timeline) -> proto::Timeline {
    proto::Timeline {
        version: timeline.version,
        messages: timeline.messages.iter().map(message_to_wire).collect(),
    }
}

pub(crate) fn message_to_wire(message: &Message) -> proto::Message {
    proto::Message {
        id: per_item::encode_id(message.id),
        author_id: per_item::encode_id(message.author_id),
        text: message.text.clone(),
    }
}
