//! The database handle for SQLite or PostgreSQL. The scheme of the URL selects the engine.

mod migrate;
mod outage;
mod watch;

use std::{str::FromStr, time::Duration};

use anyhow::{Context, bail};
use secrecy::{ExposeSecret, SecretString};
use sqlx::{
    Connection as _, PgConnection, PgPool, Postgres, SqlitePool,
    pool::PoolConnection,
    postgres::{PgConnectOptions, PgPoolOptions},
    sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions, SqliteSynchronous},
};

use crate::store::StoreError;

pub use migrate::Migrations;
pub use outage::OutageGuard;
pub use watch::DbMeter;
pub(crate) use watch::watch;

/// How long one statement of a request may take on the database unless an option says otherwise: within the
/// API's 250 ms.
pub const STATEMENT_TIMEOUT: Duration = Duration::from_millis(220);

/// The share of a statement's time for which it waits for a connection: a third of the API's 220 ms is
/// short of an attempt's time, so that "the database is away" is said before the caller gives up.
const ACQUIRE_SHARE: u32 = 3;

/// How long a connection may take to be opened, whoever waits for it meanwhile: long enough for a machine
/// that is busy, short enough to try again soon after an outage.
const OPENING_PATIENCE: Duration = Duration::from_millis(500);

/// How long a service that starts waits for its connections.
const CONNECT_PATIENCE: Duration = Duration::from_secs(5);

/// How statements are planned on PostgreSQL.
const PLANNER: [(&str, &str); 6] = [
    // Executions differ only in how many rows of input they have, and a plan that is good for few is
    // good for many: no need to plan each of them.
    ("plan_cache_mode", "force_generic_plan"),
    // Every statement finds its rows by an index, for each row of input. On a table that is small the
    // planner would rather read all of it, and keep to that plan while the table grows: an import into
    // a new suite had it read a million messages for each page.
    ("enable_seqscan", "off"),
    ("enable_bitmapscan", "off"),
    ("enable_hashjoin", "off"),
    ("enable_mergejoin", "off"),
    // What is switched off counts as very dear, which must not set a compiler to work.
    ("jit", "off"),
];

/// How many connections a process holds to PostgreSQL.
const POSTGRES_CONNECTIONS: u32 = 8;

/// How many connections read from an SQLite file beside the one that writes.
const SQLITE_READERS: u32 = 4;

/// An open database. Clones share its connections.
#[derive(Clone, Debug)]
pub enum Db {
    /// One file: a single writing connection, so that lock errors become a queue, and a few readers.
    Sqlite {
        /// The connections that read.
        read: SqlitePool,
        /// The connection that writes.
        write: SqlitePool,
        /// What others see of it.
        meter: DbMeter,
    },
    /// A server.
    Postgres {
        /// The connections.
        pool: PgPool,
        /// How long a statement waits for one of them.
        patience: Duration,
        /// When the server last turned out to be away or read-only.
        outage: OutageGuard,
        /// What others see of it.
        meter: DbMeter,
    },
}

impl Db {
    /// Opens the database lazily: nothing is reached before the first statement. On a server a
    /// statement is cancelled after `statement_timeout`, and waits a third of it for a connection.
    ///
    /// # Errors
    ///
    /// A URL that is neither `sqlite:` nor `postgres:`, or that cannot be read.
    pub fn open(url: &SecretString, statement_timeout: Duration) -> anyhow::Result<Self> {
        let url = url.expose_secret();
        match url.split_once(':') {
            Some(("sqlite", _)) => Self::open_sqlite(url),
            Some(("postgres" | "postgresql", _)) => Self::open_postgres(url, statement_timeout),
            // The URL itself may hold a password.
            _ => bail!("a database URL begins with `sqlite:` or `postgres:`"),
        }
    }

    fn open_sqlite(url: &str) -> anyhow::Result<Self> {
        let options = SqliteConnectOptions::from_str(url)
            .context("cannot read the SQLite URL")?
            .create_if_missing(true)
            .journal_mode(SqliteJournalMode::Wal)
            .synchronous(SqliteSynchronous::Full)
            .foreign_keys(true)
            .busy_timeout(Duration::from_secs(5));
        let pool = |connections| {
            SqlitePoolOptions::new()
                .max_connections(connections)
                .test_before_acquire(false)
                // Recycling a connection to a file gains nothing.
                .idle_timeout(None)
                .max_lifetime(None)
                .connect_lazy_with(options.clone())
        };
        Ok(Self::Sqlite {
            read: pool(SQLITE_READERS),
            write: pool(1),
            meter: DbMeter::new(&name_of_file(&options)),
        })
    }

