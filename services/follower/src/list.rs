//! Lists of accounts and their versions, in the words that each engine is quick with.

use std::sync::Arc;

use database::{
    db::Db,
    statement::{Access, Column, Kind, Operation, Statement, StatementCache, grouped},
    store::StoreError,
    version,
};
use sqlx::{AssertSqlSafe, PgPool, SqlitePool};
use uuid::Uuid;

use crate::store::{Asked, Direction, FollowList, FollowsQuery};

#[derive(Debug)]
pub(crate) struct Lists {
    db: Db,
    statements: StatementCache<Direction>,
    on_sqlite: Operation,
}

/// A list as PostgreSQL hands it over: one row, whatever its length.
#[derive(sqlx::FromRow)]
struct Page {
    /// The query that it answers, from 1.
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
        asked: &[Asked],
    ) -> Result<Vec<Option<FollowList>>, StoreError> {
        match &self.db {
            Db::Sqlite { read, .. } => {
                let mut lists = Vec::with_capacity(asked.len());
                for ask in asked {
                    let list = self.ask_sqlite(read, &ask.query).await?;
                    lists.push((ask.known != Some(list.version)).then_some(list));
                }
                Ok(lists)
            }
            Db::Postgres { pool, .. } => self.ask_postgres(pool, asked).await,
        }
    }

    /// SQLite is a function call away, so there is nothing to share: one query after the other.
    async fn ask_sqlite(
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
        let ask = sqlx::query_scalar(AssertSqlSafe(Arc::clone(&sql)))
            .bind(query.account_id)
            .bind(query.after)
            .bind(query.limit)
            .fetch_all(pool);
        let ids: Vec<Uuid> = self.on_sqlite.watch(&self.db, &sql, ask).await?;
        Ok(FollowList {
            version: version::of(&ids),
            ids,
        })
    }

    /// Queries of one direction and limit go together.
    async fn ask_postgres(
        &self,
        pool: &PgPool,
        asked: &[Asked],
    ) -> Result<Vec<Option<FollowList>>, StoreError> {
        let mut lists = vec![None; asked.len()];
        let key = |ask: &Asked| (ask.query.direction, ask.query.limit);
        for ((direction, limit), places) in grouped(asked, key) {
            let make = || direction.statement(limit);
            let statement = self.statements.get(direction, limit, make);
            let asked = || places.iter().map(|&place| asked[place]);
            let input = vec![
                Column::Id(asked().map(|ask| ask.query.account_id).collect()),
                Column::Id(asked().map(|ask| ask.query.after).collect()),
                Column::OptionalInt(asked().map(|ask| ask.known).collect()),
            ];
            let pages: Vec<Page> = statement.fetch_postgres(&self.db, pool, input).await?;
            for Page { ord, version, ids } in pages {
                let place = usize::try_from(ord - 1).ok();
                if let Some(&place) = place.and_then(|place| places.get(place)) {
                    lists[place] = Some(FollowList { version, ids });
                }
            }
        }
        Ok(lists)
    }
}

impl Direction {
    /// The account's own end of an edge, and the other.
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
        // Order does not matter to a version: a set of ids has just one. Where it is the one that is
        // known, the list is not read again, and no row is handed over.
        let sql = format!(
            "SELECT ord, now.version, list.ids FROM {{input}}
             CROSS JOIN LATERAL (
                 SELECT COALESCE(bit_xor(uuid_hash_extended(id, 0)), 0) AS version FROM {page}) AS now
             CROSS JOIN LATERAL (
                 SELECT COALESCE(array_agg(id ORDER BY id), '{{}}') AS ids FROM {page}) AS list
             WHERE now.version IS DISTINCT FROM input.known"
        );
        let input = [
            ("account_id", Kind::Id),
            ("after_id", Kind::Id),
            ("known", Kind::Int),
        ];
        Statement::per_engine(Access::Read, "SELECT follow list", "", &sql, &input)
    }
}
