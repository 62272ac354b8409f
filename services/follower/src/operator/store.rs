//! The store of operators, and its SQL.

use std::{collections::HashSet, future::Future};

use chassis::per_item::last_writes;
use database::{
    db::Db,
    statement::{Access, Column, Kind, Statement},
    store::StoreError,
};
use minitwit_proto::limits::EXPORT_ITEMS_MAX;
use uuid::Uuid;

use crate::store::{Direction, Edge, FollowUpdate};

/// Store of edges for operators.
pub trait OperatorStore: Send + Sync + 'static {
    /// Stores edges that were never written. Returns for each edge, in the order of the argument, whether it had
    /// been written before.
    fn import(
        &self,
        updates: Vec<FollowUpdate>,
    ) -> impl Future<Output = Result<Vec<bool>, StoreError>> + Send;

    /// Edges of an account in one direction, including edges that are set to not following. They are
    /// ascending by the id at the other end and start after `after`. A page has at most [`EXPORT_ITEMS_MAX`].
    fn export(
        &self,
        account: Uuid,
        direction: Direction,
        after: Uuid,
    ) -> impl Future<Output = Result<Vec<FollowUpdate>, StoreError>> + Send;
}

/// Store of edges for operators in an SQL database.
#[derive(Debug)]
pub struct SqlOperatorStore {
    db: Db,
    import: Statement,
    export: [Statement; 2],
}

/// Row of an edge.
type EdgeRow = (Uuid, Uuid, bool, Uuid);

impl SqlOperatorStore {
    /// Creates a store over a database whose schema is up to date.
    pub fn new(db: Db) -> Self {
        use Kind::{Bool, Id};
        Self {
            db,
            // An edge that was written in this system is newer than an imported edge, so it stays.
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
        }
    }
}

/// Statement that reads a page of edges by the id in the column `own`. Both ids are known before the first
/// row is read, so the index is read in its order and only as far as the page.
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

impl OperatorStore for SqlOperatorStore {
    async fn import(&self, updates: Vec<FollowUpdate>) -> Result<Vec<bool>, StoreError> {
        // Each edge occurs once, and the edges are sorted, so two batches cannot deadlock.
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
        let rows: Vec<EdgeRow> = statement.fetch(&self.db, input).await?;
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
}
