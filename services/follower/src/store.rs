//! The store of follow relations, and its SQL.

use std::{collections::HashMap, future::Future};

use chassis::per_item::{WriteOutcome, last_writes};
use database::{
    db::Db,
    statement::{Access, Column, Kind, Statement},
    store::StoreError,
};
use uuid::Uuid;

use crate::list::Lists;

/// Edge from the account that follows to the account that is followed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Edge {
    /// Id of the account that follows.
    pub follower_id: Uuid,
    /// Id of the account that is followed.
    pub followee_id: Uuid,
}

/// New state of an edge.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FollowUpdate {
    /// Edge to set.
    pub edge: Edge,
    /// Whether the edge is set to following.
    pub following: bool,
    /// Key of the write. The greatest stamp of an edge wins.
    pub stamp: Uuid,
}

/// Direction in which the edges of an account are read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Direction {
    /// Accounts that the account follows.
    Followees,
    /// Accounts that follow the account.
    Followers,
}

/// Query for one page of a follow list.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct FollowsQuery {
    /// Id of the account.
    pub account_id: Uuid,
    /// List to read.
    pub direction: Direction,
    /// Maximum number of ids in the page.
    pub limit: u32,
    /// Id after which the page starts; [`Uuid::nil`] for the first page.
    pub after: Uuid,
}

/// Query that is answered only if the list differs from the version that the caller has.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ConditionalQuery {
    /// Query for the list.
    pub query: FollowsQuery,
    /// Version that the caller has. With `None` the list is read in any case.
    pub known_version: Option<i64>,
}

/// Page of a follow list, ascending by id, and its version.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FollowList {
    /// Hash of the listed ids.
    pub version: i64,
    /// Ids of the accounts.
    pub ids: Vec<Uuid>,
}

/// Numbers of edges of an account.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, sqlx::FromRow)]
pub struct FollowCounts {
    /// Number of accounts that the account follows.
    pub followees: i64,
    /// Number of accounts that follow the account.
    pub followers: i64,
}

/// Store of follow relations. Each method returns one result per item, in the order of its argument.
pub trait FollowerStore: Send + Sync + 'static {
    /// Sets edges. A write changes nothing if a greater stamp is stored.
    fn set(
        &self,
        updates: Vec<FollowUpdate>,
    ) -> impl Future<Output = Result<Vec<WriteOutcome>, StoreError>> + Send;

    /// Reads lists with their versions. The result is `None` if the list has the version that the caller
    /// has.
    fn list(
        &self,
        queries: &[ConditionalQuery],
    ) -> impl Future<Output = Result<Vec<Option<FollowList>>, StoreError>> + Send;

    /// Whether the first account of each edge follows the second.
    fn check(&self, edges: Vec<Edge>)
    -> impl Future<Output = Result<Vec<bool>, StoreError>> + Send;

    /// Counts the edges of accounts.
    fn count(
        &self,
        accounts: Vec<Uuid>,
    ) -> impl Future<Output = Result<Vec<FollowCounts>, StoreError>> + Send;
}

/// Store of follow relations in an SQL database.
#[derive(Debug)]
pub struct SqlFollowerStore {
    db: Db,
    lists: Lists,
    set: Statement,
    stamps: Statement,
    check: Statement,
    count: Statement,
}

