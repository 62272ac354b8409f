//! The store of operators, and its SQL.

use std::{collections::HashSet, future::Future};

use database::{
    db::Db,
    statement::{Access, Column, Kind, Statement},
    store::StoreError,
};
use minitwit_proto::limits::EXPORT_ITEMS_MAX;
use uuid::Uuid;

use crate::{
    moderation::store::{FLAGGABLE_COLUMNS, FlaggableMessage},
    store::NewMessage,
    timeline::xor_into_version,
};

/// Message of another system.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ImportedMessage {
    /// The message.
    pub message: NewMessage,
    /// Name of the moderator, or `None` if the message is not flagged.
    pub flagged_by: Option<String>,
}

/// Store of messages for operators.
pub trait OperatorStore: Send + Sync + 'static {
    /// Stores messages. Returns for each, in the order of the argument, whether it had been stored before.
    fn import(
        &self,
        messages: Vec<ImportedMessage>,
    ) -> impl Future<Output = Result<Vec<bool>, StoreError>> + Send;

    /// Messages of an author that are newer than `after`, oldest first. A page has at most
    /// [`EXPORT_ITEMS_MAX`].
    fn export(
        &self,
        author: Uuid,
        after: Uuid,
    ) -> impl Future<Output = Result<Vec<FlaggableMessage>, StoreError>> + Send;
}

/// Store of messages for operators in an SQL database.
#[derive(Debug)]
pub struct SqlOperatorStore {
    db: Db,
    import: Statement,
    export: Statement,
}

impl SqlOperatorStore {
    /// Creates a store over a database whose schema is up to date.
    pub fn new(db: Db) -> Self {
        use Kind::{Bool, Id, Text};
        // An imported flag gets the stamp of its message, so every later write of the flag takes precedence.
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
                     versions AS ({})
                     SELECT id FROM stored",
                    xor_into_version("stored WHERE NOT flagged")
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
                // Both ids are known before the first row is read, so the index is read in its order
                // and only as far as the page.
                &format!(
                    "SELECT {FLAGGABLE_COLUMNS} FROM message
                     WHERE message.author_id = (SELECT input.wanted FROM {{input}})
                       AND message.id > (SELECT input.after_id FROM {{input}})
                     ORDER BY message.id LIMIT {EXPORT_ITEMS_MAX}"
                ),
                &[("wanted", Id), ("after_id", Id)],
            ),
        }
    }
}

impl OperatorStore for SqlOperatorStore {
    async fn import(&self, messages: Vec<ImportedMessage>) -> Result<Vec<bool>, StoreError> {
        // The messages are sorted, so two batches with the same message cannot deadlock.
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
                    .map(|imported| moderator(imported).unwrap_or_default())
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
}