    fn open_postgres(url: &str, statement_timeout: Duration) -> anyhow::Result<Self> {
        let options = PgConnectOptions::from_str(url)
            .context("cannot read the PostgreSQL URL")?
            .options([(
                "statement_timeout",
                statement_timeout.as_millis().to_string().as_str(),
            )])
            .options(PLANNER);
        let meter = DbMeter::new(options.get_database().unwrap_or("default"));
        let outage = OutageGuard::default();
        let suspect = outage.clone();
        let pool = PgPoolOptions::new()
            .max_connections(POSTGRES_CONNECTIONS)
            // Opened before the first request and kept for good: a request should not wait for a
            // connection to be made.
            .idle_timeout(None)
            .max_lifetime(None)
            .acquire_timeout(OPENING_PATIENCE)
            // A ping before each statement would double the round trips; `OutageGuard` replaces
            // the connections that an outage or a fail-over has spoilt.
            .test_before_acquire(false)
            .before_acquire(move |_, metadata| {
                let fresh = suspect.is_younger(metadata.age);
                Box::pin(async move { Ok(fresh) })
            })
            .connect_lazy_with(options);
        Ok(Self::Postgres {
            pool,
            patience: statement_timeout / ACQUIRE_SHARE,
            outage,
            meter,
        })
    }

    /// Waits until the database is there, its schema is at least as new as `migrations`, and the
    /// connections to it are open.
    pub async fn ready(&self, migrations: &Migrations) {
        let mut last_reason = None;
        while let Err(reason) = self.check_schema(migrations).await {
            let reason = format!("{reason:#}");
            if last_reason.as_ref() != Some(&reason) {
                tracing::warn!(reason, "waiting for the database");
                last_reason = Some(reason);
            }
            tokio::time::sleep(Duration::from_millis(250)).await;
        }
        let open = self.open_all();
        if tokio::time::timeout(CONNECT_PATIENCE, open).await.is_err() {
            let (open, _) = self.connections();
            tracing::warn!(open, "the database is slow to open connections");
        }
    }

    /// Opens every connection that a server may be asked for. One after the other: the server has others
    /// to serve.
    async fn open_all(&self) {
        let Self::Postgres { pool, .. } = self else {
            return;
        };
        let mut open = Vec::new();
        while open.len() < POSTGRES_CONNECTIONS as usize {
            match pool.acquire().await {
                Ok(connection) => open.push(connection),
                Err(_) => tokio::time::sleep(OPENING_PATIENCE / 10).await,
            }
        }
    }

    /// A connection for a statement. What has to be opened for it is opened to the end, even if it cannot
    /// wait so long: given up and begun anew by each, on a busy machine none would ever be there.
    pub(crate) async fn acquire(&self, pool: &PgPool) -> sqlx::Result<PoolConnection<Postgres>> {
        let patience = match self {
            Self::Sqlite { .. } => OPENING_PATIENCE,
            Self::Postgres { patience, .. } => *patience,
        };
        let must_open = pool.num_idle() == 0 && pool.size() < POSTGRES_CONNECTIONS;
        // Large: not to be part of every future around it.
        let connection = Box::pin(pool.acquire());
        let acquired = if must_open {
            let opened = tokio::time::timeout(patience, tokio::spawn(connection)).await;
            opened.map(|opened| opened.unwrap_or(Err(sqlx::Error::PoolClosed)))
        } else {
            tokio::time::timeout(patience, connection).await
        };
        acquired.unwrap_or(Err(sqlx::Error::PoolTimedOut))
    }

