//! Bringing a schema up to date: one process at a time, whatever an earlier one has left half done.

use std::time::Duration;

use anyhow::Context as _;
use sqlx::{
    AssertSqlSafe, Connection as _, Executor as _, PgConnection,
    migrate::{Migration, Migrator},
    postgres::PgConnectOptions,
};

use super::{Db, is_missing_table};

/// The advisory lock that whoever migrates a database on PostgreSQL holds: "minitwit" in ASCII.
const LOCK: i64 = 0x6d69_6e69_7477_6974;

/// How often one who waits for the lock asks for it.
const LOCK_INTERVAL: Duration = Duration::from_millis(250);

/// The same migrations for both engines: same names, same order, other words.
#[derive(Debug)]
pub struct Migrations {
    /// For SQLite.
    pub sqlite: Migrator,
    /// For PostgreSQL.
    pub postgres: Migrator,
}

impl Db {
    /// Brings the schema up to date. One that a newer version has made is left as it is: an older
    /// version is brought back by deploying it, and its migrations run first as always. Of several
    /// who do this at once, on PostgreSQL, each waits for the one before it.
    ///
    /// # Errors
    ///
    /// The database cannot be reached, or a migration failed.
    pub async fn migrate(&self, migrations: &Migrations) -> anyhow::Result<()> {
        match self {
            Self::Sqlite { write, .. } => forbearing(&migrations.sqlite)
                .run(write)
                .await
                .map_err(anyhow::Error::from),
            // A connection of its own: building an index may take longer than any request may.
            Self::Postgres { pool, .. } => {
                let options = PgConnectOptions::clone(&pool.connect_options())
                    .options([("statement_timeout", "0")]);
                let mut connection = PgConnection::connect_with(&options)
                    .await
                    .context("cannot reach the database")?;
                let migrated = migrate_postgres(&mut connection, &migrations.postgres).await;
                // The lock goes with the connection, however that ends.
                connection.close().await.ok();
                migrated
            }
        }
        .context("cannot bring the database's schema up to date")
    }
}

/// The same migrations, which do not mind others that were applied before them.
fn forbearing(migrator: &Migrator) -> Migrator {
    let mut forbearing = Migrator::with_migrations(migrator.iter().cloned().collect());
    forbearing.set_ignore_missing(true);
    forbearing
}

async fn migrate_postgres(
    connection: &mut PgConnection,
    migrator: &Migrator,
) -> anyhow::Result<()> {
    let mut migrator = forbearing(migrator);
    // The library's own lock waits inside a statement, and an index that is built beside the writes
    // waits for every statement that began before it: the two would wait for one another.
    migrator.set_locking(false);
    lock(connection).await?;
    drop_leftovers(connection, &migrator).await?;
    migrator.run(connection).await?;
    Ok(())
}

/// Asks for the lock again and again: between two questions no statement is open.
async fn lock(connection: &mut PgConnection) -> sqlx::Result<()> {
    let mut told = false;
    loop {
        let is_held: bool = sqlx::query_scalar("SELECT pg_try_advisory_lock($1)")
            .bind(LOCK)
            .fetch_one(&mut *connection)
            .await?;
        if is_held {
            return Ok(());
        }
        if !told {
            tracing::info!("another process brings the schema up to date: waiting for it");
            told = true;
        }
        tokio::time::sleep(LOCK_INTERVAL).await;
    }
}

/// Drops the indexes of migrations that have not been applied. No transaction took them back when
/// whoever built them died: they are there, unusable or just not noted down, and would make the
/// migration fail each time it is tried again.
async fn drop_leftovers(connection: &mut PgConnection, migrator: &Migrator) -> sqlx::Result<()> {
    let applied = sqlx::query_scalar("SELECT version FROM _sqlx_migrations")
        .fetch_all(&mut *connection)
        .await;
    let applied: Vec<i64> = match applied {
        // Nobody has begun yet.
        Err(sqlx::Error::Database(cause)) if is_missing_table(cause.as_ref()) => return Ok(()),
        applied => applied?,
    };
    let pending = migrator
        .iter()
        .filter(|migration| !applied.contains(&migration.version));
    for index in pending.flat_map(built_beside_writes) {
        // The names are those of our own migrations.
        let drop = format!("DROP INDEX CONCURRENTLY IF EXISTS {index}");
        connection.execute(AssertSqlSafe(drop)).await?;
    }
    Ok(())
}

/// The indexes that a migration builds outside of a transaction.
fn built_beside_writes(migration: &Migration) -> impl Iterator<Item = &str> {
    const CONCURRENTLY: &str = "INDEX CONCURRENTLY ";
    let sql = migration.sql.as_str();
    let places = sql.match_indices(CONCURRENTLY);
    let built = places.filter(|(place, _)| !sql[..*place].ends_with("DROP "));
    built.filter_map(|(place, _)| {
        let rest = sql[place + CONCURRENTLY.len()..].trim_start();
        let rest = rest.strip_prefix("IF NOT EXISTS ").unwrap_or(rest);
        rest.split_whitespace().next()
    })
}

#[cfg(test)]
mod tests {
    use sqlx::{SqlSafeStr as _, migrate::MigrationType};

    use super::*;

    #[test]
    fn the_indexes_that_no_transaction_takes_back_are_known() {
        let built = |sql: &'static str| {
            let migration = Migration::new(
                1,
                "index".into(),
                MigrationType::Simple,
                sql.into_sql_str(),
                true,
            );
            let built: Vec<String> = built_beside_writes(&migration).map(str::to_owned).collect();
            built
        };
        assert_eq!(
            built(
                "-- no-transaction\nCREATE INDEX CONCURRENTLY one ON entry (number);\n
                 CREATE UNIQUE INDEX CONCURRENTLY IF NOT EXISTS other ON entry (number)"
            ),
            ["one", "other"]
        );
        assert!(built("CREATE INDEX one ON entry (number)").is_empty());
        assert!(built("DROP INDEX CONCURRENTLY IF EXISTS one").is_empty());
    }
}
