//! The handle of a database on SQLite or PostgreSQL. The scheme of the URL selects the engine.

mod meter;
mod migrate;
mod outage;

use std::{str::FromStr, time::Duration};

use anyhow::{Context, bail};
use futures_util::future::BoxFuture;
use secrecy::{ExposeSecret, SecretString};
use sqlx::{
    Connection as _, PgConnection, PgPool, Postgres, SqlitePool,
    pool::PoolConnection,
    postgres::{PgConnectOptions, PgPoolOptions},
    sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions, SqliteSynchronous},
};

use crate::store::StoreError;

pub use meter::DbMetrics;
pub(crate) use meter::update_metrics;
pub use migrate::Migrations;
pub use outage::OutageGuard;

/// Default time after which PostgreSQL cancels a statement. It is below the API's time of 250 ms for an
/// attempt.
pub const STATEMENT_TIMEOUT: Duration = Duration::from_millis(220);

/// Divisor of the statement timeout that gives the maximum time to wait for a connection. A third of
/// the API's 220 ms is shorter than an attempt, so the caller learns that the database is unavailable
/// before it gives up.
const ACQUIRE_TIMEOUT_DIVISOR: u32 = 3;

/// Maximum time to open a connection. Opening goes on even if the statement that needs the connection has
/// given up. The time is long enough for a busy machine, and short enough to try again soon after an
/// outage.
const CONNECTION_OPEN_TIMEOUT: Duration = Duration::from_millis(500);

/// Maximum time that a starting service waits for its connections.
const STARTUP_CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// Settings of PostgreSQL's planner.
const PLANNER_SETTINGS: [(&str, &str); 6] = [
    // Executions of a statement differ only in the number of input rows, and a plan that is good for few
    // rows is good for many. So one generic plan serves all executions.
    ("plan_cache_mode", "force_generic_plan"),
    // Every statement finds its rows by an index, once for each row of input. For a small table the
    // planner prefers to scan the whole table, and the generic plan stays in use while the table grows.
    // An import into an empty database made it read a million messages for each page.
    ("enable_seqscan", "off"),
    ("enable_bitmapscan", "off"),
    ("enable_hashjoin", "off"),
    ("enable_mergejoin", "off"),
    // The planner assigns a very high cost to plans of disabled kinds. This would trigger JIT
    // compilation.
    ("jit", "off"),
];

/// Number of connections of a process to PostgreSQL.
const POSTGRES_CONNECTIONS: u32 = 8;

/// Number of reading connections to an SQLite file. There is one writing connection beside them.
const SQLITE_READERS: u32 = 4;

/// A handle of a database. Clones share its connections.
#[derive(Clone, Debug)]
pub enum Db {
    /// An SQLite file. It has a single writing connection, so that writers queue instead of failing with
    /// lock errors, and a few reading connections.
    Sqlite {
        /// Reading connections.
        read: SqlitePool,
        /// The writing connection.
        write: SqlitePool,
        /// Connection and reachability metrics of this handle.
        meter: DbMetrics,
    },
    /// A PostgreSQL server.
    Postgres {
        /// Connections to the server.
        pool: PgPool,
        /// Maximum time that a statement waits for a connection.
        acquire_timeout: Duration,
        /// Detects that the server is unavailable or read-only.
        outage: OutageGuard,
        /// Connection and reachability metrics of this handle.
        meter: DbMetrics,
    },
}

impl Db {
    /// Creates a handle without connecting. The first statement opens the first connection. PostgreSQL
    /// cancels a statement after `statement_timeout`, and a statement waits at most a third of that time
    /// for a connection. SQLite ignores `statement_timeout`.
    ///
    /// # Errors
    ///
    /// The URL is not valid, or its scheme is neither `sqlite` nor `postgres` nor `postgresql`.
    pub fn open(url: &SecretString, statement_timeout: Duration) -> anyhow::Result<Self> {
        let url = url.expose_secret();
        match url.split_once(':') {
            Some(("sqlite", _)) => Self::open_sqlite(url),
            Some(("postgres" | "postgresql", _)) => Self::open_postgres(url, statement_timeout),
            // The error must not contain the URL, which may contain a password.
            _ => bail!("the database URL must begin with `sqlite:` or `postgres:`"),
        }
    }

