//! Statements over many rows of input: SQL once, the engine at the edge.
//!
//! A batched statement reads its input from a table of values called `input`. How such a table is
//! handed over is the one thing in which the engines differ (arrays in PostgreSQL, one JSON text in
//! SQLite), so it is written here, once; the statement itself is written once as well.

mod operation;

use std::{
    collections::{BTreeMap, HashMap},
    fmt::Write as _,
    hash::Hash,
    sync::{Arc, Mutex, PoisonError},
};

use futures_util::future::BoxFuture;
use sqlx::{AssertSqlSafe, FromRow, PgPool, SqlitePool, postgres::PgRow, sqlite::SqliteRow};
use uuid::Uuid;

use crate::{db::Db, store::StoreError};

pub use operation::Operation;

/// The type of an input column.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A UUID: `uuid` in PostgreSQL, a blob of 16 bytes in SQLite.
    Id,
    /// A text.
    Text,
    /// A signed integer of 64 bits.
    Int,
    /// A truth value.
    Bool,
}

/// One column of input values.
#[derive(Clone, Debug)]
pub enum Column {
    /// UUIDs.
    Id(Vec<Uuid>),
    /// Texts.
    Text(Vec<String>),
    /// Integers.
    Int(Vec<i64>),
    /// Integers, some of them missing.
    OptionalInt(Vec<Option<i64>>),
    /// Truth values.
    Bool(Vec<bool>),
}

/// Whether a statement writes; only SQLite cares, which has one writer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// Reads only.
    Read,
    /// Changes something.
    Write,
}

/// A statement over a table of input values, in the words of both engines.
#[derive(Debug)]
pub struct Statement {
    access: Access,
    sqlite: Arc<str>,
    postgres: Arc<str>,
    operation: Operation,
}

impl Statement {
    /// A statement whose text, the same for both engines, names its input `{input}`.
    ///
    /// `summary` is its low-cardinality name in metrics. The input table has the columns given and
    /// `ord`, the position of the row from 1.
    pub fn new(access: Access, summary: &'static str, sql: &str, columns: &[(&str, Kind)]) -> Self {
        Self::per_engine(access, summary, sql, sql, columns)
    }

    /// A statement whose text differs, where batching wants an engine's own tool.
    pub fn per_engine(
        access: Access,
        summary: &'static str,
        sqlite: &str,
        postgres: &str,
        columns: &[(&str, Kind)],
    ) -> Self {
        Self {
            access,
            sqlite: sqlite.replace("{input}", &sqlite_input(columns)).into(),
            postgres: postgres.replace("{input}", &postgres_input(columns)).into(),
            operation: Operation::new(summary),
        }
    }

    /// Runs the statement and collects its rows.
    pub async fn fetch<R>(&self, db: &Db, input: Vec<Column>) -> Result<Vec<R>, StoreError>
    where
        R: for<'r> FromRow<'r, PgRow> + for<'r> FromRow<'r, SqliteRow> + Send + Unpin,
    {
        match db {
            Db::Sqlite { read, write, .. } => {
                let pool = if self.access == Access::Write {
                    write
                } else {
                    read
                };
                let rows = self.sqlite_rows(db, pool, input).await?;
                decode(db, &rows)
            }
            Db::Postgres { pool, .. } => self.fetch_postgres(db, pool, input).await,
        }
    }

    /// Runs the statement on PostgreSQL, for rows that only PostgreSQL has, such as arrays.
    pub async fn fetch_postgres<R>(
        &self,
        db: &Db,
        pool: &PgPool,
        input: Vec<Column>,
    ) -> Result<Vec<R>, StoreError>
    where
        R: for<'r> FromRow<'r, PgRow> + Send + Unpin,
    {
        let rows = self.postgres_rows(db, pool, input).await?;
        decode(db, &rows)
    }

