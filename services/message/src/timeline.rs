//! Timelines and their versions, in the words that each engine is quick with.
//!
//! A message never changes once written, so the ids of an author's messages say all there is to say of
//! them: their version is a hash of each, folded. PostgreSQL keeps it in a row for each author, in which
//! every write folds what it stores or takes away, so that to ask for it is one look at an index however
//! long the list. The newest id would not do: with several writers ids do not appear in commit order, and
//! a flag takes one away without adding any. The version of everybody's messages is that of the page that
//! is asked for: a row for all would be one that all writers wait for.

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

/// An id's part in a version.
const HASH: &str = "bit_xor(uuid_hash_extended(id, 0))";

/// The end of a PostgreSQL statement that stores messages or takes them away: folds those `changes`,
/// rows with `author_id` and `id`, in or out of their authors' versions. Always in one order, so that two
/// statements with the same authors cannot deadlock.
pub(crate) fn fold(changes: &str) -> String {
    format!(
        "INSERT INTO timeline AS present (author_id, version)
         SELECT author_id, {HASH} FROM {changes} GROUP BY author_id ORDER BY author_id
         ON CONFLICT (author_id) DO UPDATE SET version = present.version # excluded.version"
    )
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
        let key = |query: &TimelineQuery| {
            let question = Question::of(query);
            (question, question.limit(answer, query.limit))
        };
        for ((question, limit), places) in grouped(queries, key) {
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

    /// The limit that makes a difference to the statement.
    fn limit(self, answer: Answer, limit: u32) -> u32 {
        match (self, answer) {
            (Self::Public, _) | (_, Answer::Messages) => limit,
            (Self::Author | Self::Merged, Answer::Version) => 0,
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
        let by_author = [("author_id", Kind::Id), ("before", Kind::Id)];
        let input = match self {
            Self::Public => &by_author[1..],
            Self::Author | Self::Merged => &by_author[..],
        };
        let (summary, sql) = match answer {
            Answer::Version => ("SELECT message timeline version", self.version_sql(limit)),
            Answer::Messages => ("SELECT message timeline", self.messages_sql(limit)),
        };
        Statement::per_engine(Access::Read, summary, "", &sql, input)
    }

    fn version_sql(self, limit: u32) -> String {
        match self {
            Self::Public => format!(
                "SELECT answer.* FROM {{input}} CROSS JOIN LATERAL (
                     SELECT COALESCE({HASH}, 0) AS version FROM {}) AS answer ORDER BY ord",
                page("id", "", limit)
            ),
            Self::Author => "SELECT COALESCE(timeline.version, 0) FROM {input}
                 LEFT JOIN timeline ON timeline.author_id = input.author_id ORDER BY ord"
                .to_owned(),
            // No two authors have a message in common, so what is folded of theirs can be folded again.
            Self::Merged => "SELECT COALESCE(bit_xor(timeline.version), 0) FROM {input}
                 JOIN timeline ON timeline.author_id = input.author_id"
                .to_owned(),
        }
    }

    fn messages_sql(self, limit: u32) -> String {
        const AUTHORS: &str = "author_id = input.author_id AND";
        const LISTS: &str = "COALESCE(array_agg(id), '{}') AS ids,
            COALESCE(array_agg(author_id), '{}') AS author_ids,
            COALESCE(array_agg(text), '{}') AS texts";
        const COLUMNS: &str = "id, author_id, text";
        match self {
            Self::Public => format!(
                "SELECT answer.* FROM {{input}} CROSS JOIN LATERAL (
                     SELECT COALESCE({HASH}, 0) AS version, {LISTS} FROM {}) AS answer ORDER BY ord",
                page(COLUMNS, "", limit)
            ),
            Self::Author => format!(
                "SELECT COALESCE(timeline.version, 0) AS version, answer.* FROM {{input}}
                 LEFT JOIN timeline ON timeline.author_id = input.author_id
                 CROSS JOIN LATERAL (SELECT {LISTS} FROM {}) AS answer ORDER BY ord",
                page(COLUMNS, AUTHORS, limit)
            ),
            Self::Merged => format!(
                "WITH input AS MATERIALIZED (SELECT input.* FROM {{input}})
                 SELECT (SELECT COALESCE(bit_xor(timeline.version), 0) FROM input
                         JOIN timeline ON timeline.author_id = input.author_id) AS version, {LISTS}
                 FROM (SELECT page.* FROM input CROSS JOIN LATERAL {}
                       ORDER BY page.id DESC LIMIT {limit}) AS page",
                page(COLUMNS, AUTHORS, limit)
            ),
        }
    }
}

/// The newest messages before a row of input.
fn page(columns: &str, whose: &str, limit: u32) -> String {
    format!(
        "(SELECT {columns} FROM message WHERE {whose} id < input.before AND NOT flagged
          ORDER BY id DESC LIMIT {limit}) AS page"
    )
}

fn json_of(ids: &[Uuid]) -> String {
    let quoted: Vec<String> = ids
        .iter()
        .map(|id| format!("\"{}\"", id.simple()))
        .collect();
    format!("[{}]", quoted.join(","))
}
