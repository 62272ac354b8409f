//! The store of messages, and its SQL.

use std::{future::Future, sync::Arc};

use chassis::per_item::{WriteOutcome, last_writes};
use database::{
    db::Db,
    statement::{Access, Column, Kind, Statement},
    store::StoreError,
};
use uuid::Uuid;

use crate::timeline::{Timelines, xor_into_version};

/// A message to store. Its id is the key of the write, and the time of the id is the time of publication.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewMessage {
    /// Id of the message, a UUIDv7.
    pub id: Uuid,
    /// Id of the author.
    pub author_id: Uuid,
    /// Text, exactly as posted.
    pub text: String,
}

/// A message as readers see it.
#[derive(Clone, Debug, PartialEq, Eq, sqlx::FromRow)]
pub struct Message {
    /// Id of the message.
    pub id: Uuid,
    /// Id of the author.
    pub author_id: Uuid,
    /// Text, exactly as posted.
    pub text: String,
}

/// Authors of the messages of a timeline.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Scope {
    /// All authors.
    Everybody,
    /// The given authors. Their messages are merged.
    Authors(Vec<Uuid>),
}

impl Scope {
    /// Number of authors whose messages are merged, or 1 for a timeline that needs no merging.
    pub fn author_count(&self) -> usize {
        match self {
            Self::Everybody => 1,
            Self::Authors(authors) => authors.len().max(1),
        }
    }
}

/// Query for one page of a timeline.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct TimelineQuery {
    /// Authors of the messages.
    pub scope: Scope,
    /// Maximum number of messages in the page.
    pub limit: u32,
    /// Id of the message before which the page starts; [`Uuid::max`] for the first page.
    pub before: Uuid,
}

/// Messages of a timeline, newest first, and its version.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Timeline {
    /// Version of the timeline. While it is the same, the same query returns the same page.
    pub version: i64,
    /// Messages, newest first.
    pub messages: Vec<Message>,
}

/// Query that is answered only as far as the timeline differs from the version that the caller has.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct ConditionalQuery {
    /// Query for the page.
    pub query: TimelineQuery,
    /// Version that the caller has. With `None` the whole page is read in any case.
    pub known: Option<KnownVersion>,
}

/// Version of a timeline that a caller has.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct KnownVersion {
    /// The version.
    pub version: i64,
    /// Id of the newest message in the page of the caller, or nil if the page is empty. With `None` the caller
    /// gets the whole page if it has changed.
    pub newest: Option<Uuid>,
}

/// Difference between a timeline and the version that the caller has.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TimelineDelta {
    /// The version of the caller is current.
    Unchanged,
    /// Messages to insert before those of the caller, and the current version. The caller drops the oldest
    /// messages beyond the limit.
    Added(Arc<Timeline>),
    /// The whole page.
    Whole(Arc<Timeline>),
}

/// New state of a flag.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FlagUpdate {
    /// Id of the message.
    pub message_id: Uuid,
    /// Whether the flag is set.
    pub flagged: bool,
    /// Key of the write. The greatest stamp of a message wins.
    pub stamp: Uuid,
    /// Name of the operator who sets the flag, if no account sets it.
    pub moderator: String,
    /// Id of the account that sets the flag, or nil for an operator.
    pub moderator_id: Uuid,
}

/// Store of messages. Each method returns one result per item, in the order of its argument.
pub trait MessageStore: Send + Sync + 'static {
    /// Stores messages. A message whose id is already stored stays as it is.
    fn insert(
        &self,
        messages: Vec<NewMessage>,
    ) -> impl Future<Output = Result<(), StoreError>> + Send;

    /// Reads timelines as far as the callers do not have them. The messages and the version of a timeline are
    /// of the same moment.
    fn timelines(
        &self,
        queries: &[ConditionalQuery],
    ) -> impl Future<Output = Result<Vec<TimelineDelta>, StoreError>> + Send;

    /// Finds messages that are not flagged.
    fn find(
        &self,
        ids: Vec<Uuid>,
    ) -> impl Future<Output = Result<Vec<Option<Message>>, StoreError>> + Send;

    /// Counts the messages of authors that are not flagged.
    fn count(
        &self,
        authors: Vec<Uuid>,
    ) -> impl Future<Output = Result<Vec<i64>, StoreError>> + Send;

    /// Sets flags. The result is `None` if there is no such message.
    fn set_flags(
        &self,
        updates: Vec<FlagUpdate>,
    ) -> impl Future<Output = Result<Vec<Option<WriteOutcome>>, StoreError>> + Send;
}

/// Store of messages in an SQL database.
#[derive(Debug)]
pub struct SqlMessageStore {
    db: Db,
    timelines: Timelines,
    insert: Statement,
    find: Statement,
    count: Statement,
    set_flags: Statement,
    flag_stamps: Statement,
}

impl SqlMessageStore {
    /// Creates a store over a database whose schema is up to date.
    pub fn new(db: Db) -> Self {
        use Kind::Id;
        Self {
            timelines: Timelines::new(db.clone()),
            db,
            insert: insert(),
            find: Statement::new(
                Access::Read,
                "SELECT message",
                "SELECT message.id, message.author_id, message.text
                 FROM {input} JOIN message ON message.id = input.wanted
                 WHERE NOT message.flagged",
                &[("wanted", Id)],
            ),
            count: Statement::new(
                Access::Read,
                "SELECT message count",
                "SELECT (SELECT COUNT(*) FROM message
                         WHERE message.author_id = input.author_id AND NOT flagged)
                 FROM {input} ORDER BY ord",
                &[("author_id", Id)],
            ),
            set_flags: set_flags(),
            flag_stamps: Statement::new(
                Access::Read,
                "SELECT message flag",
                "SELECT message.id, message.flag_stamp
                 FROM {input} JOIN message ON message.id = input.wanted",
                &[("wanted", Id)],
            ),
        }
    }
}