impl SqlFollowerStore {
    /// Creates a store over a database whose schema is up to date.
    pub fn new(db: Db) -> Self {
        use Kind::{Bool, Id};
        const EDGE: [(&str, Kind); 2] = [("follower_id", Id), ("followee_id", Id)];
        Self {
            lists: Lists::new(db.clone()),
            db,
            set: Statement::new(
                Access::Write,
                "INSERT follow",
                "INSERT INTO follow (follower_id, followee_id, following, stamp)
                 SELECT follower_id, followee_id, following, stamp FROM {input} WHERE true
                 ON CONFLICT (follower_id, followee_id) DO UPDATE
                 SET following = excluded.following, stamp = excluded.stamp
                 WHERE excluded.stamp > follow.stamp
                 RETURNING CAST(1 AS BIGINT)",
                &[EDGE[0], EDGE[1], ("following", Bool), ("stamp", Id)],
            ),
            stamps: Statement::new(
                Access::Read,
                "SELECT follow stamp",
                "SELECT follow.follower_id, follow.followee_id, follow.stamp
                 FROM {input} JOIN follow ON follow.follower_id = input.follower_id
                                         AND follow.followee_id = input.followee_id",
                &EDGE,
            ),
            check: Statement::new(
                Access::Read,
                "SELECT follow",
                "SELECT EXISTS (SELECT 1 FROM follow
                                WHERE follow.follower_id = input.follower_id
                                  AND follow.followee_id = input.followee_id
                                  AND follow.following)
                 FROM {input} ORDER BY ord",
                &EDGE,
            ),
            count: Statement::new(
                Access::Read,
                "SELECT follow count",
                "SELECT (SELECT COUNT(*) FROM follow
                         WHERE follow.follower_id = input.account_id AND following) AS followees,
                        (SELECT COUNT(*) FROM follow
                         WHERE follow.followee_id = input.account_id AND following) AS followers
                 FROM {input} ORDER BY ord",
                &[("account_id", Id)],
            ),
        }
    }

    /// Stored stamps of edges.
    async fn stamps(
        &self,
        edges: impl Iterator<Item = Edge>,
    ) -> Result<HashMap<Edge, Uuid>, StoreError> {
        let stored: Vec<(Uuid, Uuid, Uuid)> = self.stamps.fetch(&self.db, columns(edges)).await?;
        let of_row = |(follower_id, followee_id, stamp)| {
            let edge = Edge {
                follower_id,
                followee_id,
            };
            (edge, stamp)
        };
        Ok(stored.into_iter().map(of_row).collect())
    }
}

impl FollowerStore for SqlFollowerStore {
    async fn set(&self, updates: Vec<FollowUpdate>) -> Result<Vec<WriteOutcome>, StoreError> {
        let last = last_writes(&updates, |update| update.edge, |update| update.stamp);
        let mut input = columns(last.iter().map(|update| update.edge));
        input.push(Column::Bool(
            last.iter().map(|update| update.following).collect(),
        ));
        input.push(Column::Id(last.iter().map(|update| update.stamp).collect()));
        let written: Vec<(i64,)> = self.set.fetch(&self.db, input).await?;
        if written.len() == last.len() {
            return Ok(vec![WriteOutcome::Applied; updates.len()]);
        }

        // Some writes found an equal or a greater stamp. If several writes of this batch change the same
        // edge, they were concurrent. The smaller stamps count as applied first, so all of them have the
        // outcome of the write with the greatest stamp.
        let stored = self.stamps(last.iter().map(|update| update.edge)).await?;
        let outcomes: HashMap<Edge, WriteOutcome> = last
            .iter()
            .map(|update| {
                let stored = stored.get(&update.edge).copied().unwrap_or(update.stamp);
                (update.edge, WriteOutcome::from_stamps(update.stamp, stored))
            })
            .collect();
        Ok(updates
            .iter()
            .map(|update| outcomes[&update.edge])
            .collect())
    }

    async fn list(
        &self,
        queries: &[ConditionalQuery],
    ) -> Result<Vec<Option<FollowList>>, StoreError> {
        self.lists.list(queries).await
    }

    async fn check(&self, edges: Vec<Edge>) -> Result<Vec<bool>, StoreError> {
        let input = columns(edges.into_iter());
        let found: Vec<(bool,)> = self.check.fetch(&self.db, input).await?;
        Ok(found.into_iter().map(|(following,)| following).collect())
    }

    async fn count(&self, accounts: Vec<Uuid>) -> Result<Vec<FollowCounts>, StoreError> {
        let input = vec![Column::Id(accounts)];
        self.count.fetch(&self.db, input).await
    }
}

fn columns(edges: impl Iterator<Item = Edge>) -> Vec<Column> {
    let ids = |edge: Edge| (edge.follower_id, edge.followee_id);
    let (from, to) = edges.map(ids).unzip();
    vec![Column::Id(from), Column::Id(to)]
}
