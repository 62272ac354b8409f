//! Empty databases for tests, and services that use them.

mod service;

use std::{env, sync::OnceLock, thread, time::Duration};

use minitwit_postgres::{Cluster, ClusterOptions};
use sqlx::{AssertSqlSafe, Connection, PgConnection};
use tempfile::TempDir;
use uuid::Uuid;

use test_wait::eventually;

pub use service::{RunningService, assert_same_migrations};

/// The variable in which `cargo xtask test` passes the server that it has started for the whole run.
/// Its value is the URL of any database of that server.
const SERVER_VARIABLE: &str = "MINITWIT_TEST_POSTGRES_URL";

/// A database engine. Every store supports both.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Engine {
    /// An SQLite file.
    Sqlite,
    /// A PostgreSQL server, started from the installed binaries.
    Postgres,
}

/// A database for one test. Dropping this removes the database, even if connections are open.
#[derive(Debug)]
pub struct TestDatabase {
    /// URL of the database.
    pub url: String,
    storage: Storage,
}

/// The storage that is removed with the database.
#[derive(Debug)]
enum Storage {
    Folder { _guard: TempDir },
    Database { name: String },
}

/// Creates an empty database.
///
/// # Panics
///
/// The database cannot be created. For [`Engine::Postgres`], the most likely cause is that PostgreSQL
/// is not installed, and the message says how to install it.
pub async fn empty_database(engine: Engine) -> TestDatabase {
    match engine {
        Engine::Sqlite => sqlite(),
        Engine::Postgres => postgres().await,
    }
}

fn sqlite() -> TestDatabase {
    let folder = tempfile::Builder::new()
        .prefix("minitwit-sqlite-")
        .tempdir()
        .expect("a temporary folder can be created");
    // This must be a file, because each connection to `:memory:` gets a database of its own.
    let url = format!(
        "sqlite://{}?mode=rwc",
        folder.path().join("test.db").display()
    );
    TestDatabase {
        url,
        storage: Storage::Folder { _guard: folder },
    }
}

async fn postgres() -> TestDatabase {
    // Starting a server blocks the thread for about a second.
    let server = tokio::task::spawn_blocking(Server::get)
        .await
        .expect("starting does not panic");
    let server = server.as_ref().unwrap_or_else(|reason| panic!("{reason}"));
    let name = format!("t_{}", Uuid::now_v7().simple());
    execute(
        &server.url("postgres"),
        format!("CREATE DATABASE {name} TEMPLATE template0"),
    )
    .await
    .unwrap_or_else(|error| panic!("cannot create the database {name}: {error}"));
    TestDatabase {
        url: server.url(&name),
        storage: Storage::Database { name },
    }
}

impl TestDatabase {
    /// Runs `second` while another transaction deletes all rows of a table. That transaction commits as
    /// soon as `second` waits for its locks. For PostgreSQL only.
    ///
    /// # Panics
    ///
    /// `second` does not wait for the transaction.
    pub async fn run_behind_delete<T>(&self, table: &str, second: impl Future<Output = T>) -> T {
        const WAITING: &str = "SELECT EXISTS (SELECT FROM pg_stat_activity
            WHERE datname = current_database() AND wait_event_type = 'Lock')";
        let connect = async || {
            let connection = PgConnection::connect(&self.url).await;
            connection.expect("a connection to the test's database")
        };
        let (mut first, mut watcher) = (connect().await, connect().await);
        let mut transaction = first.begin().await.expect("a transaction");
        sqlx::query(AssertSqlSafe(format!("DELETE FROM {table}")))
            .execute(&mut *transaction)
            .await
            .expect("rows are deleted");
        let commit = async {
            eventually(
                "`second` waits for a lock",
                Duration::from_secs(8),
                async || {
                    sqlx::query_scalar(WAITING)
                        .fetch_one(&mut watcher)
                        .await
                        .expect("a Boolean value")
                },
            )
            .await;
            transaction.commit().await.expect("the delete is committed");
        };
        tokio::join!(second, commit).0
    }

    /// Asserts that no statement so far has scanned a whole table instead of using an index. Does nothing
    /// on SQLite, which has no statistics of scans. `small` lists tables that may be scanned because they
    /// always stay small. All other connections must be closed soon after the call, because a backend
    /// reports its statistics when it ends.
    ///
    /// # Panics
    ///
    /// A table was scanned, or another connection stays open.
    pub async fn assert_no_table_scans(&self, small: &[&str]) {
        const CONNECTED: &str = "SELECT count(*) FROM pg_stat_activity
            WHERE datname = current_database() AND pid <> pg_backend_pid()";
        // Creating an index scans its table too, but the table has no rows at that time.
        const TABLE_SCANS: &str = "SELECT relname || ': ' || seq_tup_read || ' rows'
            FROM pg_stat_user_tables
            WHERE seq_tup_read > 0 AND relname <> '_sqlx_migrations' AND relname <> ALL ($1)";
        if let Storage::Folder { .. } = self.storage {
            return;
        }
        let mut connection = PgConnection::connect(&self.url)
            .await
            .expect("a connection to the test's database");
        // Wait until the other backends have ended and reported their statistics.
        for _ in 0..1_000 {
            let connected: i64 = sqlx::query_scalar(CONNECTED)
                .fetch_one(&mut connection)
                .await
                .expect("a count");
            if connected == 0 {
                let scans: Vec<String> = sqlx::query_scalar(TABLE_SCANS)
                    .bind(small)
                    .fetch_all(&mut connection)
                    .await
                    .expect("a list of tables");
                assert!(scans.is_empty(), "tables were scanned: {scans:?}");
                return;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        panic!("another connection to the test's database stays open");
    }
}

impl Drop for TestDatabase {
    fn drop(&mut self) {
        let Storage::Database { name } = &self.storage else {
            return;
        };
        let Ok(server) = Server::get() else { return };
        let url = server.url("postgres");
        let statement = format!("DROP DATABASE IF EXISTS {name} WITH (FORCE)");
        // A separate thread, because the runtime of the test is blocked by this drop. Errors are
        // ignored and the time is limited, because the server is removed soon anyway.
        let removal = thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()?;
            runtime.block_on(async {
                let timeout = Duration::from_secs(5);
                tokio::time::timeout(timeout, execute(&url, statement))
                    .await
                    .ok();
            });
            std::io::Result::Ok(())
        });
        let _ = removal.join();
    }
}

