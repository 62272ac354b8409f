//! Queries of follow lists and their versions, with the SQL that is fast on each engine.

use std::sync::Arc;

use database::{
    db::Db,
    statement::{Access, Column, Kind, Operation, Statement, StatementCache, grouped},
    store::StoreError,
    version,
};
use sqlx::{AssertSqlSafe, PgPool, SqlitePool};
use uuid::Uuid;

use crate::store::{ConditionalQuery, Direction, FollowList, FollowsQuery};

#[derive(Debug)]
pub(crate) struct Lists {
    db: Db,
    statements: StatementCache<Direction>,
    on_sqlite: Operation,
}

/// List as PostgreSQL returns it: one row, whatever the length of the list.
#[derive(sqlx::FromRow)]
struct Page {
    /// Position of the query, from 1.
    ord: i64,
    version: i64,
    ids: Vec<Uuid>,
}

impl Lists {
    pub(crate) fn new(db: Db) -> Self {
        Self {
            db,
            statements: StatementCache::default(),
            on_sqlite: Operation::new("SELECT follow list"),
        }
    }

    pub(crate) async fn list(
        &self,
        queries: &[ConditionalQuery],
    ) -> Result<Vec<Option<FollowList>>, StoreError> {
        match &self.db {
            Db::Sqlite { read, .. } => {
                let mut lists = Vec::with_capacity(queries.len());
                for conditional in queries {
                    let list = self.list_on_sqlite(read, &conditional.query).await?;
                    let is_known = conditional.known_version == Some(list.version);
                    lists.push((!is_known).then_some(list));
                }
                Ok(lists)
            }
            Db::Postgres { pool, .. } => self.list_on_postgres(pool, queries).await,
        }
    }

    /// Reads a list from SQLite. A call of SQLite has no round trip that queries could share, so each query is
    /// a statement.
    async fn list_on_sqlite(
        &self,
        pool: &SqlitePool,
        query: &FollowsQuery,
    ) -> Result<FollowList, StoreError> {
        let (own, other) = query.direction.columns();
        let sql: Arc<str> = format!(
            "SELECT {other} FROM follow WHERE {own} = $1 AND {other} > $2 AND following
             ORDER BY {other} LIMIT $3"
        )
        .into();
        let fetch = sqlx::query_scalar(AssertSqlSafe(Arc::clone(&sql)))
            .bind(query.account_id)
            .bind(query.after)
            .bind(query.limit)
            .fetch_all(pool);
        let ids: Vec<Uuid> = self.on_sqlite.watch(&self.db, &sql, fetch).await?;
        Ok(FollowList {
            version: version::of(&ids),
            ids,
        })
    }

    /// Reads lists from PostgreSQL. Queries of the same direction and limit share a statement.
    async fn list_on_postgres(
        &self,
        pool: &PgPool,
        queries: &[ConditionalQuery],
    ) -> Result<Vec<Option<FollowList>>, StoreError> {
        let mut lists = vec![None; queries.len()];
        let key =
            |conditional: &ConditionalQuery| (conditional.query.direction, conditional.query.limit);
        for ((direction, limit), indexes) in grouped(queries, key) {
            let make = || direction.statement(limit);
            let statement = self.statements.get(direction, limit, make);
            let group = || indexes.iter().map(|&index| queries[index]);
            let input = vec![
                Column::Id(
                    group()
                        .map(|conditional| conditional.query.account_id)
                        .collect(),
                ),
                Column::Id(group().map(|conditional| conditional.query.after).collect()),
                Column::OptionalInt(
                    group()
                        .map(|conditional| conditional.known_version)
                        .collect(),
                ),
            ];
            let pages: Vec<Page> = statement.fetch_postgres(&self.db, pool, input).await?;
            for Page { ord, version, ids } in pages {
                let position = usize::try_from(ord - 1).ok();
                if let Some(&index) = position.and_then(|position| indexes.get(position)) {
                    lists[index] = Some(FollowList { version, ids });
                }
            }
        }
        Ok(lists)
    }
}

impl Direction {
    /// Column of the account, and column of the account at the other end of the edge.
    fn columns(self) -> (&'static str, &'static str) {
        match self {
            Self::Followees => ("follower_id", "followee_id"),
            Self::Followers => ("followee_id", "follower_id"),
        }
    }

    fn statement(self, limit: u32) -> Statement {
        let (own, other) = self.columns();
        let page = format!(
            "(SELECT {other} AS id FROM follow
              WHERE {own} = input.account_id AND {other} > input.after_id AND following
              ORDER BY {other} LIMIT {limit}) AS page"
        );
        // A version does not depend on the order of the ids. If it is the known version, the list itself is
        // not read, and the query returns no row.
        let sql = format!(
            "SELECT ord, current.version, list.ids FROM {{input}}
             CROSS JOIN LATERAL (
                 SELECT COALESCE(bit_xor(uuid_hash_extended(id, 0)), 0) AS version FROM {page}) AS current
             CROSS JOIN LATERAL (
                 SELECT COALESCE(array_agg(id ORDER BY id), '{{}}') AS ids FROM {page}) AS list
             WHERE current.version IS DISTINCT FROM input.known_version"
        );
        let input = [
            ("account_id", Kind::Id),
            ("after_id", Kind::Id),
            ("known_version", Kind::Int),
        ];
        Statement::per_engine(Access::Read, "SELECT follow list", "", &sql, &input)
    }
}
