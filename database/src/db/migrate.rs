//! Migration of a database's schema, by one process at a time, also after an interrupted migration.

use std::time::Duration;

use anyhow::Context as _;
use futures_util::future::LocalBoxFuture;
use sqlx::{
    AssertSqlSafe, Connection as _, Executor as _, PgConnection,
    migrate::{Migration, Migrator},
    postgres::PgConnectOptions,
};

use super::{Db, is_missing_table};

/// Key of the advisory lock that a migrating process holds on PostgreSQL. It is "minitwit" in ASCII.
const LOCK_KEY: i64 = 0x6d69_6e69_7477_6974;

/// Time between two attempts to take the lock.
const LOCK_INTERVAL: Duration = Duration::from_millis(250);

/// The migrations of a database for both engines. They have the same versions and names, and differ in
/// SQL.
#[derive(Debug)]
pub struct Migrations {
    /// Migrations for SQLite.
    pub sqlite: Migrator,
    /// Migrations for PostgreSQL.
    pub postgres: Migrator,
}

impl Db {
    /// Migrates the schema to the newest of `migrations`. Leaves a newer schema unchanged, because a
    /// rollback deploys an older version, which runs its own migrations first. On PostgreSQL, only one
    /// process migrates at a time, and the other processes wait.
    ///
    /// # Errors
    ///
    /// The database cannot be reached, or a migration failed.
    ///
    /// The future is boxed, so that sqlx is not compiled again in each program.
    pub fn migrate<'a>(
        &'a self,
        migrations: &'a Migrations,
    ) -> LocalBoxFuture<'a, anyhow::Result<()>> {
        Box::pin(self.run_migrations(migrations))
    }

    async fn run_migrations(&self, migrations: &Migrations) -> anyhow::Result<()> {
        match self {
            Self::Sqlite { write, .. } => ignoring_missing(&migrations.sqlite)
                .run(write)
                .await
                .map_err(anyhow::Error::from),
            // A separate connection without a statement timeout, because building an index may take
            // longer than a request.
            Self::Postgres { pool, .. } => {
                let options = PgConnectOptions::clone(&pool.connect_options())
                    .options([("statement_timeout", "0")]);
                let mut connection = PgConnection::connect_with(&options)
                    .await
                    .context("cannot reach the database")?;
                let migrated = migrate_postgres(&mut connection, &migrations.postgres).await;
                // The server releases the lock with the connection, even if closing fails.
                connection.close().await.ok();
                migrated
            }
        }
        .context("cannot migrate the schema of the database")
    }
}

/// A migrator that accepts applied migrations that it does not know.
fn ignoring_missing(migrator: &Migrator) -> Migrator {
    let mut ignoring_missing = Migrator::with_migrations(migrator.iter().cloned().collect());
    ignoring_missing.set_ignore_missing(true);
    ignoring_missing
}

async fn migrate_postgres(
    connection: &mut PgConnection,
    migrator: &Migrator,
) -> anyhow::Result<()> {
    let mut migrator = ignoring_missing(migrator);
    // sqlx's own lock waits inside a statement, and `CREATE INDEX CONCURRENTLY` waits for every statement
    // that began before it. The two would deadlock.
    migrator.set_locking(false);
    lock(connection).await?;
    drop_leftovers(connection, &migrator).await?;
    migrator.run(connection).await?;
    Ok(())
}

/// Takes the lock. Polls for it, so that no statement is open while this process waits.
async fn lock(connection: &mut PgConnection) -> sqlx::Result<()> {
    let mut reported = false;
    loop {
        let is_held: bool = sqlx::query_scalar("SELECT pg_try_advisory_lock($1)")
            .bind(LOCK_KEY)
            .fetch_one(&mut *connection)
            .await?;
        if is_held {
            return Ok(());
        }
        if !reported {
            tracing::info!("another process migrates the schema: waiting");
            reported = true;
        }
        tokio::time::sleep(LOCK_INTERVAL).await;
    }
}

/// Drops indexes that interrupted migrations have left behind. `CREATE INDEX CONCURRENTLY` runs
/// outside of a transaction, so the index remains if the process is killed. The index is invalid, or
/// valid but its migration is not recorded. In both cases it would make the migration fail each time.
async fn drop_leftovers(connection: &mut PgConnection, migrator: &Migrator) -> sqlx::Result<()> {
    let applied = sqlx::query_scalar("SELECT version FROM _sqlx_migrations")
        .fetch_all(&mut *connection)
        .await;
    let applied: Vec<i64> = match applied {
        // No migration has run yet.
        Err(sqlx::Error::Database(cause)) if is_missing_table(cause.as_ref()) => return Ok(()),
        applied => applied?,
    };
    let pending = migrator
        .iter()
        .filter(|migration| !applied.contains(&migration.version));
    for index in pending.flat_map(concurrent_indexes) {
        // The names are safe because they are constants in the migrations.
        let drop = format!("DROP INDEX CONCURRENTLY IF EXISTS {index}");
        connection.execute(AssertSqlSafe(drop)).await?;
    }
    Ok(())
}

/// Names of the indexes that a migration creates with `CREATE INDEX CONCURRENTLY`.
fn concurrent_indexes(migration: &Migration) -> impl Iterator<Item = &str> {
    const CONCURRENTLY: &str = "INDEX CONCURRENTLY ";
    let sql = migration.sql.as_str();
    let matches = sql.match_indices(CONCURRENTLY);
    let created = matches.filter(|(start, _)| !sql[..*start].ends_with("DROP "));
    created.filter_map(|(start, _)| {
        let rest = sql[start + CONCURRENTLY.len()..].trim_start();
        let rest = rest.strip_prefix("IF NOT EXISTS ").unwrap_or(rest);
        rest.split_whitespace().next()
    })
}

#[cfg(test)]
mod tests {
    use sqlx::{SqlSafeStr as _, migrate::MigrationType};

    use super::*;

    #[test]
    fn concurrently_created_indexes_are_found() {
        let indexes = |sql: &'static str| {
            let migration = Migration::new(
                1,
                "index".into(),
                MigrationType::Simple,
                sql.into_sql_str(),
                true,
            );
            let names: Vec<String> = concurrent_indexes(&migration).map(str::to_owned).collect();
            names
        };
        assert_eq!(
            indexes(
                "-- no-transaction\nCREATE INDEX CONCURRENTLY one ON entry (number);\n
                 CREATE UNIQUE INDEX CONCURRENTLY IF NOT EXISTS other ON entry (number)"
            ),
            ["one", "other"]
        );
        assert!(indexes("CREATE INDEX one ON entry (number)").is_empty());
        assert!(indexes("DROP INDEX CONCURRENTLY IF EXISTS one").is_empty());
    }
}
