//! What operators do with messages, in SQL.

use std::{collections::HashSet, future::Future};

use database::{
    db::Db,
    statement::{Access, Column, Kind, Statement},
    store::StoreError,
};
use minitwit_proto::limits::{DELETE_ITEMS_MAX, EXPORT_ITEMS_MAX, FLAGGED_MESSAGES_MAX};
use uuid::Uuid;

use crate::{
    store::{Message, NewMessage},
    timeline::fold,
};

/// A message of another system.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ImportedMessage {
    /// The message.
    pub message: NewMessage,
    /// Who flagged it; `None` when nobody did.
    pub flagged_by: Option<String>,
}

/// A message with what is kept of its flag.
#[derive(Clone, Debug, PartialEq, Eq, sqlx::FromRow)]
pub struct FlaggableMessage {
    /// The message.
    #[sqlx(flatten)]
    pub message: Message,
    /// Whether it is flagged.
    pub flagged: bool,
    /// The stamp of the last write of the flag.
    pub flag_stamp: Option<Uuid>,
    /// Who wrote it, when it was no account.
    pub flagged_by: Option<String>,
    /// The account that wrote it.
    pub flagged_by_id: Option<Uuid>,
}

/// What operators do with messages.
pub trait OperatorStore: Send + Sync + 'static {
    /// Stores messages, and tells in the order asked which of them had been there before.
    fn import(
        &self,
        messages: Vec<ImportedMessage>,
    ) -> impl Future<Output = Result<Vec<bool>, StoreError>> + Send;

    /// An author's messages newer than `after`, oldest first, at most [`EXPORT_ITEMS_MAX`].
    fn export(
        &self,
        author: Uuid,
        after: Uuid,
    ) -> impl Future<Output = Result<Vec<FlaggableMessage>, StoreError>> + Send;

    /// Messages that were flagged before `before`, the latest first, at most [`FLAGGED_MESSAGES_MAX`].
    fn flagged(
        &self,
        before: Uuid,
    ) -> impl Future<Output = Result<Vec<FlaggableMessage>, StoreError>> + Send;

    /// Deletes at most [`DELETE_ITEMS_MAX`] messages of authors, and tells whether there may be more: as long as
    /// any were found, though somebody else has deleted them first.
    fn delete(&self, authors: Vec<Uuid>) -> impl Future<Output = Result<bool, StoreError>> + Send;
}

/// What operators do with the messages of an SQL database.
#[derive(Debug)]
pub struct SqlOperatorStore {
    db: Db,
    import: Statement,
    export: Statement,
    flagged: Statement,
    delete: Statement,
    /// What PostgreSQL keeps of an author without messages.
    forget: Statement,
}

