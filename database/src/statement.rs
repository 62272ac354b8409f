//! Statements over many rows of input, for both engines.
//!
//! A batched statement reads its input from a table of values called `input`. The engines take such a
//! table in different forms. PostgreSQL takes one array per column, and SQLite takes one JSON text. This
//! module hides the difference, so that most statements are written once for both engines.

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

/// Type of an input column.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A UUID, which is a `uuid` in PostgreSQL and a blob of 16 bytes in SQLite.
    Id,
    /// A text.
    Text,
    /// A signed integer of 64 bits.
    Int,
    /// A Boolean value.
    Bool,
}

/// Values of one input column, one for each row.
#[derive(Clone, Debug)]
pub enum Column {
    /// UUIDs.
    Id(Vec<Uuid>),
    /// Texts.
    Text(Vec<String>),
    /// Integers.
    Int(Vec<i64>),
    /// Integers or `NULL`.
    OptionalInt(Vec<Option<i64>>),
    /// Boolean values.
    Bool(Vec<bool>),
}

/// Whether a statement writes. Only SQLite needs this, because it has a single writing connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// The statement only reads.
    Read,
    /// The statement changes data.
    Write,
}

/// A statement over a table of input values, in the SQL of both engines.
#[derive(Debug)]
pub struct Statement {
    access: Access,
    sqlite: Arc<str>,
    postgres: Arc<str>,
    operation: Operation,
}

impl Statement {
    /// Creates a statement with the same SQL for both engines. The placeholder `{input}` in `sql` stands
    /// for the input table.
    ///
    /// `summary` is the name of the statement in metrics and traces. The input table has the given
    /// `columns`, and a column `ord` with the number of the row, starting at 1.
    pub fn new(access: Access, summary: &'static str, sql: &str, columns: &[(&str, Kind)]) -> Self {
        Self::per_engine(access, summary, sql, sql, columns)
    }

    /// Creates a statement with different SQL for each engine, for batching that needs features of one
    /// engine. The placeholder `{input}` stands for the input table.
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

    /// Runs the statement and returns its rows.
    ///
    /// # Errors
    ///
    /// See [`StoreError`].
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

    /// Runs the statement on PostgreSQL and returns its rows. This is for rows with types that SQLite
    /// does not have, such as arrays.
    ///
    /// # Errors
    ///
    /// See [`StoreError`].
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

    /// Reads the rows of the statement on SQLite.
    ///
    /// The future is boxed, so that sqlx is compiled once for all types of rows.
    fn sqlite_rows<'a>(
        &'a self,
        db: &'a Db,
        pool: &'a SqlitePool,
        input: Vec<Column>,
    ) -> BoxFuture<'a, Result<Vec<SqliteRow>, StoreError>> {
        Box::pin(async move {
            let query = self.query_sqlite(pool, &input);
            self.operation.watch(db, &self.sqlite, query).await
        })
    }

    /// Reads the rows of the statement on PostgreSQL. The future is boxed as in [`Self::sqlite_rows`].
    fn postgres_rows<'a>(
        &'a self,
        db: &'a Db,
        pool: &'a PgPool,
        input: Vec<Column>,
    ) -> BoxFuture<'a, Result<Vec<PgRow>, StoreError>> {
        Box::pin(async move {
            let query = self.query_postgres(db, pool, input);
            self.operation.watch(db, &self.postgres, query).await
        })
    }

    async fn query_sqlite(
        &self,
        pool: &SqlitePool,
        input: &[Column],
    ) -> sqlx::Result<Vec<SqliteRow>> {
        // The SQL is safe because it is constant. All values of requests are bound parameters.
        sqlx::query(AssertSqlSafe(Arc::clone(&self.sqlite)))
            .bind(json(input))
            .fetch_all(pool)
            .await
    }

    async fn query_postgres(
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

/// Decodes rows into values of `R`.
fn decode<'r, R, Row>(db: &Db, rows: &'r [Row]) -> Result<Vec<R>, StoreError>
where
    R: FromRow<'r, Row>,
    Row: sqlx::Row,
{
    let decoded: sqlx::Result<Vec<R>> = rows.iter().map(R::from_row).collect();
    decoded.map_err(|error| db.classify_error(error))
}

/// Maximum number of cached statements. The bound limits the memory when a client requests many
/// different limits.
const CACHED_STATEMENTS_MAX: usize = 64;

/// Cache of PostgreSQL statements that differ in a key and in a literal `LIMIT`. The limit is a literal
/// because PostgreSQL would plan a statement with a limit parameter again for each execution.
#[derive(Debug)]
pub struct StatementCache<K> {
    statements: Mutex<HashMap<(K, u32), Arc<Statement>>>,
}

impl<K> Default for StatementCache<K> {
    fn default() -> Self {
        Self {
            statements: Mutex::default(),
        }
    }
}

