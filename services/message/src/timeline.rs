//! Queries of timelines and their versions, with the SQL that is fast on each engine.
//!
//! A message never changes after it is written, so the ids of an author's messages determine the messages.
//! The version of an author is the XOR of the hashes of these ids. PostgreSQL keeps it in a row per author.
//! Every write XORs the hashes of the messages that it adds or removes into the row, so reading a version
//! is one index look-up, however long the timeline is. The newest id cannot be the version, because ids of
//! several writers do not appear in commit order, and because a flag removes a message without adding a
//! message. The version of the timeline of all authors is computed from the requested page, because all
//! writers would wait for a common row.
//!
//! XOR with the same hash again removes it from the version. The service takes the messages that are
//! newer than the newest message of the caller, and removes their hashes from the current version. If
//! the result is the version of the caller, these messages are the only difference, and only they are
//! sent. Otherwise the whole page is read. This happens after a late message with an older id, after a
//! flag, and if there are more new messages than a page holds.

mod statement;

use std::sync::Arc;

use database::{
    db::Db,
    statement::{Operation, StatementCache, grouped, in_order},
    store::StoreError,
    version,
};
use sqlx::{AssertSqlSafe, FromRow, PgPool, SqlitePool, postgres::PgRow, sqlite::SqliteRow};
use uuid::Uuid;

use crate::store::{
    ConditionalQuery, KnownVersion, Message, Scope, Timeline, TimelineDelta, TimelineQuery,
};

pub(crate) use statement::xor_into_version;
use statement::{QueryKind, ResultKind};

#[derive(Debug)]
pub(crate) struct Timelines {
    db: Db,
    statements: StatementCache<(QueryKind, ResultKind)>,
    on_sqlite: Operation,
}

/// Page as PostgreSQL returns it: one row, whatever the length of the page.
#[derive(FromRow)]
struct Page {
    version: i64,
    ids: Vec<Uuid>,
    author_ids: Vec<Uuid>,
    texts: Vec<String>,
}

impl From<Page> for Timeline {
    fn from(page: Page) -> Self {
        let messages = page
            .ids
            .into_iter()
            .zip(page.author_ids)
            .zip(page.texts)
            .map(|((id, author_id), text)| Message {
                id,
                author_id,
                text,
            })
            .collect();
        Self {
            version: page.version,
            messages,
        }
    }
}

/// Row of a delta. It has a message that is newer than the newest message of the caller, or no message if there is
/// none. There is no row if the version of the caller is current.
#[derive(FromRow)]
struct DeltaRow {
    /// Position of the query, from 1.
    ord: i64,
    /// Current version.
    version: i64,
    /// Version of the messages below the added ones, after the `hash`es of the added messages are removed from
    /// it with XOR. A `hash` is 0 if the statement has already left the message out.
    version_below: i64,
    id: Option<Uuid>,
    author_id: Option<Uuid>,
    text: Option<String>,
    hash: Option<i64>,
}

impl DeltaRow {
    /// Delta of a query from its rows, newest message first, or `None` if the rows are not the only difference.
    fn delta(rows: Vec<Self>, known: KnownVersion) -> Option<TimelineDelta> {
        let first = rows.first();
        let Some(first) = first.filter(|first| first.version != known.version) else {
            return Some(TimelineDelta::Unchanged);
        };
        let (version, version_below) = (first.version, first.version_below);
        let hashes = rows.iter().filter_map(|row| row.hash);
        let version_below = hashes.fold(version_below, |version, hash| version ^ hash);
        let added = || Timeline {
            version,
            messages: rows.into_iter().filter_map(Self::message).collect(),
        };
        (version_below == known.version).then(|| TimelineDelta::Added(Arc::new(added())))
    }

    fn message(self) -> Option<Message> {
        Some(Message {
            id: self.id?,
            author_id: self.author_id?,
            text: self.text?,
        })
    }
}

impl Timelines {
    pub(crate) fn new(db: Db) -> Self {
        Self {
            db,
            statements: StatementCache::default(),
            on_sqlite: Operation::new("SELECT message timeline"),
        }
    }

    pub(crate) async fn list(
        &self,
        queries: &[ConditionalQuery],
    ) -> Result<Vec<TimelineDelta>, StoreError> {
        match &self.db {
            Db::Sqlite { read, .. } => {
                let mut deltas = Vec::with_capacity(queries.len());
                for conditional in queries {
                    deltas.push(self.list_on_sqlite(read, conditional).await?);
                }
                Ok(deltas)
            }
            Db::Postgres { pool, .. } => self.list_on_postgres(pool, queries).await,
        }
    }

    /// Reads a timeline from SQLite. A call of SQLite has no round trip that queries could share, so each query
    /// is a statement, and a changed page is read as a whole.
    async fn list_on_sqlite(
        &self,
        pool: &SqlitePool,
        conditional: &ConditionalQuery,
    ) -> Result<TimelineDelta, StoreError> {
        let query = &conditional.query;
        if let Some(known) = conditional.known {
            let ids: Vec<(Uuid,)> = self.fetch_sqlite(pool, "id", query).await?;
            if version::of(ids.iter().map(|(id,)| id)) == known.version {
                return Ok(TimelineDelta::Unchanged);
            }
        }
        let messages: Vec<Message> = self
            .fetch_sqlite(pool, "id, author_id, text", query)
            .await?;
        let version = version::of(messages.iter().map(|message| &message.id));
        Ok(TimelineDelta::Whole(Arc::new(Timeline {
            version,
            messages,
        })))
    }