    /// Rows of the statement on SQLite.
    ///
    /// The future is boxed, so that sqlx is compiled once for all types of rows.
    fn sqlite_rows<'a>(
        &'a self,
        db: &'a Db,
        pool: &'a SqlitePool,
        input: Vec<Column>,
    ) -> BoxFuture<'a, Result<Vec<SqliteRow>, StoreError>> {
        Box::pin(async move {
            let ask = self.ask_sqlite(pool, &input);
            self.operation.watch(db, &self.sqlite, ask).await
        })
    }

    /// Rows of the statement on PostgreSQL; boxed as [`Self::sqlite_rows`].
    fn postgres_rows<'a>(
        &'a self,
        db: &'a Db,
        pool: &'a PgPool,
        input: Vec<Column>,
    ) -> BoxFuture<'a, Result<Vec<PgRow>, StoreError>> {
        Box::pin(async move {
            let ask = self.ask_postgres(db, pool, input);
            self.operation.watch(db, &self.postgres, ask).await
        })
    }

    async fn ask_sqlite(
        &self,
        pool: &SqlitePool,
        input: &[Column],
    ) -> sqlx::Result<Vec<SqliteRow>> {
        // The text is ours; what came from outside is bound.
        sqlx::query(AssertSqlSafe(Arc::clone(&self.sqlite)))
            .bind(json(input))
            .fetch_all(pool)
            .await
    }

    async fn ask_postgres(
        &self,
        db: &Db,
        pool: &PgPool,
        input: Vec<Column>,
    ) -> sqlx::Result<Vec<PgRow>> {
        let mut query = sqlx::query(AssertSqlSafe(Arc::clone(&self.postgres)));
        for column in input {
            query = match column {
                Column::Id(values) => query.bind(values),
                Column::Text(values) => query.bind(values),
                Column::Int(values) => query.bind(values),
                Column::OptionalInt(values) => query.bind(values),
                Column::Bool(values) => query.bind(values),
            };
        }
        let mut connection = db.acquire(pool).await?;
        query.fetch_all(&mut *connection).await
    }
}

/// Rows as values of `R`.
fn decode<'r, R, Row>(db: &Db, rows: &'r [Row]) -> Result<Vec<R>, StoreError>
where
    R: FromRow<'r, Row>,
    Row: sqlx::Row,
{
    let decoded: sqlx::Result<Vec<R>> = rows.iter().map(R::from_row).collect();
    decoded.map_err(|error| db.failed(error))
}

/// How many statements of different limits are kept; a client that counts a limit upwards must not
/// fill the memory.
const LIMITS_MAX: usize = 64;

/// PostgreSQL statements of several kinds whose limit stands literally in them: with a limit as a
/// parameter each execution is planned again.
#[derive(Debug)]
pub struct ByLimit<K> {
    made: Mutex<HashMap<(K, u32), Arc<Statement>>>,
}

impl<K> Default for ByLimit<K> {
    fn default() -> Self {
        Self {
            made: Mutex::default(),
        }
    }
}

impl<K: Copy + Eq + Hash> ByLimit<K> {
    /// The statement of a kind and limit, made if it is not there yet.
    pub fn get(&self, kind: K, limit: u32, make: impl FnOnce() -> Statement) -> Arc<Statement> {
        let mut known = self.made.lock().unwrap_or_else(PoisonError::into_inner);
        if known.len() >= LIMITS_MAX && !known.contains_key(&(kind, limit)) {
            known.clear();
        }
        let statement = known
            .entry((kind, limit))
            .or_insert_with(|| Arc::new(make()));
        Arc::clone(statement)
    }
}

/// The places of queries, those of the same key together: they go into one statement.
pub fn grouped<Q, K: Ord>(queries: &[Q], key: impl Fn(&Q) -> K) -> BTreeMap<K, Vec<usize>> {
    let mut groups: BTreeMap<K, Vec<usize>> = BTreeMap::new();
    for (place, query) in queries.iter().enumerate() {
        groups.entry(key(query)).or_default().push(place);
    }
    groups
}

/// The answers to [`grouped`] queries, each brought with its query's place, in the order asked.
///
/// # Errors
///
/// There is not an answer to each of the `asked` queries.
pub fn in_order<R>(mut answers: Vec<(usize, R)>, asked: usize) -> Result<Vec<R>, StoreError> {
    if answers.len() != asked {
        return Err(StoreError::Database(sqlx::Error::RowNotFound));
    }
    answers.sort_unstable_by_key(|(place, _)| *place);
    Ok(answers.into_iter().map(|(_, answer)| answer).collect())
}

