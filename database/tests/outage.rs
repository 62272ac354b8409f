//! A server that goes away, comes back, is demoted by a fail-over, or is slow to take connections.
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

/// Long enough for a server to start on any machine.
const PATIENCE: Duration = Duration::from_mins(1);

/// A server with one table, and a handle on it.
struct Subject {
    cluster: Cluster,
    db: Db,
    insert: Statement,
    count: Statement,
}

impl Subject {
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

    /// Stores a number, and tells which of the server's processes did it.
    async fn insert(&self, number: i64) -> Result<i32, StoreError> {
        let input = vec![Column::Int(vec![number])];
        let Db::Postgres { pool, .. } = &self.db else {
            panic!("the subject is a server");
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

/// Takes connections for a server, and lets each wait so long before it goes on.
async fn slow_door(to: SocketAddr, wait: Duration) -> SocketAddr {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((mut near, _)) = listener.accept().await {
            tokio::spawn(async move {
                sleep(wait).await;
                let mut far = TcpStream::connect(to).await.unwrap();
                // Whichever side ends it.
                let _ = copy_bidirectional(&mut near, &mut far).await;
            });
        }
    });
    address
}

#[tokio::test]
async fn a_service_that_is_ready_has_its_connections() {
    let none = Migrations {
        sqlite: Migrator::DEFAULT,
        postgres: Migrator::DEFAULT,
    };
    let subject = Subject::start().await;
    subject.db.ready(&none).await;
    assert_eq!(subject.db.connections().0, 8);
    eventually("they are given back", PATIENCE, async || {
        subject.db.connections() == (8, 8)
    })
    .await;
}

#[tokio::test]
async fn a_connection_is_there_in_the_end_though_nobody_waits_for_it() {
    let subject = Subject::start().await;
    let url = subject.cluster.url("postgres");
    let port = url.parse::<PgConnectOptions>().unwrap().get_port();
    // A statement waits 50 ms for a connection, and each takes three times as long.
    let door = slow_door(
        (Ipv4Addr::LOCALHOST, port).into(),
        Duration::from_millis(150),
    )
    .await;
    let url = url.replace(&format!(":{port}"), &format!(":{}", door.port()));
    let db = Db::open(&url.into(), Duration::from_millis(150)).unwrap();

    let error = subject.count_by(&db).await.unwrap_err();
    assert!(matches!(error, StoreError::Unavailable(_)), "{error:?}");
    eventually("a statement finds a connection", PATIENCE, async || {
        subject.count_by(&db).await.is_ok()
    })
    .await;
}

#[tokio::test]
async fn a_server_that_is_away_is_said_to_be_so_and_found_again() {
    let subject = Subject::start().await;
    subject.insert(1).await.unwrap();
    subject.cluster.kill().unwrap();

    for _ in 0..3 {
        let began = Instant::now();
        let error = subject.insert(2).await.unwrap_err();
        assert!(matches!(error, StoreError::Unavailable(_)), "{error:?}");
        assert!(began.elapsed() < Duration::from_secs(6), "{began:?}");
    }

    subject.cluster.start_again().unwrap();
    eventually("the server is used again", PATIENCE, async || {
        subject.insert(3).await.is_ok()
    })
    .await;
    assert_eq!(subject.count().await.unwrap(), 2);
}

#[tokio::test]
async fn the_connections_to_a_demoted_server_are_replaced() {
    let subject = Subject::start().await;
    let before = subject.insert(1).await.unwrap();

    subject.cluster.set_read_only(true).unwrap();
    eventually("the server refuses writes", PATIENCE, async || {
        let error = subject.insert(-1).await.err();
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
    // What still can be answered is.
    assert!(subject.count().await.unwrap() >= 1);

    subject.cluster.set_read_only(false).unwrap();
    let mut after = before;
    eventually("writes are taken again", PATIENCE, async || {
        match subject.insert(2).await {
            Ok(process) => {
                after = process;
                true
            }
            Err(error) => {
                assert!(matches!(error, StoreError::Unavailable(_)), "{error:?}");
                false
            }
        }
    })
    .await;
    assert_ne!(after, before, "it went over a connection of its own time");
}