    async fn check_schema(&self, migrations: &Migrations) -> anyhow::Result<()> {
        const APPLIED: &str = "SELECT MAX(version) FROM _sqlx_migrations WHERE success";
        let (migrator, applied) = match self {
            Self::Sqlite { read, .. } => (
                &migrations.sqlite,
                sqlx::query_scalar::<_, Option<i64>>(APPLIED)
                    .fetch_one(read)
                    .await,
            ),
            // A connection of its own: the pool's patience is a request's, and a server that is
            // slow to accept connections would never be found ready.
            Self::Postgres { pool, .. } => {
                let ask = async {
                    let options = pool.connect_options();
                    let mut connection = PgConnection::connect_with(&options).await?;
                    sqlx::query_scalar::<_, Option<i64>>(APPLIED)
                        .fetch_one(&mut connection)
                        .await
                };
                let answer = tokio::time::timeout(CONNECT_PATIENCE, ask).await;
                let answer = answer.unwrap_or(Err(sqlx::Error::PoolTimedOut));
                (&migrations.postgres, answer)
            }
        };
        let wanted = migrator
            .iter()
            .map(|migration| migration.version)
            .max()
            .unwrap_or(0);
        let found = match applied {
            Ok(version) => version.unwrap_or(0),
            Err(sqlx::Error::Database(cause)) if is_missing_table(cause.as_ref()) => 0,
            Err(error) => return Err(error).context("the database cannot be reached"),
        };
        if found < wanted {
            bail!("the schema is at version {found}, wanted is {wanted}: run `migrate`");
        }
        Ok(())
    }

    /// Translates a failed statement, and takes note when it tells of an outage.
    pub fn failed(&self, error: sqlx::Error) -> StoreError {
        let error = StoreError::from(error);
        if let (Self::Postgres { outage, .. }, StoreError::Unavailable(cause)) = (self, &error)
            && spoils_connections(cause)
        {
            outage.raise();
        }
        error
    }

    /// Lets a statement go on, unless the server is away: then it fails as the one that found out.
    pub(crate) async fn check_available(&self) -> sqlx::Result<()> {
        match self {
            Self::Sqlite { .. } => Ok(()),
            Self::Postgres { pool, outage, .. } => {
                outage
                    .check_available(async || self.acquire(pool).await.map(drop))
                    .await
            }
        }
    }

    /// What the engine is called in metrics and traces.
    pub fn engine(&self) -> &'static str {
        match self {
            Self::Sqlite { .. } => "sqlite",
            Self::Postgres { .. } => "postgresql",
        }
    }

    /// Connections open and connections idle, for metrics.
    pub fn connections(&self) -> (u32, usize) {
        match self {
            Self::Sqlite { read, write, .. } => (
                read.size() + write.size(),
                read.num_idle() + write.num_idle(),
            ),
            Self::Postgres { pool, .. } => (pool.size(), pool.num_idle()),
        }
    }

    /// How many connections there may be.
    fn connections_max(&self) -> u32 {
        match self {
            Self::Sqlite { .. } => SQLITE_READERS + 1,
            Self::Postgres { .. } => POSTGRES_CONNECTIONS,
        }
    }

    /// What others see of it.
    pub(crate) fn meter(&self) -> &DbMeter {
        match self {
            Self::Sqlite { meter, .. } | Self::Postgres { meter, .. } => meter,
        }
    }

    fn is_closed(&self) -> bool {
        match self {
            Self::Sqlite { write, .. } => write.is_closed(),
            Self::Postgres { pool, .. } => pool.is_closed(),
        }
    }

    /// Asks the database for nothing, only whether it answers.
    async fn ping(&self) -> sqlx::Result<()> {
        const NOTHING: &str = "SELECT 1";
        match self {
            Self::Sqlite { read, .. } => sqlx::query(NOTHING).execute(read).await.map(drop),
            Self::Postgres { pool, .. } => sqlx::query(NOTHING).execute(pool).await.map(drop),
        }
    }

    /// Closes every connection; SQLite folds its journal into the file.
    pub async fn close(&self) {
        match self {
            Self::Sqlite { read, write, .. } => {
                read.close().await;
                write.close().await;
            }
            Self::Postgres { pool, .. } => pool.close().await,
        }
    }
}

/// An SQLite file's name without its extension: `user` of `data/user.db`.
fn name_of_file(options: &SqliteConnectOptions) -> String {
    let stem = options.get_filename().file_stem();
    stem.map_or_else(String::new, |stem| stem.to_string_lossy().into_owned())
}

fn is_missing_table(cause: &dyn sqlx::error::DatabaseError) -> bool {
    cause.code().as_deref() == Some("42P01") || cause.message().starts_with("no such table")
}

/// Whether an error speaks of the connection's server rather than of the statement's own time.
fn spoils_connections(error: &sqlx::Error) -> bool {
    match error {
        sqlx::Error::Database(cause) => cause
            .code()
            .is_some_and(|code| code == "25006" || code.starts_with("57P")),
        sqlx::Error::PoolTimedOut => false,
        _ => true,
    }
}