impl<K: Copy + Eq + Hash> StatementCache<K> {
    /// Returns the statement for `kind` and `limit`. Creates it with `make` if it is not cached. Clears
    /// the cache when it is full.
    pub fn get(&self, kind: K, limit: u32, make: impl FnOnce() -> Statement) -> Arc<Statement> {
        let mut statements = self
            .statements
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        if statements.len() >= CACHED_STATEMENTS_MAX && !statements.contains_key(&(kind, limit)) {
            statements.clear();
        }
        let statement = statements
            .entry((kind, limit))
            .or_insert_with(|| Arc::new(make()));
        Arc::clone(statement)
    }
}

/// The indexes of queries, grouped by a key. Queries with the same key can share one statement.
pub fn grouped<Q, K: Ord>(queries: &[Q], key: impl Fn(&Q) -> K) -> BTreeMap<K, Vec<usize>> {
    let mut groups: BTreeMap<K, Vec<usize>> = BTreeMap::new();
    for (index, query) in queries.iter().enumerate() {
        groups.entry(key(query)).or_default().push(index);
    }
    groups
}

/// The answers to [`grouped`] queries, in the order of the queries. Each answer comes with the index of
/// its query. `queries` is the number of queries.
///
/// # Errors
///
/// The number of answers is not `queries`.
pub fn in_order<R>(mut answers: Vec<(usize, R)>, queries: usize) -> Result<Vec<R>, StoreError> {
    if answers.len() != queries {
        return Err(StoreError::Database(sqlx::Error::RowNotFound));
    }
    answers.sort_unstable_by_key(|(index, _)| *index);
    Ok(answers.into_iter().map(|(_, answer)| answer).collect())
}

/// The input table in PostgreSQL, which is `unnest` of one array parameter for each column.
fn postgres_input(columns: &[(&str, Kind)]) -> String {
    let mut arrays = String::new();
    let mut names = String::new();
    for (index, (name, kind)) in columns.iter().enumerate() {
        let array = match kind {
            Kind::Id => "uuid[]",
            Kind::Text => "text[]",
            Kind::Int => "bigint[]",
            Kind::Bool => "boolean[]",
        };
        let comma = if index == 0 { "" } else { ", " };
        let _ = write!(arrays, "{comma}${}::{array}", index + 1);
        let _ = write!(names, "{name}, ");
    }
    format!("unnest({arrays}) WITH ORDINALITY AS input({names}ord)")
}

/// The input table in SQLite, which is `json_each` of a JSON array of rows.
fn sqlite_input(columns: &[(&str, Kind)]) -> String {
    let mut values = String::new();
    for (index, (name, kind)) in columns.iter().enumerate() {
        let _ = match kind {
            Kind::Id => write!(values, "unhex(value ->> {index}) AS {name}, "),
            _ => write!(values, "value ->> {index} AS {name}, "),
        };
    }
    format!("(SELECT {values}key + 1 AS ord FROM json_each($1)) AS input")
}

/// The input as a JSON array of rows. Each row is an array of its values.
///
/// Ids are written without `serde_json`, whose search for characters to escape would take longer than
/// writing the id itself.
fn json(input: &[Column]) -> String {
    let rows = input.first().map_or(0, Column::len);
    let mut text = Vec::with_capacity(64 * rows + 2);
    text.push(b'[');
    for row in 0..rows {
        text.extend_from_slice(if row == 0 { b"[" } else { b",[" });
        for (index, column) in input.iter().enumerate() {
            if index > 0 {
                text.push(b',');
            }
            column.write_json(row, &mut text);
        }
        text.push(b']');
    }
    text.push(b']');
    String::from_utf8(text).expect("JSON is UTF-8")
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

    /// Appends the value of one row.
    fn write_json(&self, row: usize, text: &mut Vec<u8>) {
        match self {
            Self::Id(values) => {
                let mut buffer = Uuid::encode_buffer();
                text.push(b'"');
                text.extend_from_slice(values[row].simple().encode_lower(&mut buffer).as_bytes());
                text.push(b'"');
                Ok(())
            }
            Self::Text(values) => serde_json::to_writer(text, &values[row]),
            Self::Int(values) => serde_json::to_writer(text, &values[row]),
            Self::OptionalInt(values) => serde_json::to_writer(text, &values[row]),
            Self::Bool(values) => serde_json::to_writer(text, &i32::from(values[row])),
        }
        .expect("writing JSON to memory does not fail");
    }
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
    fn json_has_one_array_for_each_row_and_escapes_texts() {
        let input = [
            Column::Text(vec!["a\"b\\\n".into(), "ø😀".into()]),
            Column::Int(vec![-1, i64::MAX]),
            Column::Bool(vec![true, false]),
            Column::OptionalInt(vec![Some(7), None]),
        ];
        assert_eq!(
            json(&input),
            "[[\"a\\\"b\\\\\\n\",-1,1,7],[\"ø😀\",9223372036854775807,0,null]]"
        );
    }
}
