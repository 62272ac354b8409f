//! Empty databases, one for each test that asks, and services over them.

mod service;

use std::{env, sync::OnceLock, thread, time::Duration};

use minitwit_postgres::{Cluster, ClusterOptions};
use sqlx::{AssertSqlSafe, Connection, PgConnection};
use tempfile::TempDir;
use uuid::Uuid;

use test_wait::eventually;

pub use service::{RunningService, assert_same_migrations};

/// Where `cargo xtask test` says which server it has started for the whole run: the URL of any of
/// its databases.
const SERVER_VARIABLE: &str = "MINITWIT_TEST_POSTGRES_URL";

/// The engines that every store runs on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Engine {
    /// A file.
    Sqlite,
    /// A server, started from the installed binaries.
    Postgres,
}

/// A database that is removed when this is dropped, whoever is still connected.
#[derive(Debug)]
pub struct TestDatabase {
    /// What to connect to, any number of times.
    pub url: String,
    remains: Remains,
}

/// What is to be cleared away.
#[derive(Debug)]
enum Remains {
    Folder { _guard: TempDir },
    Database { name: String },
}

/// Creates an empty database.
///
/// # Panics
///
/// It cannot be created: for [`Engine::Postgres`] most likely because PostgreSQL is not installed;
/// the message says what to do.
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
    // A file, because each connection to `:memory:` sees a database of its own.
    let url = format!(
        "sqlite://{}?mode=rwc",
        folder.path().join("test.db").display()
    );
    TestDatabase {
        url,
        remains: Remains::Folder { _guard: folder },
    }
}

async fn postgres() -> TestDatabase {
    // Starting a server blocks for a second.
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
        remains: Remains::Database { name },
    }
}

impl TestDatabase {
    /// Awaits `second` while somebody else, who has come first, deletes every row of a table, and is
    /// done as soon as `second` waits for that. For PostgreSQL.
    ///
    /// # Panics
    ///
    /// When `second` does not wait.
    pub async fn after_a_delete<T>(&self, table: &str, second: impl Future<Output = T>) -> T {
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
        let first_ends = async {
            eventually("the second waits", Duration::from_secs(8), async || {
                sqlx::query_scalar(WAITING)
                    .fetch_one(&mut watcher)
                    .await
                    .expect("a truth value")
            })
            .await;
            transaction.commit().await.expect("the end of a delete");
        };
        tokio::join!(second, first_ends).0
    }

    /// Sees that no statement so far has read a whole table instead of going by an index; on SQLite,
    /// which does not tell, nothing. `small` are tables that are always so small that it is no matter. To
    /// be called when nobody is connected any more.
    ///
    /// # Panics
    ///
    /// When one has, or when somebody stays connected.
    pub async fn assert_read_by_index(&self, small: &[&str]) {
        const CONNECTED: &str = "SELECT count(*) FROM pg_stat_activity
            WHERE datname = current_database() AND pid <> pg_backend_pid()";
        // An index that is made reads its table, too, but that has no rows then.
        const READ_WHOLE: &str = "SELECT relname || ': ' || seq_tup_read || ' rows'
            FROM pg_stat_user_tables
            WHERE seq_tup_read > 0 AND relname <> '_sqlx_migrations' AND relname <> ALL ($1)";
        if let Remains::Folder { .. } = self.remains {
            return;
        }
        let mut connection = PgConnection::connect(&self.url)
            .await
            .expect("a connection to the test's database");
        // Whoever is gone has told what was read.
        for _ in 0..1_000 {
            let connected: i64 = sqlx::query_scalar(CONNECTED)
                .fetch_one(&mut connection)
                .await
                .expect("a count");
            if connected == 0 {
                let read: Vec<String> = sqlx::query_scalar(READ_WHOLE)
                    .bind(small)
                    .fetch_all(&mut connection)
                    .await
                    .expect("a list of tables");
                assert!(read.is_empty(), "read as a whole: {read:?}");
                return;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        panic!("somebody stays connected to the test's database");
    }
}

impl Drop for TestDatabase {
    fn drop(&mut self) {
        let Remains::Database { name } = &self.remains else {
            return;
        };
        let Ok(server) = Server::get() else { return };
        let url = server.url("postgres");
        let statement = format!("DROP DATABASE IF EXISTS {name} WITH (FORCE)");
        // A thread, because the test's own runtime is busy dropping this. The server goes soon
        // anyway: what fails here or takes long is not worth failing a test for.
        let removal = thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()?;
            runtime.block_on(async {
                let patience = Duration::from_secs(5);
                tokio::time::timeout(patience, execute(&url, statement))
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

/// The server that a process's tests share.
#[derive(Debug)]
enum Server {
    /// Started by whoever runs the tests.
    Given { url: String },
    /// Started by this process, stopped with it.
    Own(Cluster),
}

impl Server {
    /// The server, started if it is not there yet.
    fn get() -> &'static Result<Self, String> {
        static SERVER: OnceLock<Result<Server, String>> = OnceLock::new();
        SERVER.get_or_init(|| {
            #[expect(clippy::disallowed_methods, reason = "a test has no command line")]
            if let Ok(url) = env::var(SERVER_VARIABLE) {
                return Ok(Self::Given { url });
            }
            // Its data is gone after the test, whatever happens to the power.
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
            Self::Given { url } => with_database(url, database),
            Self::Own(cluster) => cluster.url(database),
        }
    }
}

/// The same URL with another database: its path replaced, its parameters kept.
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
    fn a_url_keeps_its_server_and_parameters() {
        let given = |url| with_database(url, "t");

        assert_eq!(
            given("postgres://me@[::1]:5432/postgres"),
            "postgres://me@[::1]:5432/t"
        );
        assert_eq!(given("postgres://host"), "postgres://host/t");
        assert_eq!(
            given("postgres://host/db?sslmode=disable"),
            "postgres://host/t?sslmode=disable"
        );
    }

    #[tokio::test]
    async fn connections_to_a_file_see_the_same_database() {
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
    async fn each_test_has_a_database_of_its_own() {
        let one = empty_database(Engine::Postgres).await;
        let other = empty_database(Engine::Postgres).await;

        for database in [&one, &other] {
            execute(&database.url, "CREATE TABLE once (id BIGINT)".into())
                .await
                .unwrap();
        }
    }

    #[tokio::test]
    async fn a_database_goes_with_its_guard_though_somebody_is_connected() {
        let database = empty_database(Engine::Postgres).await;
        let url = database.url.clone();
        let _connected = PgConnection::connect(&url).await.unwrap();

        drop(database);
        let error = PgConnection::connect(&url).await.unwrap_err();
        assert!(error.to_string().contains("does not exist"), "{error}");
    }

    #[tokio::test]
    async fn a_server_refuses_writes_while_it_is_read_only() {
        let cluster = Cluster::start(ClusterOptions::default()).unwrap();
        let url = cluster.url("postgres");
        let write = async |name| execute(&url, format!("CREATE TABLE {name} (id BIGINT)")).await;

        cluster.set_read_only(true).unwrap();
        let patience = Duration::from_secs(10);
        let mut attempts = 0;
        eventually("a write is refused", patience, async || {
            attempts += 1;
            write(format!("before_{attempts}")).await.is_err()
        })
        .await;
        cluster.set_read_only(false).unwrap();
        eventually("a write is taken", patience, async || {
            write("after".to_owned()).await.is_ok()
        })
        .await;
    }
}