impl SqlOperatorStore {
    /// A store over a database whose schema is up to date.
    pub fn new(db: Db) -> Self {
        use Kind::{Bool, Id, Text};
        const FLAGGABLE: &str = "message.id, message.author_id, message.text, message.flagged,
            message.flag_stamp, message.flagged_by, message.flagged_by_id";
        // A flag from elsewhere is as old as its message: whatever was done here since then stands.
        const IMPORT: &str = "INSERT INTO message
                (author_id, id, text, flagged, flag_stamp, flagged_by)
            SELECT author_id, id, text, is_flagged, CASE WHEN is_flagged THEN id END,
                   CASE WHEN is_flagged THEN moderator END
            FROM {input} WHERE true
            ON CONFLICT (author_id, id) DO NOTHING";
        Self {
            db,
            import: Statement::per_engine(
                Access::Write,
                "INSERT message import",
                &format!("{IMPORT} RETURNING id"),
                &format!(
                    "WITH stored AS ({IMPORT} RETURNING author_id, id, flagged),
                     folded AS ({})
                     SELECT id FROM stored",
                    fold("stored WHERE NOT flagged")
                ),
                &[
                    ("author_id", Id),
                    ("id", Id),
                    ("text", Text),
                    ("is_flagged", Bool),
                    ("moderator", Text),
                ],
            ),
            export: Statement::new(
                Access::Read,
                "SELECT message export",
                // Both known before the first row is read, so that the index is read in its order
                // and no further than the page goes.
                &format!(
                    "SELECT {FLAGGABLE} FROM message
                     WHERE message.author_id = (SELECT input.wanted FROM {{input}})
                       AND message.id > (SELECT input.after_id FROM {{input}})
                     ORDER BY message.id LIMIT {EXPORT_ITEMS_MAX}"
                ),
                &[("wanted", Id), ("after_id", Id)],
            ),
            flagged: Statement::new(
                Access::Read,
                "SELECT message flagged",
                &format!(
                    "SELECT {FLAGGABLE} FROM message
                     WHERE flagged AND flag_stamp < (SELECT input.before_stamp FROM {{input}})
                     ORDER BY flag_stamp DESC LIMIT {FLAGGED_MESSAGES_MAX}"
                ),
                &[("before_stamp", Id)],
            ),
            // By place, for PostgreSQL would rather read the whole table than look up a thousand
            // keys. A row that moves meanwhile is met the next time, so what counts is how many were
            // found: of two who delete the same rows, the second finds them, waits for the first and
            // deletes none, and others may be left. SQLite has one writer.
            delete: Statement::per_engine(
                Access::Write,
                "DELETE message",
                &format!(
                    "DELETE FROM message WHERE (author_id, id) IN (
                         SELECT message.author_id, message.id
                         FROM {{input}} JOIN message ON message.author_id = input.wanted
                         LIMIT {DELETE_ITEMS_MAX})
                     RETURNING CAST(1 AS BIGINT)"
                ),
                &format!(
                    "WITH found AS MATERIALIZED (
                         SELECT message.ctid AS place
                         FROM {{input}} JOIN message ON message.author_id = input.wanted
                         LIMIT {DELETE_ITEMS_MAX}),
                     deleted AS (
                         DELETE FROM message WHERE ctid = ANY (ARRAY(SELECT place FROM found))
                         RETURNING author_id, id, flagged),
                     folded AS ({})
                     SELECT CAST(1 AS BIGINT) FROM found",
                    fold("deleted WHERE NOT flagged")
                ),
                &[("wanted", Id)],
            ),
            // A version of nothing is 0 with a row and without.
            forget: Statement::new(
                Access::Write,
                "DELETE timeline",
                "DELETE FROM timeline USING {input}
                 WHERE timeline.author_id = input.wanted AND timeline.version = 0",
                &[("wanted", Id)],
            ),
        }
    }
}

impl OperatorStore for SqlOperatorStore {
    async fn import(&self, messages: Vec<ImportedMessage>) -> Result<Vec<bool>, StoreError> {
        // Always in one order, so that two batches with the same message cannot deadlock.
        let mut ordered: Vec<&ImportedMessage> = messages.iter().collect();
        ordered.sort_unstable_by_key(|imported| (imported.message.author_id, imported.message.id));
        let each = || ordered.iter();
        let moderator = |imported: &&ImportedMessage| imported.flagged_by.clone();
        let input = vec![
            Column::Id(each().map(|imported| imported.message.author_id).collect()),
            Column::Id(each().map(|imported| imported.message.id).collect()),
            Column::Text(
                each()
                    .map(|imported| imported.message.text.clone())
                    .collect(),
            ),
            Column::Bool(
                each()
                    .map(|imported| imported.flagged_by.is_some())
                    .collect(),
            ),
            Column::Text(
                each()
                    .map(|one| moderator(one).unwrap_or_default())
                    .collect(),
            ),
        ];
        let stored: Vec<(Uuid,)> = self.import.fetch(&self.db, input).await?;
        let stored: HashSet<Uuid> = stored.into_iter().map(|(id,)| id).collect();
        Ok(messages
            .iter()
            .map(|imported| !stored.contains(&imported.message.id))
            .collect())
    }

    async fn export(&self, author: Uuid, after: Uuid) -> Result<Vec<FlaggableMessage>, StoreError> {
        let input = vec![Column::Id(vec![author]), Column::Id(vec![after])];
        self.export.fetch(&self.db, input).await
    }

    async fn flagged(&self, before: Uuid) -> Result<Vec<FlaggableMessage>, StoreError> {
        let input = vec![Column::Id(vec![before])];
        self.flagged.fetch(&self.db, input).await
    }

    async fn delete(&self, authors: Vec<Uuid>) -> Result<bool, StoreError> {
        let mut authors = authors;
        // In the order in which versions are written, so that nobody deadlocks.
        authors.sort_unstable();
        let found: Vec<(i64,)> = self
            .delete
            .fetch(&self.db, vec![Column::Id(authors.clone())])
            .await?;
        if found.is_empty()
            && let Db::Postgres { pool, .. } = &self.db
        {
            let input = vec![Column::Id(authors)];
            let forget = self.forget.fetch_postgres::<(i64,)>(&self.db, pool, input);
            forget.await?;
        }
        Ok(!found.is_empty())
    }
}