fn insert() -> Statement {
    use Kind::{Id, Text};
    const INSERT: &str = "INSERT INTO message (author_id, id, text)
        SELECT author_id, id, text FROM {input} WHERE true
        ON CONFLICT (author_id, id) DO NOTHING";
    Statement::per_engine(
        Access::Write,
        "INSERT message",
        INSERT,
        &format!(
            "WITH stored AS ({INSERT} RETURNING author_id, id) {}",
            xor_into_version("stored")
        ),
        &[("author_id", Id), ("id", Id), ("text", Text)],
    )
}

/// Statement that sets flags. It locks rows in the order of their ids, so two batches with the same messages
/// cannot deadlock. SQLite has one writer.
fn set_flags() -> Statement {
    use Kind::{Bool, Id, Text};
    const SET: &str = "SET flagged = input.new_flagged, flag_stamp = input.stamp,
        flagged_by = input.moderator, flagged_by_id = input.moderator_id";
    const LATER: &str = "(message.flag_stamp IS NULL OR message.flag_stamp < input.stamp)";
    Statement::per_engine(
        Access::Write,
        "UPDATE message flag",
        &format!(
            "UPDATE message {SET} FROM {{input}}
             WHERE message.id = input.message_id AND {LATER}"
        ),
        &format!(
            "WITH input AS MATERIALIZED (SELECT input.* FROM {{input}}),
             locked AS MATERIALIZED (
                 SELECT message.author_id, message.id, message.flagged
                 FROM input JOIN message ON message.id = input.message_id
                 ORDER BY message.id FOR UPDATE OF message),
             written AS (
                 UPDATE message {SET} FROM input, locked
                 WHERE message.author_id = locked.author_id AND message.id = locked.id
                   AND input.message_id = locked.id AND {LATER}
                 RETURNING locked.author_id, locked.id,
                           message.flagged <> locked.flagged AS has_changed)
             {}",
            xor_into_version("written WHERE has_changed")
        ),
        &[
            ("message_id", Id),
            ("new_flagged", Bool),
            ("stamp", Id),
            ("moderator", Text),
            ("moderator_id", Id),
        ],
    )
}

impl MessageStore for SqlMessageStore {
    async fn insert(&self, messages: Vec<NewMessage>) -> Result<(), StoreError> {
        let mut messages = messages;
        // The messages are sorted, so two batches with the same repeated message cannot deadlock.
        messages.sort_unstable_by_key(|message| (message.author_id, message.id));
        let authors = messages.iter().map(|message| message.author_id).collect();
        let ids = messages.iter().map(|message| message.id).collect();
        let texts = messages.into_iter().map(|message| message.text).collect();
        let input = vec![Column::Id(authors), Column::Id(ids), Column::Text(texts)];
        self.insert.fetch::<(i64,)>(&self.db, input).await?;
        Ok(())
    }

    async fn timelines(
        &self,
        queries: &[ConditionalQuery],
    ) -> Result<Vec<TimelineDelta>, StoreError> {
        self.timelines.list(queries).await
    }

    async fn find(&self, ids: Vec<Uuid>) -> Result<Vec<Option<Message>>, StoreError> {
        let found: Vec<Message> = self
            .find
            .fetch(&self.db, vec![Column::Id(ids.clone())])
            .await?;
        let by_id = |id: &Uuid| found.iter().find(|message| message.id == *id).cloned();
        Ok(ids.iter().map(by_id).collect())
    }

    async fn count(&self, authors: Vec<Uuid>) -> Result<Vec<i64>, StoreError> {
        let counts: Vec<(i64,)> = self
            .count
            .fetch(&self.db, vec![Column::Id(authors)])
            .await?;
        Ok(counts.into_iter().map(|(count,)| count).collect())
    }

    async fn set_flags(
        &self,
        updates: Vec<FlagUpdate>,
    ) -> Result<Vec<Option<WriteOutcome>>, StoreError> {
        let last = last_writes(&updates, |update| update.message_id, |update| update.stamp);
        let ids: Vec<Uuid> = last.iter().map(|update| update.message_id).collect();
        let input = vec![
            Column::Id(ids.clone()),
            Column::Bool(last.iter().map(|update| update.flagged).collect()),
            Column::Id(last.iter().map(|update| update.stamp).collect()),
            Column::Text(last.iter().map(|update| update.moderator.clone()).collect()),
            Column::Id(last.iter().map(|update| update.moderator_id).collect()),
        ];
        self.set_flags.fetch::<(i64,)>(&self.db, input).await?;

        let stored: Vec<(Uuid, Option<Uuid>)> = self
            .flag_stamps
            .fetch(&self.db, vec![Column::Id(ids)])
            .await?;
        let outcome = |update: &FlagUpdate| {
            let (_, stamp) = stored.iter().find(|(id, _)| *id == update.message_id)?;
            // Several writes of this batch to one flag were concurrent. The smaller stamps count as applied
            // first, so all of them have the outcome of the write with the greatest stamp.
            let greatest = last
                .iter()
                .find(|other| other.message_id == update.message_id)?;
            Some(WriteOutcome::from_stamps(greatest.stamp, (*stamp)?))
        };
        Ok(updates.iter().map(outcome).collect())
    }
}
