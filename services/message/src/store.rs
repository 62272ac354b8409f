//! What is kept of messages, and the SQL that keeps it.

use std::{future::Future, sync::Arc};

use chassis::per_item::{WriteOutcome, last_writes};
use database::{
    db::Db,
    statement::{Access, Column, Kind, Statement},
    store::StoreError,
};
use uuid::Uuid;

use crate::timeline::{Timelines, fold};

/// A message to be stored. Its id is the key of the write, and its time the time of publication.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewMessage {
    /// The key, a UUIDv7.
    pub id: Uuid,
    /// Who wrote it.
    pub author_id: Uuid,
    /// The text, exactly as posted.
    pub text: String,
}

/// A message as readers see it.
#[derive(Clone, Debug, PartialEq, Eq, sqlx::FromRow)]
pub struct Message {
    /// The id.
    pub id: Uuid,
    /// Who wrote it.
    pub author_id: Uuid,
    /// The text.
    pub text: String,
}

/// Whose messages are wanted.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Scope {
    /// Everybody's.
    Everybody,
    /// Those of some authors, merged.
    Authors(Vec<Uuid>),
}

impl Scope {
    /// How many authors' messages are merged; 1 when nothing is.
    pub fn merged(&self) -> usize {
        match self {
            Self::Everybody => 1,
            Self::Authors(authors) => authors.len().max(1),
        }
    }
}

/// A page of a timeline.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct TimelineQuery {
    /// Whose messages.
    pub scope: Scope,
    /// At most so many.
    pub limit: u32,
    /// Only messages older than this one; [`Uuid::max`] for all.
    pub before: Uuid,
}

/// Messages, newest first, and their timeline's version.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Timeline {
    /// As long as it is the same, so is the list that the same query asks for.
    pub version: i64,
    /// The messages.
    pub messages: Vec<Message>,
}

/// A timeline that is asked for.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Asked {
    /// Which.
    pub query: TimelineQuery,
    /// What the caller has of it; `None` asks for all of it in any case.
    pub kept: Option<Kept>,
}

/// What a caller keeps of a timeline.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Kept {
    /// Its version.
    pub version: i64,
    /// The newest message that it lists, nil when it lists none; `None`: the caller wants the whole list
    /// when it is another one.
    pub newest: Option<Uuid>,
}

/// A timeline as far as its caller has to be told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Listed {
    /// It is what the caller keeps.
    Unchanged,
    /// These come before what the caller keeps, of which as many fall off the end as are more than
    /// were asked for.
    Added(Arc<Timeline>),
    /// It is this.
    Whole(Arc<Timeline>),
}

/// A new state of a message's flag.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FlagUpdate {
    /// The message.
    pub message_id: Uuid,
    /// Flagged, or no longer.
    pub flagged: bool,
    /// The key of the write; the greatest one wins.
    pub stamp: Uuid,
    /// Who did it, when it is no account.
    pub moderator: String,
    /// The account that did it; nil for none.
    pub moderator_id: Uuid,
}

/// Where messages are kept. Every method answers item by item, in the order asked.
pub trait MessageStore: Send + Sync + 'static {
    /// Stores messages; one that is there already under its id is left as it is.
    fn insert(
        &self,
        messages: Vec<NewMessage>,
    ) -> impl Future<Output = Result<(), StoreError>> + Send;

    /// Timelines, each with its version of the same moment, as far as those who ask do not have them.
    fn timelines(
        &self,
        asked: &[Asked],
    ) -> impl Future<Output = Result<Vec<Listed>, StoreError>> + Send;

    /// Finds messages that are not flagged.
    fn find(
        &self,
        ids: Vec<Uuid>,
    ) -> impl Future<Output = Result<Vec<Option<Message>>, StoreError>> + Send;

    /// Counts authors' messages that are not flagged.
    fn count(
        &self,
        authors: Vec<Uuid>,
    ) -> impl Future<Output = Result<Vec<i64>, StoreError>> + Send;

    /// Sets flags; `None` where there is no such message.
    fn set_flags(
        &self,
        updates: Vec<FlagUpdate>,
    ) -> impl Future<Output = Result<Vec<Option<WriteOutcome>>, StoreError>> + Send;
}

/// Messages in an SQL database.
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
    /// A store over a database whose schema is up to date.
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
            fold("stored")
        ),
        &[("author_id", Id), ("id", Id), ("text", Text)],
    )
}

/// Rows are locked in the order of their ids, so that two batches with the same messages cannot
/// deadlock; SQLite has one writer.
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
                           message.flagged <> locked.flagged AS has_turned)
             {}",
            fold("written WHERE has_turned")
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
        // Always in one order, so that two batches with the same repeated message cannot deadlock.
        messages.sort_unstable_by_key(|message| (message.author_id, message.id));
        let authors = messages.iter().map(|message| message.author_id).collect();
        let ids = messages.iter().map(|message| message.id).collect();
        let texts = messages.into_iter().map(|message| message.text).collect();
        let input = vec![Column::Id(authors), Column::Id(ids), Column::Text(texts)];
        self.insert.fetch::<(i64,)>(&self.db, input).await?;
        Ok(())
    }

    async fn timelines(&self, asked: &[Asked]) -> Result<Vec<Listed>, StoreError> {
        self.timelines.list(asked).await
    }

    async fn find(&self, ids: Vec<Uuid>) -> Result<Vec<Option<Message>>, StoreError> {
        let found: Vec<Message> = self
            .find
            .fetch(&self.db, vec![Column::Id(ids.clone())])
            .await?;
        let place = |id: &Uuid| found.iter().find(|message| message.id == *id).cloned();
        Ok(ids.iter().map(place).collect())
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
        let own = |update: &FlagUpdate| {
            let (_, stamp) = stored.iter().find(|(id, _)| *id == update.message_id)?;
            // A stamp of this very batch is an overtaking among the living, hence success.
            let winner = last
                .iter()
                .find(|other| other.message_id == update.message_id)?;
            Some(WriteOutcome::from_stamps(winner.stamp, (*stamp)?))
        };
        Ok(updates.iter().map(own).collect())
    }
}
