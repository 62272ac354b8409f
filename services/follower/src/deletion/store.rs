//! The store of deletions, and its SQL.

use std::future::Future;

use database::{
    db::Db,
    statement::{Access, Column, Kind, Statement},
    store::StoreError,
};
use minitwit_proto::limits::DELETE_ITEMS_MAX;
use uuid::Uuid;

/// Store that deletes the edges of accounts.
pub trait DeletionStore: Send + Sync + 'static {
    /// Deletes at most [`DELETE_ITEMS_MAX`] edges of accounts in each direction. Returns whether edges may be
    /// left, which is whether it found any, even if a concurrent call deleted them first.
    fn delete(&self, accounts: Vec<Uuid>) -> impl Future<Output = Result<bool, StoreError>> + Send;
}

/// Store of deletions in an SQL database.
#[derive(Debug)]
pub struct SqlDeletionStore {
    db: Db,
    delete: [Statement; 2],
}

impl SqlDeletionStore {
    /// Creates a store over a database whose schema is up to date.
    pub fn new(db: Db) -> Self {
        Self {
            db,
            delete: ["follower_id", "followee_id"].map(delete),
        }
    }
}

/// Statement that deletes edges by the id in the column `own`, and returns a row for each edge that it found.
///
/// On PostgreSQL the rows are deleted by their physical row ids, because the planner prefers to read the
/// whole table over a thousand look-ups by key. A concurrent update moves a row to another row id, so the
/// row is left for the next call. Of two concurrent calls that find the same rows, the second waits for the
/// first and deletes none, although other rows may be left. So the number of found rows counts, and not
/// the number of deleted rows. SQLite has one writer.
fn delete(own: &str) -> Statement {
    let found = |columns: &str| {
        format!(
            "SELECT {columns} FROM {{input}} JOIN follow ON follow.{own} = input.wanted
             LIMIT {DELETE_ITEMS_MAX}"
        )
    };
    Statement::per_engine(
        Access::Write,
        "DELETE follow",
        &format!(
            "DELETE FROM follow WHERE (follower_id, followee_id) IN ({})
             RETURNING CAST(1 AS BIGINT)",
            found("follow.follower_id, follow.followee_id")
        ),
        &format!(
            "WITH found AS MATERIALIZED ({}),
             deleted AS (DELETE FROM follow WHERE ctid = ANY (ARRAY(SELECT row_id FROM found)))
             SELECT CAST(1 AS BIGINT) FROM found",
            found("follow.ctid AS row_id")
        ),
        &[("wanted", Kind::Id)],
    )
}

impl DeletionStore for SqlDeletionStore {
    async fn delete(&self, accounts: Vec<Uuid>) -> Result<bool, StoreError> {
        let mut more = false;
        for statement in &self.delete {
            let input = vec![Column::Id(accounts.clone())];
            let found: Vec<(i64,)> = statement.fetch(&self.db, input).await?;
            more |= !found.is_empty();
        }
        Ok(more)
    }
}
