//! Timelines, rendered: asked for by version, and made again only when they changed.

use std::{collections::HashMap, sync::Arc};

use bytes::Bytes;
use chassis::{
    batch::{BatchHandler, Batcher, Limits, dedup},
    deadline::Deadline,
    per_item,
    pool::Pool,
};
pub(crate) use minitwit_client::messages::Entry;
use minitwit_client::{
    accounts::{Account, Accounts},
    batching::{LIMITS, batcher},
    outcome::{TimelineUpdate, each, fan_out_complete, incomplete},
};
use minitwit_proto::message::v1::{
    Authors, Everybody, ListTimelinesRequest, Message, Timeline, TimelineQuery,
    message_service_client::MessageServiceClient, timeline_query,
};
use tonic::Status;
use uuid::Uuid;

use crate::pages::avatar::Avatars;

use super::keep::{Body, Keep, Rendered};

/// Whose messages.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Scope {
    Everybody,
    Author(Uuid),
    /// Of several authors, merged: their ids, one behind the other.
    Authors(Bytes),
}

impl Scope {
    /// A rendered timeline of it, as it is to be kept.
    fn body(&self, rendered: Bytes) -> Body {
        match self {
            Self::Everybody => Body::Plain(rendered),
            Self::Author(_) | Self::Authors(_) => Body::packed(rendered),
        }
    }

    /// What it holds beside its own size.
    pub(super) fn bytes(&self) -> usize {
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

    /// Whether newer messages can be put before what was rendered: who pages on has to know the ids at its
    /// end as well.
    fn grows(self) -> bool {
        self == Self::Json
    }

    fn render(self, entries: &[Entry]) -> Bytes {
        match self {
            Self::Json => crate::api::messages::render(entries).into(),
            Self::Html(avatars) => crate::pages::message::render(entries, avatars, false),
            Self::Moderated(avatars) => crate::pages::message::render(entries, avatars, true),
            Self::Atom => crate::pages::feed::render(entries),
            Self::Ids => crate::pages::live::render(entries),
        }
    }
}

/// For timelines of many authors: as many as the message service reads at once.
const MERGED_LIMITS: Limits = Limits {
    batch_weight_max: 2_000,
    ..LIMITS
};

/// The timelines of the message service.
pub(crate) struct Timelines {
    single: Batcher<List>,
    /// Apart, because one of them may take as long as hundreds of others.
    merged: Batcher<List>,
}

impl Timelines {
    pub(super) fn new(client: MessageServiceClient<Pool>, accounts: Accounts, kept: Keep) -> Self {
        let list = List {
            client,
            accounts,
            kept,
        };
        Self {
            single: batcher("gateway.list_timelines", list.clone()),
            merged: Batcher::new("gateway.list_merged_timelines", MERGED_LIMITS, list),
        }
    }

    /// A timeline as it is now.
    pub(crate) async fn list(
        &self,
        key: TimelineKey,
        deadline: Deadline,
    ) -> Result<Arc<Rendered>, Status> {
        let batcher = match key.scope {
            Scope::Everybody | Scope::Author(_) => &self.single,
            Scope::Authors(_) => &self.merged,
        };
        batcher.call(key, deadline).await
    }
}

#[derive(Clone)]
struct List {
    client: MessageServiceClient<Pool>,
    accounts: Accounts,
    kept: Keep,
}

impl BatchHandler for List {
    type Item = TimelineKey;
    type Output = Arc<Rendered>;

    async fn run(
        &self,
        asked: Vec<TimelineKey>,
        deadline: Deadline,
    ) -> Result<Vec<Result<Arc<Rendered>, Status>>, Status> {
        let (keys, positions) = dedup(asked);
        // Held until the answer is there: what is "unchanged" must not be evicted meanwhile.
        let kept = self.kept.get_each(&keys);
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

        let results = each(response.results);
        let timelines = results
            .iter()
            .flatten()
            .filter_map(TimelineUpdate::timeline);
        let authors = self.authors(timelines, deadline).await;
        let mut answers = Vec::with_capacity(keys.len());
        for ((key, kept), result) in keys.into_iter().zip(kept).zip(results) {
            answers.push(match (result, kept) {
                (Ok(TimelineUpdate::Whole(timeline)), _) => self.render(key, timeline, &authors),
                (Ok(TimelineUpdate::Added(timeline)), Some(kept)) if key.format.grows() => {
                    self.extend(key, &kept, timeline, &authors)
                }
                (Ok(TimelineUpdate::Unchanged), Some(kept)) => Ok(kept),
                (Err(status), _) => Err(status),
                (Ok(TimelineUpdate::Unchanged | TimelineUpdate::Added(_)), _) => Err(incomplete()),
            });
        }
        fan_out_complete(&answers, &positions)
    }

    /// As many as authors are merged.
    fn weight(key: &TimelineKey) -> usize {
        (key.scope.bytes() / size_of::<Uuid>()).max(1)
    }
}

impl List {
    /// The authors of timelines, as far as they can be had.
    async fn authors<'a>(
        &self,
        timelines: impl Iterator<Item = &'a Timeline>,
        deadline: Deadline,
    ) -> Authorship {
        let mut ids: Vec<Uuid> = timelines
            .flat_map(|timeline| &timeline.messages)
            // One that is no id fails the timeline that it is in.
            .filter_map(|message| per_item::id("author_id", &message.author_id).ok())
            .collect();
        ids.sort_unstable();
        ids.dedup();
        // A look-up that takes all the time there is must not take those along who do not need it.
        let deadline = deadline.at_most(deadline.remaining() / 4 * 3);
        let (accounts, looked_up) = self.accounts.lookup_partial(&ids, deadline).await;
        let known = ids.into_iter().zip(accounts);
        Authorship {
            known: known
                .filter_map(|(id, account)| Some((id, account?)))
                .collect(),
            looked_up,
        }
    }

