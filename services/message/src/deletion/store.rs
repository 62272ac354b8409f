//! The store of deletions, and its SQL.

use std::future::Future;

use database::{
    db::Db,
    statement::{Access, Column, Kind, Statement},
    store::StoreError,
};
use minitwit_proto::limits::DELETE_ITEMS_MAX;
use uuid::Uuid;

use crate::timeline::xor_into_version;

/// Store that deletes the messages of authors.
pub trait DeletionStore: Send + Sync + 'static {
    /// Deletes at most [`DELETE_ITEMS_MAX`] messages of authors. Returns whether messages may be left, which
    /// is whether it found any, even if a concurrent call deleted them first.
    fn delete(&self, authors: Vec<Uuid>) -> impl Future<Output = Result<bool, StoreError>> + Send;
}

/// Store of deletions in an SQL database.
#[derive(Debug)]
pub struct SqlDeletionStore {
    db: Db,
    delete: Statement,
    /// Statement that deletes the version of an author without messages, on PostgreSQL.
    delete_version: Statement,
}

impl SqlDeletionStore {
    /// Creates a store over a database whose schema is up to date.
    pub fn new(db: Db) -> Self {
        Self {
            db,
            delete: delete(),
            // The version of an author without messages is 0, whether there is a row or not.
            delete_version: Statement::new(
                Access::Write,
                "DELETE timeline",
                "DELETE FROM timeline USING {input}
                 WHERE timeline.author_id = input.wanted AND timeline.version = 0",
                &[("wanted", Kind::Id)],
            ),
        }
    }
}

/// Statement that deletes messages of authors and returns a row for each message that it found.
///
/// On PostgreSQL the rows are deleted by their physical row ids, because the planner prefers to read the
/// whole table over a thousand look-ups by key. A concurrent update moves a row to another row id, so the
/// row is left for the next call. Of two concurrent calls that find the same rows, the second waits for the
/// first and deletes none, although other rows may be left. So the number of found rows counts, and not
/// the number of deleted rows. SQLite has one writer.
fn delete() -> Statement {
    Statement::per_engine(
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
                 SELECT message.ctid AS row_id
                 FROM {{input}} JOIN message ON message.author_id = input.wanted
                 LIMIT {DELETE_ITEMS_MAX}),
             deleted AS (
                 DELETE FROM message WHERE ctid = ANY (ARRAY(SELECT row_id FROM found))
                 RETURNING author_id, id, flagged),
             versions AS ({})
             SELECT CAST(1 AS BIGINT) FROM found",
            xor_into_version("deleted WHERE NOT flagged")
        ),
        &[("wanted", Kind::Id)],
    )
}

impl DeletionStore for SqlDeletionStore {
    async fn delete(&self, authors: Vec<Uuid>) -> Result<bool, StoreError> {
        let mut authors = authors;
        // The versions are written in the order of the authors, so concurrent calls cannot deadlock.
        authors.sort_unstable();
        let input = vec![Column::Id(authors.clone())];
        let found: Vec<(i64,)> = self.delete.fetch(&self.db, input).await?;
        if found.is_empty()
            && let Db::Postgres { pool, .. } = &self.db
        {
            let input = vec![Column::Id(authors)];
            self.delete_version
                .fetch_postgres::<(i64,)>(&self.db, pool, input)
                .await?;
        }
        Ok(!found.is_empty())
    }
}