    fn open_sqlite(url: &str) -> anyhow::Result<Self> {
        let options = SqliteConnectOptions::from_str(url)
            .context("the SQLite URL is not valid")?
            .create_if_missing(true)
            .journal_mode(SqliteJournalMode::Wal)
            .synchronous(SqliteSynchronous::Full)
            .foreign_keys(true)
            .busy_timeout(Duration::from_secs(5));
        let pool = |connections| {
            SqlitePoolOptions::new()
                .max_connections(connections)
                .test_before_acquire(false)
                // There is no reason to replace a connection to a file.
                .idle_timeout(None)
                .max_lifetime(None)
                .connect_lazy_with(options.clone())
        };
        Ok(Self::Sqlite {
            read: pool(SQLITE_READERS),
            write: pool(1),
            meter: DbMetrics::new(&file_stem(&options)),
        })
    }

    fn open_postgres(url: &str, statement_timeout: Duration) -> anyhow::Result<Self> {
        let options = PgConnectOptions::from_str(url)
            .context("the PostgreSQL URL is not valid")?
            .options([(
                "statement_timeout",
                statement_timeout.as_millis().to_string().as_str(),
            )])
            .options(PLANNER_SETTINGS);
        let meter = DbMetrics::new(options.get_database().unwrap_or("default"));
        let outage = OutageGuard::default();
        let guard = outage.clone();
        let pool = PgPoolOptions::new()
            .max_connections(POSTGRES_CONNECTIONS)
            // Connections are opened before the first request and are never closed, so that requests do
            // not wait for a new connection.
            .idle_timeout(None)
            .max_lifetime(None)
            .acquire_timeout(CONNECTION_OPEN_TIMEOUT)
            // A ping before each statement would double the round trips. Instead, `OutageGuard`
            // replaces the connections that an outage or a failover has made useless.
            .test_before_acquire(false)
            .before_acquire(move |_, metadata| {
                let is_usable = guard.is_opened_after_outage(metadata.age);
                Box::pin(async move { Ok(is_usable) })
            })
            .connect_lazy_with(options);
        Ok(Self::Postgres {
            pool,
            acquire_timeout: statement_timeout / ACQUIRE_TIMEOUT_DIVISOR,
            outage,
            meter,
        })
    }

    /// Waits until the database can be reached, its schema is at least as new as `migrations`, and the
    /// connections to it are open.
    pub async fn wait_until_ready(&self, migrations: &Migrations) {
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
        if tokio::time::timeout(STARTUP_CONNECT_TIMEOUT, open)
            .await
            .is_err()
        {
            let (open, _) = self.connections();
            tracing::warn!(open, "not all database connections could be opened in time");
        }
    }

    /// Opens all connections of the pool of a PostgreSQL server. Opens them one after the other, to
    /// limit the load on a server that other processes use.
    async fn open_all(&self) {
        let Self::Postgres { pool, .. } = self else {
            return;
        };
        let mut open = Vec::new();
        while open.len() < POSTGRES_CONNECTIONS as usize {
            match pool.acquire().await {
                Ok(connection) => open.push(connection),
                Err(_) => tokio::time::sleep(CONNECTION_OPEN_TIMEOUT / 10).await,
            }
        }
    }

    /// Acquires a connection for a statement. If a connection must be opened, its opening goes on when
    /// the statement gives up. Otherwise, on a busy machine, each statement would start to open a
    /// connection and none would ever be finished.
    ///
    /// # Errors
    ///
    /// `PoolTimedOut` when there is no connection within the acquire timeout, and sqlx's error when a
    /// connection cannot be opened.
    pub(crate) async fn acquire(&self, pool: &PgPool) -> sqlx::Result<PoolConnection<Postgres>> {
        let acquire_timeout = match self {
            Self::Sqlite { .. } => CONNECTION_OPEN_TIMEOUT,
            Self::Postgres {
                acquire_timeout, ..
            } => *acquire_timeout,
        };
        let must_open = pool.num_idle() == 0 && pool.size() < POSTGRES_CONNECTIONS;
        // Boxed, because the future is large and would be part of every future that contains it.
        let connection = Box::pin(pool.acquire());
        let acquired = if must_open {
            let opened = tokio::time::timeout(acquire_timeout, tokio::spawn(connection)).await;
            opened.map(|opened| opened.unwrap_or(Err(sqlx::Error::PoolClosed)))
        } else {
            tokio::time::timeout(acquire_timeout, connection).await
        };
        acquired.unwrap_or(Err(sqlx::Error::PoolTimedOut))
    }

