//! Timelines and their versions, in the words that each engine is quick with.
//!
//! A message never changes once written, so the ids that a timeline lists say all there is to say
//! of it: its version is a hash of them, an index-only scan. The newest id would not do: with
//! several writers ids do not appear in commit order, and a flag takes one away without adding any.

use std::{collections::BTreeSet, sync::Arc};

use chassis::{
    conditional::version_of,
    db::Db,
    statement::{Access, ByLimit, Column, Kind, Operation, Statement, grouped, in_order},
    store::StoreError,
};
use sqlx::{AssertSqlSafe, FromRow, PgPool, SqlitePool, postgres::PgRow, sqlite::SqliteRow};
use uuid::Uuid;

use crate::store::{Message, Scope, Timeline, TimelineQuery};

#[derive(Debug)]
pub(crate) struct Timelines {
    db: Db,
    statements: ByLimit<(Question, Answer)>,
    on_sqlite: Operation,
}

/// What a PostgreSQL statement asks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
enum Question {
    /// Everybody's messages; input: `before`.
    Public,
    /// One author's messages; input: `author_id`, `before`.
    Author,
    /// Several authors' messages merged into one page; input: an author a row.
    Merged,
}

/// How much of the page is wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Answer {
    Version,
    Messages,
}

/// A page as PostgreSQL hands it over: one row, whatever its length.
#[derive(sqlx::FromRow)]
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

impl Timelines {
    pub(crate) fn new(db: Db) -> Self {
        Self {
            db,
            statements: ByLimit::default(),
            on_sqlite: Operation::new("SELECT message timeline"),
        }
    }

    pub(crate) async fn versions(&self, queries: &[TimelineQuery]) -> Result<Vec<i64>, StoreError> {
        let read = match &self.db {
            Db::Sqlite { read, .. } => read,
            Db::Postgres { pool, .. } => {
                let rows: Vec<(i64,)> = self.ask_postgres(pool, Answer::Version, queries).await?;
                return Ok(rows.into_iter().map(|(version,)| version).collect());
            }
        };
        let mut versions = Vec::with_capacity(queries.len());
        for query in queries {
            let ids: Vec<(Uuid,)> = self.ask_sqlite(read, "id", query).await?;
            versions.push(version_of(ids.iter().map(|(id,)| id)));
        }
        Ok(versions)
    }

    pub(crate) async fn list(
        &self,
        queries: &[TimelineQuery],
    ) -> Result<Vec<Timeline>, StoreError> {
        let read = match &self.db {
            Db::Sqlite { read, .. } => read,
            Db::Postgres { pool, .. } => {
                let pages: Vec<Page> = self.ask_postgres(pool, Answer::Messages, queries).await?;
                return Ok(pages.into_iter().map(Timeline::from).collect());
            }
        };
        let mut timelines = Vec::with_capacity(queries.len());
        for query in queries {
            let messages: Vec<Message> =
                self.ask_sqlite(read, "id, author_id, text", query).await?;
            let version = version_of(messages.iter().map(|message| &message.id));
            timelines.push(Timeline { version, messages });
        }
        Ok(timelines)
    }

    /// SQLite is a function call away, so there is nothing to share: one query after the other.
    async fn ask_sqlite<R>(
        &self,
        pool: &SqlitePool,
        columns: &str,
        query: &TimelineQuery,
    ) -> Result<Vec<R>, StoreError>
    where
        R: for<'r> FromRow<'r, SqliteRow> + Send + Unpin,
    {
        let whose = match &query.scope {
            Scope::Everybody => "true",
            Scope::Authors(authors) if authors.len() == 1 => "author_id = $3",
            Scope::Authors(_) => "author_id IN (SELECT unhex(value) FROM json_each($3))",
        };
        let sql: Arc<str> = format!(
            "SELECT {columns} FROM message WHERE {whose} AND id < $1 AND NOT flagged
             ORDER BY id DESC LIMIT $2"
        )
        .into();
        let ask = sqlx::query_as(AssertSqlSafe(Arc::clone(&sql)))
            .bind(query.before)
            .bind(query.limit);
        let ask = match &query.scope {
            Scope::Everybody => ask,
            Scope::Authors(authors) if authors.len() == 1 => ask.bind(authors[0]),
            Scope::Authors(authors) => ask.bind(json_of(authors)),
        };
        let ask = ask.fetch_all(pool);
        self.on_sqlite.watch(&self.db, &sql, ask).await
    }