/// `unnest` of one array a column.
fn postgres_input(columns: &[(&str, Kind)]) -> String {
    let mut arrays = String::new();
    let mut names = String::new();
    for (place, (name, kind)) in columns.iter().enumerate() {
        let array = match kind {
            Kind::Id => "uuid[]",
            Kind::Text => "text[]",
            Kind::Int => "bigint[]",
            Kind::Bool => "boolean[]",
        };
        let comma = if place == 0 { "" } else { ", " };
        let _ = write!(arrays, "{comma}${}::{array}", place + 1);
        let _ = write!(names, "{name}, ");
    }
    format!("unnest({arrays}) WITH ORDINALITY AS input({names}ord)")
}

/// `json_each` of one JSON array of rows.
fn sqlite_input(columns: &[(&str, Kind)]) -> String {
    let mut values = String::new();
    for (place, (name, kind)) in columns.iter().enumerate() {
        let _ = match kind {
            Kind::Id => write!(values, "unhex(value ->> {place}) AS {name}, "),
            _ => write!(values, "value ->> {place} AS {name}, "),
        };
    }
    format!("(SELECT {values}key + 1 AS ord FROM json_each($1)) AS input")
}

/// The input as a JSON array of rows, each an array of its values.
fn json(input: &[Column]) -> String {
    let rows = input.first().map_or(0, Column::len);
    let mut text = String::with_capacity(64 * rows + 2);
    text.push('[');
    for row in 0..rows {
        text.push_str(if row == 0 { "[" } else { ",[" });
        for (place, column) in input.iter().enumerate() {
            if place > 0 {
                text.push(',');
            }
            column.write_json(row, &mut text);
        }
        text.push(']');
    }
    text.push(']');
    text
}

impl Column {
    fn len(&self) -> usize {
        match self {
            Self::Id(values) => values.len(),
            Self::Text(values) => values.len(),
            Self::Int(values) => values.len(),
            Self::OptionalInt(values) => values.len(),
            Self::Bool(values) => values.len(),
        }
    }

    fn write_json(&self, row: usize, text: &mut String) {
        let _ = match self {
            Self::Id(values) => write!(text, "\"{}\"", values[row].simple()),
            Self::Text(values) => {
                write_json_string(&values[row], text);
                Ok(())
            }
            Self::Int(values) => write!(text, "{}", values[row]),
            Self::OptionalInt(values) => match values[row] {
                Some(value) => write!(text, "{value}"),
                None => write!(text, "null"),
            },
            Self::Bool(values) => write!(text, "{}", i32::from(values[row])),
        };
    }
}

fn write_json_string(value: &str, text: &mut String) {
    text.push('"');
    for character in value.chars() {
        match character {
            '"' => text.push_str("\\\""),
            '\\' => text.push_str("\\\\"),
            control if control < ' ' => {
                let _ = write!(text, "\\u{:04x}", control as u32);
            }
            other => text.push(other),
        }
    }
    text.push('"');
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_engine_gets_its_own_input_table() {
        let columns = [("id", Kind::Id), ("text", Kind::Text)];
        assert_eq!(
            postgres_input(&columns),
            "unnest($1::uuid[], $2::text[]) WITH ORDINALITY AS input(id, text, ord)"
        );
        assert_eq!(
            sqlite_input(&columns),
            "(SELECT unhex(value ->> 0) AS id, value ->> 1 AS text, key + 1 AS ord \
             FROM json_each($1)) AS input"
        );
    }

    #[test]
    fn json_is_row_by_row_and_escaped() {
        let input = [
            Column::Text(vec!["a\"b\\\n".into(), "ø😀".into()]),
            Column::Int(vec![-1, i64::MAX]),
            Column::Bool(vec![true, false]),
            Column::OptionalInt(vec![Some(7), None]),
        ];
        assert_eq!(
            json(&input),
            "[[\"a\\\"b\\\\\\u000a\",-1,1,7],[\"ø😀\",9223372036854775807,0,null]]"
        );
    }
}
