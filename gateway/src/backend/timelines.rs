//! Timelines, rendered: asked for by version, and made again only when they changed.

use std::{collections::HashMap, sync::Arc};

use bytes::Bytes;
use chassis::{
    batch::{Batcher, Work, share},
    deadline::Deadline,
    item,
    pool::Pool,
};
use minitwit_proto::message::v1::{
    Authors, Everybody, ListTimelinesRequest, Timeline, TimelineQuery, list_timeline_result,
    message_service_client::MessageServiceClient, timeline_query,
};
use tonic::Status;
use uuid::Uuid;

use crate::pages::avatar::Avatars;

use super::{
    accounts::{Account, Accounts, answer_all, incomplete},
    batcher,
    keep::{Keep, Rendered},
};

/// Whose messages.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Scope {
    Everybody,
    Author(Uuid),
    /// Of several authors, merged: their ids, one behind the other.
    Authors(Bytes),
}

impl Scope {
    fn bytes(&self) -> usize {
        if let Self::Authors(ids) = self {
            ids.len()
        } else {
            0
        }
    }
}

/// Which timeline, and how it is wanted.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct TimelineKey {
    pub(crate) scope: Scope,
    pub(crate) limit: u32,
    /// Only messages older than this one.
    pub(crate) before: Option<Uuid>,
    pub(crate) format: Format,
}

/// How a timeline is rendered.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Format {
    /// The simulator's JSON.
    Json,
    /// The list of a page.
    Html(Avatars),
    /// The same for a moderator, who may flag what is listed.
    Moderated(Avatars),
    /// The entries of a feed.
    Atom,
    /// The bare ids, for those who only want to know what is new.
    Ids,
}

/// One message of a timeline, with its author.
#[derive(Debug)]
pub(crate) struct Entry {
    pub(crate) id: Uuid,
    pub(crate) author: Arc<Account>,
    pub(crate) text: String,
}

impl Format {
    /// How many of `limit` entries are shown: a page asks for one more than it shows, to learn
    /// whether there are more.
    fn shown(self, limit: u32) -> usize {
        let limit = usize::try_from(limit).unwrap_or(usize::MAX);
        if let Self::Html(_) | Self::Moderated(_) = self {
            limit.saturating_sub(1)
        } else {
            limit
        }
    }

    fn render(self, entries: &[Entry]) -> Bytes {
        match self {
            Self::Json => crate::api::messages::render(entries),
            Self::Html(avatars) => crate::pages::message::render(entries, avatars, false),
            Self::Moderated(avatars) => crate::pages::message::render(entries, avatars, true),
            Self::Atom => crate::pages::feed::render(entries),
            Self::Ids => crate::pages::live::render(entries),
        }
    }
}

/// The timelines of the message service.
pub(crate) struct Timelines(Batcher<List>);

impl Timelines {
    pub(super) fn new(
        client: MessageServiceClient<Pool>,
        accounts: Accounts,
        rendered_bytes_max: u64,
    ) -> Self {
        let list = List {
            client,
            accounts,
            kept: Keep::new(rendered_bytes_max, |key: &TimelineKey| key.scope.bytes()),
        };
        Self(batcher("gateway.list_timelines", list))
    }

    /// A timeline as it is now.
    pub(crate) async fn list(
        &self,
        key: TimelineKey,
        deadline: Deadline,
    ) -> Result<Arc<Rendered>, Status> {
        self.0.call(key, deadline).await
    }
}

struct List {
    client: MessageServiceClient<Pool>,
    accounts: Accounts,
    kept: Keep<TimelineKey>,
}

impl Work for List {
    type Item = TimelineKey;
    type Output = Arc<Rendered>;

    async fn run(
        &self,
        asked: Vec<TimelineKey>,
        deadline: Deadline,
    ) -> Result<Vec<Result<Arc<Rendered>, Status>>, Status> {
        let (keys, positions) = share(asked);
        // Held until the answer is there: what is "unchanged" must not be evicted meanwhile.
        let kept: Vec<Option<Arc<Rendered>>> = keys.iter().map(|key| self.kept.get(key)).collect();
        let queries = keys
            .iter()
            .zip(&kept)
            .map(|(key, kept)| query(key, kept.as_deref()));
        let request = deadline.request(ListTimelinesRequest {
            queries: queries.collect(),
        });
        let response = self
            .client
            .clone()
            .list_timelines(request)
            .await?
            .into_inner();

        let timelines = response
            .results
            .iter()
            .filter_map(|result| match &result.outcome {
                Some(list_timeline_result::Outcome::Timeline(timeline)) => Some(timeline),
                _ => None,
            });
        let authors = self.authors(timelines, deadline).await?;
        let mut answers = Vec::with_capacity(keys.len());
        for ((key, kept), result) in keys.into_iter().zip(kept).zip(response.results) {
            use list_timeline_result::Outcome;
            answers.push(match (result.outcome, kept) {
                (Some(Outcome::Timeline(timeline)), _) => self.render(key, timeline, &authors),
                (Some(Outcome::Unchanged(_)), Some(kept)) => Ok(kept),
                (Some(Outcome::Error(error)), _) => Err(item::status(error)),
                (Some(Outcome::Unchanged(_)) | None, _) => Err(incomplete()),
            });
        }
        answer_all(&answers, &positions)
    }
}

impl List {
    async fn authors<'a>(
        &self,
        timelines: impl Iterator<Item = &'a Timeline>,
        deadline: Deadline,
    ) -> Result<HashMap<Uuid, Arc<Account>>, Status> {
        let mut ids = timelines
            .flat_map(|timeline| &timeline.messages)
            .map(|message| item::id("author_id", &message.author_id))
            .collect::<Result<Vec<Uuid>, Status>>()?;
        ids.sort_unstable();
        ids.dedup();
        let accounts = self.accounts.of_ids(&ids, deadline).await?;
        let known = ids.into_iter().zip(accounts);
        Ok(known
            .filter_map(|(id, account)| Some((id, account?)))
            .collect())
    }

    fn render(
        &self,
        key: TimelineKey,
        timeline: Timeline,
        authors: &HashMap<Uuid, Arc<Account>>,
    ) -> Result<Arc<Rendered>, Status> {
        let mut entries = Vec::with_capacity(timeline.messages.len());
        for message in timeline.messages {
            let author = item::id("author_id", &message.author_id)?;
            // A message whose account is gone is about to go as well.
            if let Some(author) = authors.get(&author) {
                let id = item::id("id", &message.id)?;
                entries.push(Entry {
                    id,
                    author: Arc::clone(author),
                    text: message.text,
                });
            }
        }
        let shown = key.format.shown(key.limit);
        let more = entries.len() > shown;
        entries.truncate(shown);
        let rendered = Rendered {
            version: timeline.version,
            body: key.format.render(&entries),
            first: entries.first().map(|entry| entry.id),
            last: entries.last().map(|entry| entry.id),
            more,
            ..Rendered::default()
        };
        Ok(self.kept.insert(key, rendered))
    }
}

fn query(key: &TimelineKey, kept: Option<&Rendered>) -> TimelineQuery {
    let scope = match &key.scope {
        Scope::Everybody => timeline_query::Scope::Everybody(Everybody {}),
        Scope::Author(id) => timeline_query::Scope::Authors(Authors {
            ids: item::wire(*id),
        }),
        Scope::Authors(ids) => timeline_query::Scope::Authors(Authors { ids: ids.clone() }),
    };
    TimelineQuery {
        scope: Some(scope),
        limit: key.limit,
        before_id: key.before.map(item::wire).unwrap_or_default(),
        known_version: kept.map(|kept| kept.version),
    }
}