    /// Queries of one kind and limit go together; each answers with one row.
    async fn ask_postgres<R>(
        &self,
        pool: &PgPool,
        answer: Answer,
        queries: &[TimelineQuery],
    ) -> Result<Vec<R>, StoreError>
    where
        R: for<'r> FromRow<'r, PgRow> + Send + Unpin,
    {
        let mut answers = Vec::with_capacity(queries.len());
        for ((question, limit), places) in
            grouped(queries, |query| (Question::of(query), query.limit))
        {
            let make = || question.statement(answer, limit);
            let statement = self.statements.get((question, answer), limit, make);
            for places in places.chunks(question.queries_max()) {
                let asked = places.iter().map(|&place| &queries[place]);
                let input = question.input(asked);
                let rows: Vec<R> = statement.fetch_postgres(&self.db, pool, input).await?;
                answers.extend(places.iter().copied().zip(rows));
            }
        }
        in_order(answers, queries.len())
    }
}

impl Question {
    fn of(query: &TimelineQuery) -> Self {
        match &query.scope {
            Scope::Everybody => Self::Public,
            Scope::Authors(authors) if authors.len() == 1 => Self::Author,
            Scope::Authors(_) => Self::Merged,
        }
    }

    /// How many queries one statement answers.
    fn queries_max(self) -> usize {
        match self {
            Self::Public | Self::Author => usize::MAX,
            Self::Merged => 1,
        }
    }

    fn input<'a>(self, queries: impl Iterator<Item = &'a TimelineQuery>) -> Vec<Column> {
        let mut authors = Vec::new();
        let mut before = Vec::new();
        for query in queries {
            match &query.scope {
                Scope::Everybody => before.push(query.before),
                Scope::Authors(several) => {
                    // Somebody who is named twice is still read once.
                    let several: BTreeSet<Uuid> = several.iter().copied().collect();
                    before.extend(several.iter().map(|_| query.before));
                    authors.extend(several);
                }
            }
        }
        match self {
            Self::Public => vec![Column::Id(before)],
            Self::Author | Self::Merged => vec![Column::Id(authors), Column::Id(before)],
        }
    }

    fn statement(self, answer: Answer, limit: u32) -> Statement {
        let (summary, select) = match answer {
            Answer::Version => ("SELECT message timeline version", "VERSION AS version"),
            Answer::Messages => (
                "SELECT message timeline",
                "VERSION AS version, COALESCE(array_agg(id), '{}') AS ids,
                 COALESCE(array_agg(author_id), '{}') AS author_ids,
                 COALESCE(array_agg(text), '{}') AS texts",
            ),
        };
        // Order does not matter to a version: a set of ids has just one.
        let select = select.replace("VERSION", "COALESCE(bit_xor(uuid_hash_extended(id, 0)), 0)");
        let columns = if answer == Answer::Version {
            "id"
        } else {
            "id, author_id, text"
        };
        let page = |whose: &str| {
            format!(
                "(SELECT {columns} FROM message WHERE {whose} id < input.before AND NOT flagged
                  ORDER BY id DESC LIMIT {limit}) AS page"
            )
        };
        let each = |page: String| {
            format!(
                "SELECT answer.* FROM {{input}}
                 CROSS JOIN LATERAL (SELECT {select} FROM {page}) AS answer ORDER BY ord"
            )
        };
        let by_author = [("author_id", Kind::Id), ("before", Kind::Id)];
        let (sql, input) = match self {
            Self::Public => (each(page("")), &by_author[1..]),
            Self::Author => (
                each(page("author_id = input.author_id AND")),
                &by_author[..],
            ),
            Self::Merged => (
                format!(
                    "SELECT {select} FROM (SELECT page.* FROM {{input}} CROSS JOIN LATERAL {}
                     ORDER BY page.id DESC LIMIT {limit}) AS page",
                    page("author_id = input.author_id AND")
                ),
                &by_author[..],
            ),
        };
        Statement::per_engine(Access::Read, summary, "", &sql, input)
    }
}

fn json_of(ids: &[Uuid]) -> String {
    let quoted: Vec<String> = ids
        .iter()
        .map(|id| format!("\"{}\"", id.simple()))
        .collect();
    format!("[{}]", quoted.join(","))
}