    async fn fetch_sqlite<R>(
        &self,
        pool: &SqlitePool,
        columns: &str,
        query: &TimelineQuery,
    ) -> Result<Vec<R>, StoreError>
    where
        R: for<'r> FromRow<'r, SqliteRow> + Send + Unpin,
    {
        let condition = match &query.scope {
            Scope::Everybody => "true",
            Scope::Authors(authors) if authors.len() == 1 => "author_id = $3",
            Scope::Authors(_) => "author_id IN (SELECT unhex(value) FROM json_each($3))",
        };
        let sql: Arc<str> = format!(
            "SELECT {columns} FROM message WHERE {condition} AND id < $1 AND NOT flagged
             ORDER BY id DESC LIMIT $2"
        )
        .into();
        let statement = sqlx::query_as(AssertSqlSafe(Arc::clone(&sql)))
            .bind(query.before)
            .bind(query.limit);
        let statement = match &query.scope {
            Scope::Everybody => statement,
            Scope::Authors(authors) if authors.len() == 1 => statement.bind(authors[0]),
            Scope::Authors(authors) => statement.bind(json_of(authors)),
        };
        let fetch = statement.fetch_all(pool);
        self.on_sqlite.watch(&self.db, &sql, fetch).await
    }

    /// Reads timelines from PostgreSQL. It reads first the deltas of the queries with a known version, and then the whole
    /// pages of the queries that have no delta.
    async fn list_on_postgres(
        &self,
        pool: &PgPool,
        queries: &[ConditionalQuery],
    ) -> Result<Vec<TimelineDelta>, StoreError> {
        let known = queries.iter().filter(|query| query.known.is_some());
        let known: Vec<&ConditionalQuery> = known.collect();
        let rows = self.fetch_postgres(pool, ResultKind::Delta, &known, by_query);
        let mut rows = rows.await?.into_iter();
        let mut deltas: Vec<Option<TimelineDelta>> = Vec::with_capacity(queries.len());
        for query in queries {
            let delta = |known| DeltaRow::delta(rows.next()?, known);
            deltas.push(query.known.and_then(delta));
        }

        let rest = queries.iter().zip(&deltas);
        let rest: Vec<&ConditionalQuery> = rest
            .filter_map(|(query, delta)| delta.is_none().then_some(query))
            .collect();
        let pages: Vec<Page> = self
            .fetch_postgres(pool, ResultKind::Page, &rest, |pages, _| pages)
            .await?;
        let missing = deltas.iter_mut().filter(|delta| delta.is_none());
        for (delta, page) in missing.zip(pages) {
            *delta = Some(TimelineDelta::Whole(Arc::new(page.into())));
        }
        Ok(deltas.into_iter().flatten().collect())
    }

    /// Runs queries on PostgreSQL. Queries of the same kind and limit share a statement. `by_query` makes one
    /// result per query of a statement, in their order, from the rows and the number of queries.
    async fn fetch_postgres<R, A>(
        &self,
        pool: &PgPool,
        result_kind: ResultKind,
        queries: &[&ConditionalQuery],
        by_query: impl Fn(Vec<R>, usize) -> Vec<A>,
    ) -> Result<Vec<A>, StoreError>
    where
        R: for<'r> FromRow<'r, PgRow> + Send + Unpin,
    {
        let mut results = Vec::with_capacity(queries.len());
        let key = |conditional: &&ConditionalQuery| {
            let query = &conditional.query;
            (QueryKind::of(query), query.limit)
        };
        for ((query_kind, limit), indexes) in grouped(queries, key) {
            let make = || query_kind.statement(result_kind, limit);
            let statement = self.statements.get((query_kind, result_kind), limit, make);
            for indexes in indexes.chunks(query_kind.queries_max()) {
                let chunk = indexes.iter().map(|&index| queries[index]);
                let input = query_kind.input(result_kind, chunk);
                let rows = statement.fetch_postgres(&self.db, pool, input).await?;
                let by_query = by_query(rows, indexes.len());
                results.extend(indexes.iter().copied().zip(by_query));
            }
        }
        in_order(results, queries.len())
    }
}

/// Rows of each query of a statement.
fn by_query(rows: Vec<DeltaRow>, queries: usize) -> Vec<Vec<DeltaRow>> {
    let mut by_query: Vec<Vec<DeltaRow>> = (0..queries).map(|_| Vec::new()).collect();
    for row in rows {
        let index = usize::try_from(row.ord - 1).unwrap_or(usize::MAX);
        if let Some(rows) = by_query.get_mut(index) {
            rows.push(row);
        }
    }
    by_query
}

fn json_of(ids: &[Uuid]) -> String {
    let quoted: Vec<String> = ids
        .iter()
        .map(|id| format!("\"{}\"", id.simple()))
        .collect();
    format!("[{}]", quoted.join(","))
}
