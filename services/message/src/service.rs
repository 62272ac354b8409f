//! The gRPC face of the message service: validate, batch, translate. Nothing else.

use std::sync::Arc;

use chassis::{
    batch::{BatchHandler, Batcher, Flattened, Limits},
    deadline::Deadline,
    per_item::{self, answer_each},
    skew::SkewWatch,
};
use minitwit_proto::{
    common::v1::{Applied, Unchanged},
    limits::{TEXT_BYTES_MAX, TIMELINE_AUTHORS_MAX, TIMELINE_MESSAGES_MAX},
    message::v1::{
        self as proto, create_message_result, get_message_result, list_timeline_result,
        message_service_server::MessageService, set_flag_result, timeline_query,
    },
};
use tonic::{Request, Response, Status};
use uuid::Uuid;

use crate::{
    batches::{Count, Find, Insert, List, SetFlags},
    store::{
        Asked, FlagUpdate, Kept, Listed, MessageStore, NewMessage, Scope, Timeline, TimelineQuery,
    },
};

/// Two statements at a time leave the other connections to the other kinds of calls.
const LIMITS: Limits = Limits {
    workers: 2,
    batch_weight_max: 256,
    queue_max: 1024,
};

/// For timelines of many authors: as many as are read well within the time that an answer has.
const MERGED_LIMITS: Limits = Limits {
    batch_weight_max: 2_000,
    ..LIMITS
};

/// The service over a store.
pub struct Messages<S: MessageStore> {
    insert: Batcher<Flattened<Insert<S>>>,
    list: Batcher<Flattened<List<S>>>,
    /// Apart, because one of them may take as long as hundreds of others.
    list_merged: Batcher<Flattened<List<S>>>,
    find: Batcher<Flattened<Find<S>>>,
    count: Batcher<Flattened<Count<S>>>,
    set_flags: Batcher<Flattened<SetFlags<S>>>,
    message_skew: SkewWatch,
    flag_skew: SkewWatch,
}

impl<S: MessageStore> Messages<S> {
    /// The service over `store`.
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
    /// Timelines in the order asked, those that are merged apart from the others: neither kind waits
    /// for the other's batches, nor fails with them.
    async fn list(
        &self,
        asked: Vec<Asked>,
        deadline: Deadline,
    ) -> Result<Vec<Result<Listed, Status>>, Status> {
        let is_merged = |asked: &Asked| asked.query.scope.merged() > 1;
        let kinds: Vec<bool> = asked.iter().map(is_merged).collect();
        let (merged, single): (Vec<_>, Vec<_>) = asked.into_iter().partition(is_merged);
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
        let each = |listed: Result<Vec<Result<Listed, Status>>, Status>, count| {
            let listed = listed.unwrap_or_else(|status| vec![Err(status); count]);
            listed.into_iter()
        };
        let (mut merged, mut single) = (each(merged, counts.0), each(single, counts.1));
        let listed = kinds.into_iter().map(|is_merged| {
            let kind = if is_merged { &mut merged } else { &mut single };
            kind.next()
                .unwrap_or_else(|| Err(Status::internal("a timeline was not answered")))
        });
        Ok(listed.collect())
    }
}

fn batcher<W: BatchHandler>(name: &'static str, work: W) -> Batcher<Flattened<W>> {
    Batcher::new(name, LIMITS, Flattened(work))
}

#[tonic::async_trait]
impl<S: MessageStore> MessageService for Messages<S> {
    async fn create_messages(
        &self,
        request: Request<proto::CreateMessagesRequest>,
    ) -> Result<Response<proto::CreateMessagesResponse>, Status> {
        use create_message_result::Outcome;
        let deadline = Deadline::of(&request);
        let messages = request.into_inner().messages.into_iter().map(new_message);
        let created = answer_each(messages, async |valid| {
            for message in &valid {
                self.message_skew.check(message.id);
            }
            self.insert.call(valid, deadline).await
        })
        .await?;
        let results = created.into_iter().map(|created| match created {
            Ok(()) => Outcome::Applied(Applied {}),
            Err(status) => Outcome::Error(per_item::error(&status)),
        });
        let results = results.map(|outcome| proto::CreateMessageResult {
            outcome: Some(outcome),
        });
        Ok(Response::new(proto::CreateMessagesResponse {
            results: results.collect(),
        }))
    }