    fn render(
        &self,
        key: TimelineKey,
        timeline: Timeline,
        authors: &Authorship,
    ) -> Result<Arc<Rendered>, Status> {
        let mut entries = authors.entries(timeline.messages)?;
        let shown = key.format.shown(key.limit);
        let more = entries.len() > shown;
        entries.truncate(shown);
        let body = key.format.render(&entries);
        let rendered = Rendered {
            version: timeline.version,
            body: key.scope.body(body),
            first: entries.first().map(|entry| entry.id),
            last: entries.last().map(|entry| entry.id),
            more,
            ..Rendered::default()
        };
        Ok(self.kept.insert(key, rendered))
    }

    /// Puts what was added before what is kept.
    fn extend(
        &self,
        key: TimelineKey,
        kept: &Rendered,
        added: Timeline,
        authors: &Authorship,
    ) -> Result<Arc<Rendered>, Status> {
        let entries = authors.entries(added.messages)?;
        let shown = key.format.shown(key.limit);
        let body = crate::api::messages::extend(&kept.body.bytes(), &entries, shown).into();
        let rendered = Rendered {
            version: added.version,
            body: key.scope.body(body),
            first: entries.first().map(|entry| entry.id).or(kept.first),
            ..Rendered::default()
        };
        Ok(self.kept.insert(key, rendered))
    }
}

/// The authors that are known, and whether the others are known to be none.
struct Authorship {
    known: HashMap<Uuid, Arc<Account>>,
    looked_up: Result<(), Status>,
}

impl Authorship {
    /// The messages with their authors.
    ///
    /// # Errors
    ///
    /// One of the authors is not known, and could not be looked up.
    fn entries(&self, messages: Vec<Message>) -> Result<Vec<Entry>, Status> {
        let mut entries = Vec::with_capacity(messages.len());
        for message in messages {
            let author = per_item::id("author_id", &message.author_id)?;
            let Some(author) = self.known.get(&author) else {
                // A message whose account is gone is about to go as well.
                self.looked_up.clone()?;
                continue;
            };
            entries.push(Entry {
                id: per_item::id("id", &message.id)?,
                author: Arc::clone(author),
                text: message.text,
            });
        }
        Ok(entries)
    }
}

fn query(key: &TimelineKey, kept: Option<&Rendered>) -> TimelineQuery {
    let scope = match &key.scope {
        Scope::Everybody => timeline_query::Scope::Everybody(Everybody {}),
        Scope::Author(id) => timeline_query::Scope::Authors(Authors {
            ids: per_item::encode_id(*id),
        }),
        Scope::Authors(ids) => timeline_query::Scope::Authors(Authors { ids: ids.clone() }),
    };
    TimelineQuery {
        scope: Some(scope),
        limit: key.limit,
        before_id: key.before.map(per_item::encode_id).unwrap_or_default(),
        known_version: kept.map(|kept| kept.version),
        known_newest_id: kept
            .filter(|_| key.format.grows())
            .map(|kept| per_item::encode_id(kept.first.unwrap_or_default())),
    }
}

#[cfg(test)]
mod tests {
    use tonic::Code;

    use super::*;

    fn account(id: u128) -> Arc<Account> {
        Arc::new(Account {
            id: Uuid::from_u128(id),
            username: format!("account {id}"),
            avatar_hash: String::new(),
            session_epoch: 0,
            moderator: false,
        })
    }

    fn by(author: u128) -> Message {
        Message {
            id: per_item::encode_id(Uuid::now_v7()),
            author_id: per_item::encode_id(Uuid::from_u128(author)),
            text: "hello".to_owned(),
        }
    }

    fn authorship(looked_up: Result<(), Status>) -> Authorship {
        Authorship {
            known: HashMap::from([(Uuid::from_u128(1), account(1))]),
            looked_up,
        }
    }

    #[test]
    fn a_failed_look_up_concerns_only_those_whom_nobody_knows() {
        let authors = authorship(Err(Status::unavailable("the user service is away")));
        let known = authors.entries(vec![by(1), by(1)]).unwrap();
        assert_eq!(known.len(), 2);
        let error = authors.entries(vec![by(1), by(2)]).unwrap_err();
        assert_eq!(error.code(), Code::Unavailable);
    }

    #[test]
    fn messages_of_nobody_are_left_out() {
        let authors = authorship(Ok(()));
        let entries = authors.entries(vec![by(2), by(1)]).unwrap();
        let names: Vec<&str> = entries
            .iter()
            .map(|entry| entry.author.username.as_str())
            .collect();
        assert_eq!(names, ["account 1"]);
    }

    #[test]
    fn a_timeline_weighs_as_much_as_it_merges() {
        let weight = |scope| {
            List::weight(&TimelineKey {
                scope,
                limit: 30,
                before: None,
                format: Format::Json,
            })
        };
        assert_eq!(weight(Scope::Everybody), 1);
        assert_eq!(weight(Scope::Author(Uuid::nil())), 1);
        assert_eq!(weight(Scope::Authors(Bytes::from(vec![0; 48]))), 3);
    }
}
