//! The store of flagged messages, and its SQL.

use std::future::Future;

use database::{
    db::Db,
    statement::{Access, Column, Kind, Statement},
    store::StoreError,
};
use minitwit_proto::limits::FLAGGED_MESSAGES_MAX;
use uuid::Uuid;

use crate::store::Message;

/// A message with the state of its flag.
#[derive(Clone, Debug, PartialEq, Eq, sqlx::FromRow)]
pub struct FlaggableMessage {
    /// The message.
    #[sqlx(flatten)]
    pub message: Message,
    /// Whether the message is flagged.
    pub flagged: bool,
    /// Stamp of the last write of the flag.
    pub flag_stamp: Option<Uuid>,
    /// Name of the operator who wrote the flag last. `None` if an account wrote it.
    pub flagged_by: Option<String>,
    /// Id of the account that wrote the flag.
    pub flagged_by_id: Option<Uuid>,
}

/// Columns of a [`FlaggableMessage`].
pub(crate) const FLAGGABLE_COLUMNS: &str = "message.id, message.author_id, message.text,
    message.flagged, message.flag_stamp, message.flagged_by, message.flagged_by_id";

/// Store of flagged messages.
pub trait ModerationStore: Send + Sync + 'static {
    /// Messages that were flagged before the stamp `before`, the latest flag first. Returns at most
    /// [`FLAGGED_MESSAGES_MAX`] messages.
    fn flagged(
        &self,
        before: Uuid,
    ) -> impl Future<Output = Result<Vec<FlaggableMessage>, StoreError>> + Send;
}

/// Store of flagged messages in an SQL database.
#[derive(Debug)]
pub struct SqlModerationStore {
    db: Db,
    flagged: Statement,
}

impl SqlModerationStore {
    /// Creates a store over a database whose schema is up to date.
    pub fn new(db: Db) -> Self {
        Self {
            db,
            flagged: Statement::new(
                Access::Read,
                "SELECT message flagged",
                &format!(
                    "SELECT {FLAGGABLE_COLUMNS} FROM message
                     WHERE flagged AND flag_stamp < (SELECT input.before_stamp FROM {{input}})
                     ORDER BY flag_stamp DESC LIMIT {FLAGGED_MESSAGES_MAX}"
                ),
                &[("before_stamp", Kind::Id)],
            ),
        }
    }
}

impl ModerationStore for SqlModerationStore {
    async fn flagged(&self, before: Uuid) -> Result<Vec<FlaggableMessage>, StoreError> {
        let input = vec![Column::Id(vec![before])];
        self.flagged.fetch(&self.db, input).await
    }
}