    async fn list_timelines(
        &self,
        request: Request<proto::ListTimelinesRequest>,
    ) -> Result<Response<proto::ListTimelinesResponse>, Status> {
        use list_timeline_result::Outcome;
        let deadline = Deadline::of(&request);
        let queries = request.into_inner().queries.into_iter().map(asked);
        let listed = answer_each(queries, async |valid| self.list(valid, deadline).await).await?;
        let results = listed.into_iter().map(|listed| match listed {
            Ok(Listed::Unchanged) => Outcome::Unchanged(Unchanged {}),
            Ok(Listed::Added(timeline)) => Outcome::Added(timeline_to_wire(&timeline)),
            Ok(Listed::Whole(timeline)) => Outcome::Timeline(timeline_to_wire(&timeline)),
            Err(status) => Outcome::Error(per_item::error(&status)),
        });
        let results = results.map(|outcome| proto::ListTimelineResult {
            outcome: Some(outcome),
        });
        Ok(Response::new(proto::ListTimelinesResponse {
            results: results.collect(),
        }))
    }

    async fn get_messages(
        &self,
        request: Request<proto::GetMessagesRequest>,
    ) -> Result<Response<proto::GetMessagesResponse>, Status> {
        use get_message_result::Outcome;
        let deadline = Deadline::of(&request);
        let ids = request.into_inner().ids;
        let ids = ids.iter().map(|id| per_item::id("id", id));
        let found = answer_each(ids, async |valid| self.find.call(valid, deadline).await).await?;
        let results = found.into_iter().map(|found| match found {
            Ok(message) => Outcome::Message(message_to_wire(&message)),
            Err(status) => Outcome::Error(per_item::error(&status)),
        });
        let results = results.map(|outcome| proto::GetMessageResult {
            outcome: Some(outcome),
        });
        Ok(Response::new(proto::GetMessagesResponse {
            results: results.collect(),
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
        use set_flag_result::Outcome;
        let deadline = Deadline::of(&request);
        let updates = request.into_inner().updates.into_iter().map(flag_update);
        let set = answer_each(updates, async |valid| {
            for update in &valid {
                self.flag_skew.check(update.stamp);
            }
            self.set_flags.call(valid, deadline).await
        })
        .await?;
        let results = set.into_iter().map(|set| match set.map(Result::from) {
            Ok(Ok(applied)) => Outcome::Applied(applied),
            Ok(Err(superseded)) => Outcome::Superseded(superseded),
            Err(status) => Outcome::Error(per_item::error(&status)),
        });
        let results = results.map(|outcome| proto::SetFlagResult {
            outcome: Some(outcome),
        });
        Ok(Response::new(proto::SetFlagsResponse {
            results: results.collect(),
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

fn asked(query: proto::TimelineQuery) -> Result<Asked, Status> {
    use timeline_query::Scope as Wire;
    let newest = query
        .known_newest_id
        .map(|id| per_item::id("known_newest_id", &id));
    let newest = newest.transpose()?;
    let kept = query.known_version.map(|version| Kept { version, newest });
    let scope = match query.scope {
        Some(Wire::Everybody(_)) => Scope::Everybody,
        Some(Wire::Authors(authors)) => {
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
    Ok(Asked { query, kept })
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

pub(crate) fn message_to_wire(message: &crate::store::Message) -> proto::Message {
    proto::Message {
        id: per_item::encode_id(message.id),
        author_id: per_item::encode_id(message.author_id),
        text: message.text.clone(),
    }
}
