//! What is kept of follows, and the SQL that keeps it.

use std::{collections::HashMap, future::Future};

use chassis::per_item::{WriteOutcome, last_writes};
use database::{
    db::Db,
    statement::{Access, Column, Kind, Statement},
    store::StoreError,
};
use uuid::Uuid;

use crate::list::Lists;

/// Two accounts, of which the first may follow the second.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Edge {
    /// Who follows.
    pub follower_id: Uuid,
    /// Who is followed.
    pub followee_id: Uuid,
}

/// A new state of an edge.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FollowUpdate {
    /// The edge.
    pub edge: Edge,
    /// Following, or no longer.
    pub following: bool,
    /// The key of the write; the greatest one wins.
    pub stamp: Uuid,
}

/// At which end of the edges an account stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Direction {
    /// Whom the account follows.
    Followees,
    /// Who follows the account.
    Followers,
}

/// A page of whom an account follows, or of who follows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct FollowsQuery {
    /// The account.
    pub account_id: Uuid,
    /// Which of its lists.
    pub direction: Direction,
    /// At most so many.
    pub limit: u32,
    /// Only ids greater than this one; [`Uuid::nil`] for all.
    pub after: Uuid,
}

/// A list that is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Asked {
    /// Which.
    pub query: FollowsQuery,
    /// The version that the caller keeps; `None` asks for the list in any case.
    pub known: Option<i64>,
}

/// Accounts, ascending by id, and the version of just this list.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FollowList {
    /// A hash of the ids listed.
    pub version: i64,
    /// The accounts.
    pub ids: Vec<Uuid>,
}

/// How many edges an account has.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, sqlx::FromRow)]
pub struct FollowCounts {
    /// How many accounts it follows.
    pub followees: i64,
    /// How many accounts follow it.
    pub followers: i64,
}

/// Where follows are kept. Every method answers item by item, in the order asked.
pub trait FollowerStore: Send + Sync + 'static {
    /// Sets edges; a write that finds a greater stamp stored changes nothing.
    fn set(
        &self,
        updates: Vec<FollowUpdate>,
    ) -> impl Future<Output = Result<Vec<WriteOutcome>, StoreError>> + Send;

    /// Lists, each with the version of just what it holds; `None` where that is the one that the
    /// caller keeps.
    fn list(
        &self,
        asked: &[Asked],
    ) -> impl Future<Output = Result<Vec<Option<FollowList>>, StoreError>> + Send;

    /// Whether the first account of each edge follows the second.
    fn check(&self, edges: Vec<Edge>)
    -> impl Future<Output = Result<Vec<bool>, StoreError>> + Send;

    /// Counts accounts' edges.
    fn count(
        &self,
        accounts: Vec<Uuid>,
    ) -> impl Future<Output = Result<Vec<FollowCounts>, StoreError>> + Send;
}

/// Follows in an SQL database.
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
    /// A store over a database whose schema is up to date.
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

    /// The stamps that stand with some edges.
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

        // Some found an equal or a greater stamp. One that was overtaken only by another of this
        // very batch shares the fate of that other: an overtaking among the living is success.
        let stored = self.stamps(last.iter().map(|update| update.edge)).await?;
        let fates: HashMap<Edge, WriteOutcome> = last
            .iter()
            .map(|update| {
                let stored = stored.get(&update.edge).copied().unwrap_or(update.stamp);
                (update.edge, WriteOutcome::from_stamps(update.stamp, stored))
            })
            .collect();
        Ok(updates.iter().map(|update| fates[&update.edge]).collect())
    }

    async fn list(&self, asked: &[Asked]) -> Result<Vec<Option<FollowList>>, StoreError> {
        self.lists.list(asked).await
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
