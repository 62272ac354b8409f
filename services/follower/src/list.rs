//! Lists of accounts and their versions, in the words that each engine is quick with.

use std::sync::Arc;

use chassis::{
    conditional::version_of,
    db::Db,
    statement::{Access, ByLimit, Column, Kind, Operation, Statement, grouped, in_order},
    store::StoreError,
};
use sqlx::{AssertSqlSafe, FromRow, PgPool, SqlitePool, postgres::PgRow};
use uuid::Uuid;

use crate::store::{Direction, FollowList, FollowsQuery};

#[derive(Debug)]
pub(crate) struct Lists {
    db: Db,
    statements: ByLimit<(Direction, Answer)>,
    on_sqlite: Operation,
}

/// How much of a list is wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Answer {
    Version,
    Ids,
}

/// A list as PostgreSQL hands it over: one row, whatever its length.
#[derive(sqlx::FromRow)]
struct Page {
    version: i64,
    ids: Vec<Uuid>,
}

impl From<Page> for FollowList {
    fn from(Page { version, ids }: Page) -> Self {
        Self { version, ids }
    }
}

impl Lists {
    pub(crate) fn new(db: Db) -> Self {
        Self {
            db,
            statements: ByLimit::default(),
            on_sqlite: Operation::new("SELECT follow list"),
        }
    }

    pub(crate) async fn versions(&self, queries: &[FollowsQuery]) -> Result<Vec<i64>, StoreError> {
        match &self.db {
            Db::Sqlite { .. } => {
                let lists = self.list(queries).await?;
                Ok(lists.into_iter().map(|list| list.version).collect())
            }
            Db::Postgres { pool, .. } => {
                let rows: Vec<(i64,)> = self.ask_postgres(pool, Answer::Version, queries).await?;
                Ok(rows.into_iter().map(|(version,)| version).collect())
            }
        }
    }

    pub(crate) async fn list(
        &self,
        queries: &[FollowsQuery],
    ) -> Result<Vec<FollowList>, StoreError> {
        match &self.db {
            Db::Sqlite { read, .. } => {
                let mut lists = Vec::with_capacity(queries.len());
                for query in queries {
                    lists.push(self.ask_sqlite(read, query).await?);
                }
                Ok(lists)
            }
            Db::Postgres { pool, .. } => {
                let pages: Vec<Page> = self.ask_postgres(pool, Answer::Ids, queries).await?;
                Ok(pages.into_iter().map(FollowList::from).collect())
            }
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
            version: version_of(&ids),
            ids,
        })
    }

    /// Queries of one direction and limit go together; each answers with one row.
    async fn ask_postgres<R>(
        &self,
        pool: &PgPool,
        answer: Answer,
        queries: &[FollowsQuery],
    ) -> Result<Vec<R>, StoreError>
    where
        R: for<'r> FromRow<'r, PgRow> + Send + Unpin,
    {
        let mut answers = Vec::with_capacity(queries.len());
        let key = |query: &FollowsQuery| (query.direction, query.limit);
        for ((direction, limit), places) in grouped(queries, key) {
            let make = || direction.statement(answer, limit);
            let statement = self.statements.get((direction, answer), limit, make);
            let asked = places.iter().map(|&place| &queries[place]);
            let (accounts, after) = asked.map(|query| (query.account_id, query.after)).unzip();
            let input = vec![Column::Id(accounts), Column::Id(after)];
            let rows: Vec<R> = statement.fetch_postgres(&self.db, pool, input).await?;
            answers.extend(places.into_iter().zip(rows));
        }
        in_order(answers, queries.len())
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

    fn statement(self, answer: Answer, limit: u32) -> Statement {
        let (own, other) = self.columns();
        let (summary, ids) = match answer {
            Answer::Version => ("SELECT follow list version", ""),
            Answer::Ids => (
                "SELECT follow list",
                ", COALESCE(array_agg(id ORDER BY id), '{}') AS ids",
            ),
        };
        // Order does not matter to a version: a set of ids has just one.
        let sql = format!(
            "SELECT list.* FROM {{input}} CROSS JOIN LATERAL (
                 SELECT COALESCE(bit_xor(uuid_hash_extended(id, 0)), 0) AS version{ids}
                 FROM (SELECT {other} AS id FROM follow
                       WHERE {own} = input.account_id AND {other} > input.after_id AND following
                       ORDER BY {other} LIMIT {limit}) AS page
             ) AS list ORDER BY ord"
        );
        let input = [("account_id", Kind::Id), ("after_id", Kind::Id)];
        Statement::per_engine(Access::Read, summary, "", &sql, &input)
    }
}
