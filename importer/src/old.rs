//! Reader of the old system's SQLite file, whose columns may contain values of any type.

use std::path::Path;

use anyhow::{Context as _, bail};
use sqlx::{
    AssertSqlSafe, Row as _, SqlitePool,
    sqlite::{SqliteConnectOptions, SqlitePoolOptions, SqliteRow},
};

use crate::text::Text;

/// Tables and columns that the import reads.
const TABLES: [(&str, &[&str]); 3] = [
    ("user", &["user_id", "username", "email", "pw_hash"]),
    ("follower", &["who_id", "whom_id"]),
    (
        "message",
        &["message_id", "author_id", "text", "pub_date", "flagged"],
    ),
];

/// Database of the old system.
pub(crate) struct OldDatabase {
    pool: SqlitePool,
}

/// Row of the table `user`.
#[derive(Clone, Debug)]
pub(crate) struct OldUser {
    /// Number of the row in its table.
    pub(crate) row: i64,
    /// Number of the user, or `None` if the column is not an integer.
    pub(crate) user_id: Option<i64>,
    pub(crate) username: Text,
    pub(crate) email: Text,
    pub(crate) pw_hash: Text,
}

/// Row of the table `follower`.
#[derive(Clone, Copy, Debug)]
pub(crate) struct OldFollow {
    pub(crate) row: i64,
    pub(crate) who_id: Option<i64>,
    pub(crate) whom_id: Option<i64>,
}

/// Row of the table `message`.
#[derive(Clone, Debug)]
pub(crate) struct OldMessage {
    pub(crate) row: i64,
    pub(crate) message_id: Option<i64>,
    pub(crate) author_id: Option<i64>,
    pub(crate) text: Text,
    /// Time of publication in milliseconds since 1970, or `None` if the column is not a number.
    pub(crate) published_millis: Option<i64>,
    /// Whether the old system hides it.
    pub(crate) flagged: bool,
}

impl OldDatabase {
    /// Opens the file read-only, and checks its tables.
    pub(crate) async fn open(file: &Path) -> anyhow::Result<Self> {
        if !file.is_file() {
            bail!("there is no file {}", file.display());
        }
        let options = SqliteConnectOptions::new().filename(file).read_only(true);
        let pool = SqlitePoolOptions::new()
            .max_connections(1)
            .connect_with(options)
            .await
            .with_context(|| format!("cannot open {}", file.display()))?;
        let old = Self { pool };
        old.check()
            .await
            .with_context(|| format!("{} is not a MiniTwit database", file.display()))?;
        Ok(old)
    }

    async fn check(&self) -> anyhow::Result<()> {
        for (table, columns) in TABLES {
            let sql = format!("SELECT name FROM pragma_table_info('{table}')");
            let found: Vec<String> = sqlx::query_scalar(AssertSqlSafe(sql))
                .fetch_all(&self.pool)
                .await?;
            if found.is_empty() {
                bail!("it has no table {table:?}");
            }
            for column in columns {
                if !found.iter().any(|name| name.eq_ignore_ascii_case(column)) {
                    bail!("its table {table:?} has no column {column:?}");
                }
            }
        }
        Ok(())
    }

    /// Counts the rows of a table.
    pub(crate) async fn count(&self, table: &'static str) -> anyhow::Result<u64> {
        let sql = format!("SELECT COUNT(*) FROM {table}");
        let count: i64 = sqlx::query_scalar(AssertSqlSafe(sql))
            .fetch_one(&self.pool)
            .await
            .with_context(|| format!("cannot read the table {table:?}"))?;
        Ok(count.unsigned_abs())
    }

    /// Reads at most `limit` users whose row numbers are greater than `after`.
    pub(crate) async fn users(&self, after: i64, limit: u32) -> anyhow::Result<Vec<OldUser>> {
        let sql = format!(
            "SELECT rowid, {}, CAST(username AS TEXT), CAST(email AS TEXT), CAST(pw_hash AS TEXT)
             FROM user WHERE rowid > $1 ORDER BY rowid LIMIT $2",
            integer("user_id")
        );
        let user = |row: &SqliteRow| {
            Ok(OldUser {
                row: row.try_get(0)?,
                user_id: row.try_get(1)?,
                username: text(row, 2),
                email: text(row, 3),
                pw_hash: text(row, 4),
            })
        };
        self.page("user", sql, after, limit, user).await
    }

    /// Reads at most `limit` follow relations whose row numbers are greater than `after`.
    pub(crate) async fn follows(&self, after: i64, limit: u32) -> anyhow::Result<Vec<OldFollow>> {
        let sql = format!(
            "SELECT rowid, {}, {} FROM follower WHERE rowid > $1 ORDER BY rowid LIMIT $2",
            integer("who_id"),
            integer("whom_id")
        );
        let follow = |row: &SqliteRow| {
            Ok(OldFollow {
                row: row.try_get(0)?,
                who_id: row.try_get(1)?,
                whom_id: row.try_get(2)?,
            })
        };
        self.page("follower", sql, after, limit, follow).await
    }

    /// Reads at most `limit` messages whose row numbers are greater than `after`.
    pub(crate) async fn messages(&self, after: i64, limit: u32) -> anyhow::Result<Vec<OldMessage>> {
        // The old system lists the messages with `flagged = 0`, and hides all other messages.
        let sql = format!(
            "SELECT rowid, {}, {}, CAST(text AS TEXT),
                    CASE WHEN typeof(pub_date) IN ('integer', 'real')
                         THEN CAST(pub_date * 1000 AS INTEGER) END,
                    CASE WHEN flagged = 0 THEN 0 ELSE 1 END
             FROM message WHERE rowid > $1 ORDER BY rowid LIMIT $2",
            integer("message_id"),
            integer("author_id")
        );
        let message = |row: &SqliteRow| {
            Ok(OldMessage {
                row: row.try_get(0)?,
                message_id: row.try_get(1)?,
                author_id: row.try_get(2)?,
                text: text(row, 3),
                published_millis: row.try_get(4)?,
                flagged: row.try_get::<i64, _>(5)? != 0,
            })
        };
        self.page("message", sql, after, limit, message).await
    }

    async fn page<T>(
        &self,
        table: &str,
        sql: String,
        after: i64,
        limit: u32,
        read: impl Fn(&SqliteRow) -> sqlx::Result<T>,
    ) -> anyhow::Result<Vec<T>> {
        let rows = sqlx::query(AssertSqlSafe(sql))
            .bind(after)
            .bind(limit)
            .fetch_all(&self.pool)
            .await;
        rows.and_then(|rows| rows.iter().map(read).collect())
            .with_context(|| format!("cannot read the table {table:?}"))
    }
}

/// SQL expression for a column that is NULL unless the value is an integer.
fn integer(column: &str) -> String {
    format!("CASE typeof({column}) WHEN 'integer' THEN {column} END")
}

fn text(row: &SqliteRow, index: usize) -> Text {
    match row.try_get_unchecked::<Option<String>, _>(index) {
        Ok(Some(text)) => Text::Valid(text),
        Ok(None) => Text::Null,
        Err(_) => Text::Damaged,
    }
}
