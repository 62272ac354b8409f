//! Databases of the old system.

use std::path::PathBuf;

use sqlx::{
    AssertSqlSafe, SqlitePool,
    sqlite::{SqliteConnectOptions, SqlitePoolOptions},
};
use tempfile::TempDir;

const SCHEMA: &str = include_str!("old.sql");

/// A database of the old system, which is deleted at the end of the test.
pub(crate) struct Old {
    pub(crate) file: PathBuf,
    pub(crate) pool: SqlitePool,
    _folder: TempDir,
}

/// The content, date and user of a message as the API lists it.
pub(crate) type ListedMessage = (String, i64, String);

impl Old {
    pub(crate) async fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("minitwit.db");
        let options = SqliteConnectOptions::new()
            .filename(&file)
            .create_if_missing(true);
        let pool = SqlitePoolOptions::new().max_connections(1);
        let pool = pool.connect_with(options).await.unwrap();
        sqlx::raw_sql(SCHEMA).execute(&pool).await.unwrap();
        Self {
            file,
            pool,
            _folder: folder,
        }
    }

    pub(crate) async fn run(&self, sql: impl Into<String>) {
        let sql = AssertSqlSafe(sql.into());
        sqlx::raw_sql(sql).execute(&self.pool).await.unwrap();
    }

    /// The messages that the old system lists, newest first, filtered by an SQL condition.
    pub(crate) async fn timeline(&self, condition: &str) -> Vec<ListedMessage> {
        let sql = format!(
            "SELECT CAST(text AS TEXT), CAST(pub_date AS INTEGER), CAST(username AS TEXT)
             FROM message JOIN user ON author_id = user_id
             WHERE flagged = 0 AND {condition} ORDER BY pub_date DESC, message_id DESC"
        );
        let rows = sqlx::query_as(AssertSqlSafe(sql)).fetch_all(&self.pool);
        rows.await.unwrap()
    }

    /// A database with the given numbers of valid users, messages and follows.
    pub(crate) async fn valid(users: u32, messages: u32, follows: u32) -> Self {
        let old = Self::new().await;
        let numbers = |count| {
            format!(
                "WITH RECURSIVE n(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM n WHERE n < {count})"
            )
        };
        old.run(format!(
            "{} INSERT INTO user (username, email, pw_hash)
                SELECT 'user ' || n, n || '@example.com', 'damaged' FROM n;
             {} INSERT INTO message (author_id, text, pub_date, flagged)
                SELECT 1 + n * 7919 % {users}, 'text ' || n, 1233065594 + n / 3, n % 50 = 0 FROM n;
             {} INSERT INTO follower SELECT 1 + n % {users}, 1 + n / {users} FROM n",
            numbers(users),
            numbers(messages),
            numbers(follows - 1)
        ))
        .await;
        old
    }
}
