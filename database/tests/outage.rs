//! A server that becomes unavailable, recovers, is demoted by a failover, or is slow to accept
//! connections.
#![expect(clippy::unwrap_used, reason = "a test may fail at any step")]

use std::{
    net::{Ipv4Addr, SocketAddr},
    time::{Duration, Instant},
};

use database::{
    db::{Db, Migrations},
    statement::{Access, Column, Kind, Statement},
    store::StoreError,
};
use minitwit_postgres::{Cluster, ClusterOptions};
use sqlx::{
    Connection as _, Executor as _, PgConnection, migrate::Migrator, postgres::PgConnectOptions,
};
use test_wait::eventually;
use tokio::{
    io::copy_bidirectional,
    net::{TcpListener, TcpStream},
    time::sleep,
};

/// Maximum time to wait for a condition. It is long enough for a server to start on any machine.
const WAIT_TIMEOUT: Duration = Duration::from_mins(1);

/// A server with one table, and a handle of its database.
struct TestServer {
    cluster: Cluster,
    db: Db,
    insert: Statement,
    count: Statement,
}

impl TestServer {
    async fn start() -> Self {
        let options = ClusterOptions {
            durable: false,
            ..ClusterOptions::default()
        };
        let cluster = tokio::task::spawn_blocking(move || Cluster::start(options))
            .await
            .unwrap()
            .unwrap();
        let url = cluster.url("postgres");
        let mut connection = PgConnection::connect(&url).await.unwrap();
        connection
            .execute("CREATE TABLE entry (number bigint PRIMARY KEY)")
            .await
            .unwrap();
        Self {
            db: Db::open(&url.into(), Duration::from_secs(6)).unwrap(),
            cluster,
            insert: Statement::new(
                Access::Write,
                "INSERT entry",
                "INSERT INTO entry SELECT number FROM {input} RETURNING pg_backend_pid()",
                &[("number", Kind::Int)],
            ),
            count: Statement::new(
                Access::Read,
                "SELECT entry",
                "SELECT (SELECT COUNT(*) FROM entry WHERE entry.number <= input.number) FROM {input}",
                &[("number", Kind::Int)],
            ),
        }
    }

    /// Stores a number. Returns the id of the backend process that stored it.
    async fn insert(&self, number: i64) -> Result<i32, StoreError> {
        let input = vec![Column::Int(vec![number])];
        let Db::Postgres { pool, .. } = &self.db else {
            panic!("the database is not on PostgreSQL");
        };
        let rows: Vec<(i32,)> = self.insert.fetch_postgres(&self.db, pool, input).await?;
        Ok(rows[0].0)
    }

    async fn count(&self) -> Result<i64, StoreError> {
        self.count_by(&self.db).await
    }

    async fn count_by(&self, db: &Db) -> Result<i64, StoreError> {
        let input = vec![Column::Int(vec![i64::MAX])];
        let rows: Vec<(i64,)> = self.count.fetch(db, input).await?;
        Ok(rows[0].0)
    }
}

/// Starts a proxy that delays each new connection to a server.
async fn slow_proxy(server: SocketAddr, delay: Duration) -> SocketAddr {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((mut client, _)) = listener.accept().await {
            tokio::spawn(async move {
                sleep(delay).await;
                let mut upstream = TcpStream::connect(server).await.unwrap();
                // Either side may close the connection.
                let _ = copy_bidirectional(&mut client, &mut upstream).await;
            });
        }
    });
    address
}

#[tokio::test]
async fn a_ready_service_has_all_its_connections() {
    let none = Migrations {
        sqlite: Migrator::DEFAULT,
        postgres: Migrator::DEFAULT,
    };
    let server = TestServer::start().await;
    server.db.wait_until_ready(&none).await;
    assert_eq!(server.db.connections().0, 8);
    eventually("all connections are idle", WAIT_TIMEOUT, async || {
        server.db.connections() == (8, 8)
    })
    .await;
}

#[tokio::test]
async fn opening_a_connection_goes_on_after_its_statement_has_given_up() {
    let server = TestServer::start().await;
    let url = server.cluster.url("postgres");
    let port = url.parse::<PgConnectOptions>().unwrap().get_port();
    // A statement waits 50 ms for a connection, and opening one takes three times as long.
    let proxy = slow_proxy(
        (Ipv4Addr::LOCALHOST, port).into(),
        Duration::from_millis(150),
    )
    .await;
    let url = url.replace(&format!(":{port}"), &format!(":{}", proxy.port()));
    let db = Db::open(&url.into(), Duration::from_millis(150)).unwrap();

    let error = server.count_by(&db).await.unwrap_err();
    assert!(matches!(error, StoreError::Unavailable(_)), "{error:?}");
    eventually("a statement finds a connection", WAIT_TIMEOUT, async || {
        server.count_by(&db).await.is_ok()
    })
    .await;
}

#[tokio::test]
async fn an_unavailable_server_is_reported_and_used_again_afterwards() {
    let server = TestServer::start().await;
    server.insert(1).await.unwrap();
    server.cluster.kill().unwrap();

    for _ in 0..3 {
        let began = Instant::now();
        let error = server.insert(2).await.unwrap_err();
        assert!(matches!(error, StoreError::Unavailable(_)), "{error:?}");
        assert!(began.elapsed() < Duration::from_secs(6), "{began:?}");
    }

    server.cluster.start_again().unwrap();
    eventually("the server is used again", WAIT_TIMEOUT, async || {
        server.insert(3).await.is_ok()
    })
    .await;
    assert_eq!(server.count().await.unwrap(), 2);
}

#[tokio::test]
async fn the_connections_to_a_demoted_server_are_replaced() {
    let server = TestServer::start().await;
    let before = server.insert(1).await.unwrap();

    server.cluster.set_read_only(true).unwrap();
    eventually("the server refuses writes", WAIT_TIMEOUT, async || {
        let error = server.insert(-1).await.err();
        assert!(
            matches!(
                error,
                None | Some(StoreError::Unavailable(_) | StoreError::Conflict)
            ),
            "{error:?}"
        );
        matches!(error, Some(StoreError::Unavailable(_)))
    })
    .await;
    // Reads still work.
    assert!(server.count().await.unwrap() >= 1);

    server.cluster.set_read_only(false).unwrap();
    let mut after = before;
    eventually(
        "the server accepts writes",
        WAIT_TIMEOUT,
        async || match server.insert(2).await {
            Ok(process) => {
                after = process;
                true
            }
            Err(error) => {
                assert!(matches!(error, StoreError::Unavailable(_)), "{error:?}");
                false
            }
        },
    )
    .await;
    assert_ne!(
        after, before,
        "the write used a connection from before the failover"
    );
}
