//! What operators do with edges, in SQL.

use std::{collections::HashSet, future::Future};

use chassis::per_item::last_writes;
use database::{
    db::Db,
    statement::{Access, Column, Kind, Statement},
    store::StoreError,
};
use minitwit_proto::limits::{DELETE_ITEMS_MAX, EXPORT_ITEMS_MAX};
use uuid::Uuid;

use crate::store::{Direction, Edge, FollowUpdate};

/// What operators do with edges.
pub trait OperatorStore: Send + Sync + 'static {
    /// Stores edges that were never written, and tells in the order asked which had been.
    fn import(
        &self,
        updates: Vec<FollowUpdate>,
    ) -> impl Future<Output = Result<Vec<bool>, StoreError>> + Send;

    /// The edges at one end of an account, those taken back too, ascending by the other end from
    /// behind `after`, at most [`EXPORT_ITEMS_MAX`].
    fn export(
        &self,
        account: Uuid,
        direction: Direction,
        after: Uuid,
    ) -> impl Future<Output = Result<Vec<FollowUpdate>, StoreError>> + Send;

    /// Deletes at most [`DELETE_ITEMS_MAX`] edges of accounts at each end, and tells whether there may be more: as
    /// long as any were found, though somebody else has deleted them first.
    fn delete(&self, accounts: Vec<Uuid>) -> impl Future<Output = Result<bool, StoreError>> + Send;
}

/// What operators do with the edges of an SQL database.
#[derive(Debug)]
pub struct SqlOperatorStore {
    db: Db,
    import: Statement,
    export: [Statement; 2],
    delete: [Statement; 2],
}

/// An edge as a row.
type Row = (Uuid, Uuid, bool, Uuid);

impl SqlOperatorStore {
    /// A store over a database whose schema is up to date.
    pub fn new(db: Db) -> Self {
        use Kind::{Bool, Id};
        Self {
            db,
            // What was written here is later than anything that was brought along.
            import: Statement::new(
                Access::Write,
                "INSERT follow import",
                "INSERT INTO follow (follower_id, followee_id, following, stamp)
                 SELECT follower_id, followee_id, following, stamp FROM {input} WHERE true
                 ON CONFLICT (follower_id, followee_id) DO NOTHING
                 RETURNING follower_id, followee_id",
                &[
                    ("follower_id", Id),
                    ("followee_id", Id),
                    ("following", Bool),
                    ("stamp", Id),
                ],
            ),
            export: [
                ("follower_id", "followee_id"),
                ("followee_id", "follower_id"),
            ]
            .map(|(own, other)| export(own, other)),
            delete: ["follower_id", "followee_id"].map(delete),
        }
    }
}

/// Both ids are known before the first row is read, so that the index is read in its order and no
/// further than the page goes.
fn export(own: &str, other: &str) -> Statement {
    Statement::new(
        Access::Read,
        "SELECT follow export",
        &format!(
            "SELECT follow.follower_id, follow.followee_id, follow.following, follow.stamp
             FROM follow
             WHERE follow.{own} = (SELECT input.wanted FROM {{input}})
               AND follow.{other} > (SELECT input.after_id FROM {{input}})
             ORDER BY follow.{other} LIMIT {EXPORT_ITEMS_MAX}"
        ),
        &[("wanted", Kind::Id), ("after_id", Kind::Id)],
    )
}

/// By place, for PostgreSQL would rather read the whole table than look up a thousand keys. A row
/// that moves meanwhile is met the next time, so what counts is how many were found: of two who
/// delete the same rows, the second finds them, waits for the first and deletes none, and others may
/// be left. SQLite has one writer.
fn delete(own: &str) -> Statement {
    let doomed = |columns: &str| {
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
            doomed("follow.follower_id, follow.followee_id")
        ),
        &format!(
            "WITH found AS MATERIALIZED ({}),
             deleted AS (DELETE FROM follow WHERE ctid = ANY (ARRAY(SELECT place FROM found)))
             SELECT CAST(1 AS BIGINT) FROM found",
            doomed("follow.ctid AS place")
        ),
        &[("wanted", Kind::Id)],
    )
}

impl OperatorStore for SqlOperatorStore {
    async fn import(&self, updates: Vec<FollowUpdate>) -> Result<Vec<bool>, StoreError> {
        // One of each edge, always in one order, so that two batches cannot deadlock.
        let each = last_writes(&updates, |update| update.edge, |update| update.stamp);
        let input = vec![
            Column::Id(each.iter().map(|update| update.edge.follower_id).collect()),
            Column::Id(each.iter().map(|update| update.edge.followee_id).collect()),
            Column::Bool(each.iter().map(|update| update.following).collect()),
            Column::Id(each.iter().map(|update| update.stamp).collect()),
        ];
        let stored: Vec<(Uuid, Uuid)> = self.import.fetch(&self.db, input).await?;
        let edge = |(follower_id, followee_id)| Edge {
            follower_id,
            followee_id,
        };
        let stored: HashSet<Edge> = stored.into_iter().map(edge).collect();
        Ok(updates
            .iter()
            .map(|update| !stored.contains(&update.edge))
            .collect())
    }

    async fn export(
        &self,
        account: Uuid,
        direction: Direction,
        after: Uuid,
    ) -> Result<Vec<FollowUpdate>, StoreError> {
        let [followees, followers] = &self.export;
        let statement = match direction {
            Direction::Followees => followees,
            Direction::Followers => followers,
        };
        let input = vec![Column::Id(vec![account]), Column::Id(vec![after])];
        let rows: Vec<Row> = statement.fetch(&self.db, input).await?;
        let update = |(follower_id, followee_id, following, stamp)| FollowUpdate {
            edge: Edge {
                follower_id,
                followee_id,
            },
            following,
            stamp,
        };
        Ok(rows.into_iter().map(update).collect())
    }

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