    /// Checks that the schema is at least as new as `migrations`.
    async fn check_schema(&self, migrations: &Migrations) -> anyhow::Result<()> {
        const APPLIED: &str = "SELECT MAX(version) FROM _sqlx_migrations WHERE success";
        let (migrator, applied) = match self {
            Self::Sqlite { read, .. } => (
                &migrations.sqlite,
                sqlx::query_scalar::<_, Option<i64>>(APPLIED)
                    .fetch_one(read)
                    .await,
            ),
            // A separate connection, because the timeouts of the pool are those of a request. With
            // them, a server that is slow to accept connections would never count as ready.
            Self::Postgres { pool, .. } => {
                let query = async {
                    let options = pool.connect_options();
                    let mut connection = PgConnection::connect_with(&options).await?;
                    sqlx::query_scalar::<_, Option<i64>>(APPLIED)
                        .fetch_one(&mut connection)
                        .await
                };
                let answer = tokio::time::timeout(STARTUP_CONNECT_TIMEOUT, query).await;
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
            bail!("the schema has version {found} but version {wanted} is required: run `migrate`");
        }
        Ok(())
    }

    /// Translates the error of a statement. Reports an outage to the guard of the server if the error
    /// shows one.
    pub fn classify_error(&self, error: sqlx::Error) -> StoreError {
        let error = StoreError::from(error);
        if let (Self::Postgres { outage, .. }, StoreError::Unavailable(cause)) = (self, &error)
            && concerns_server(cause)
        {
            outage.report();
        }
        error
    }

    /// Checks that the server is available, as far as [`OutageGuard`] knows.
    ///
    /// # Errors
    ///
    /// The server is unavailable. The statement must not run then.
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

    /// The name of the engine in metrics and traces (`db.system.name` of OpenTelemetry).
    pub fn engine(&self) -> &'static str {
        match self {
            Self::Sqlite { .. } => "sqlite",
            Self::Postgres { .. } => "postgresql",
        }
    }

    /// The number of open connections, and how many of them are idle.
    pub fn connections(&self) -> (u32, usize) {
        match self {
            Self::Sqlite { read, write, .. } => (
                read.size() + write.size(),
                read.num_idle() + write.num_idle(),
            ),
            Self::Postgres { pool, .. } => (pool.size(), pool.num_idle()),
        }
    }

    /// Maximum number of connections.
    fn connections_max(&self) -> u32 {
        match self {
            Self::Sqlite { .. } => SQLITE_READERS + 1,
            Self::Postgres { .. } => POSTGRES_CONNECTIONS,
        }
    }

    /// Connection and reachability metrics of this handle.
    pub(crate) fn meter(&self) -> &DbMetrics {
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

    /// Checks that the database answers a statement.
    async fn ping(&self) -> sqlx::Result<()> {
        const QUERY: &str = "SELECT 1";
        match self {
            Self::Sqlite { read, .. } => sqlx::query(QUERY).execute(read).await.map(drop),
            Self::Postgres { pool, .. } => sqlx::query(QUERY).execute(pool).await.map(drop),
        }
    }

    /// Closes all connections. SQLite then writes its write-ahead log into the file.
    ///
    /// The future is boxed, so that sqlx is not compiled again in each service.
    pub fn close(&self) -> BoxFuture<'_, ()> {
        Box::pin(self.close_pools())
    }

    async fn close_pools(&self) {
        match self {
            Self::Sqlite { read, write, .. } => {
                read.close().await;
                write.close().await;
            }
            Self::Postgres { pool, .. } => pool.close().await,
        }
    }
}

/// Name of an SQLite file without its extension, for example `user` for `data/user.db`.
fn file_stem(options: &SqliteConnectOptions) -> String {
    let stem = options.get_filename().file_stem();
    stem.map_or_else(String::new, |stem| stem.to_string_lossy().into_owned())
}

fn is_missing_table(cause: &dyn sqlx::error::DatabaseError) -> bool {
    cause.code().as_deref() == Some("42P01") || cause.message().starts_with("no such table")
}

/// Whether an error shows that the server cannot be used, and not only that a statement was too slow.
/// Such errors are a read-only transaction (SQLSTATE 25006), a shutdown (57P) and connection failures.
fn concerns_server(error: &sqlx::Error) -> bool {
    match error {
        sqlx::Error::Database(cause) => cause
            .code()
            .is_some_and(|code| code == "25006" || code.starts_with("57P")),
        sqlx::Error::PoolTimedOut => false,
        _ => true,
    }
}