async fn execute(url: &str, statement: String) -> sqlx::Result<()> {
    let mut connection = PgConnection::connect(url).await?;
    sqlx::query(AssertSqlSafe(statement))
        .execute(&mut connection)
        .await?;
    connection.close().await
}

/// The PostgreSQL server that all tests of a process share.
#[derive(Debug)]
enum Server {
    /// A server that `cargo xtask test` has started.
    External { url: String },
    /// A server that this process has started, and that stops with it.
    Own(Cluster),
}

impl Server {
    /// Returns the server, and starts it if necessary.
    fn get() -> &'static Result<Self, String> {
        static SERVER: OnceLock<Result<Server, String>> = OnceLock::new();
        SERVER.get_or_init(|| {
            #[expect(clippy::disallowed_methods, reason = "a test has no command line")]
            if let Ok(url) = env::var(SERVER_VARIABLE) {
                return Ok(Self::External { url });
            }
            // The data is deleted after the test, so it need not survive a power failure.
            let options = ClusterOptions {
                durable: false,
                ..ClusterOptions::default()
            };
            Cluster::start(options)
                .map(Self::Own)
                .map_err(|error| format!("{error:#}"))
        })
    }

    fn url(&self, database: &str) -> String {
        match self {
            Self::External { url } => with_database(url, database),
            Self::Own(cluster) => cluster.url(database),
        }
    }
}

/// Replaces the database in a URL, which is its path. Keeps the parameters.
fn with_database(url: &str, database: &str) -> String {
    let (url, parameters) = url
        .split_once('?')
        .map_or((url, None), |(u, p)| (u, Some(p)));
    let authority = url.find("://").map_or(0, |scheme| scheme + "://".len());
    let server = url[authority..]
        .find('/')
        .map_or(url, |path| &url[..authority + path]);
    match parameters {
        Some(parameters) => format!("{server}/{database}?{parameters}"),
        None => format!("{server}/{database}"),
    }
}

#[cfg(test)]
mod tests {
    use sqlx::SqliteConnection;

    use super::*;

    #[test]
    fn replacing_the_database_keeps_server_and_parameters() {
        let replaced = |url| with_database(url, "t");

        assert_eq!(
            replaced("postgres://me@[::1]:5432/postgres"),
            "postgres://me@[::1]:5432/t"
        );
        assert_eq!(replaced("postgres://host"), "postgres://host/t");
        assert_eq!(
            replaced("postgres://host/db?sslmode=disable"),
            "postgres://host/t?sslmode=disable"
        );
    }

    #[tokio::test]
    async fn connections_to_a_file_share_one_database() {
        let database = empty_database(Engine::Sqlite).await;
        let mut one = SqliteConnection::connect(&database.url).await.unwrap();
        let mut other = SqliteConnection::connect(&database.url).await.unwrap();

        sqlx::query("CREATE TABLE seen (id BIGINT)")
            .execute(&mut one)
            .await
            .unwrap();
        sqlx::query("INSERT INTO seen VALUES (1)")
            .execute(&mut other)
            .await
            .unwrap();
    }

    #[tokio::test]
    async fn each_test_has_its_own_database() {
        let one = empty_database(Engine::Postgres).await;
        let other = empty_database(Engine::Postgres).await;

        for database in [&one, &other] {
            execute(&database.url, "CREATE TABLE once (id BIGINT)".into())
                .await
                .unwrap();
        }
    }

    #[tokio::test]
    async fn dropping_removes_a_database_with_open_connections() {
        let database = empty_database(Engine::Postgres).await;
        let url = database.url.clone();
        let _connected = PgConnection::connect(&url).await.unwrap();

        drop(database);
        let error = PgConnection::connect(&url).await.unwrap_err();
        assert!(error.to_string().contains("does not exist"), "{error}");
    }

    #[tokio::test]
    async fn a_read_only_server_refuses_writes() {
        let cluster = Cluster::start(ClusterOptions::default()).unwrap();
        let url = cluster.url("postgres");
        let write = async |name| execute(&url, format!("CREATE TABLE {name} (id BIGINT)")).await;

        cluster.set_read_only(true).unwrap();
        let timeout = Duration::from_secs(10);
        let mut attempts = 0;
        eventually("a write is refused", timeout, async || {
            attempts += 1;
            write(format!("before_{attempts}")).await.is_err()
        })
        .await;
        cluster.set_read_only(false).unwrap();
        eventually("a write is accepted", timeout, async || {
            write("after".to_owned()).await.is_ok()
        })
        .await;
    }
}
