//! Replicas that come and go by name, and addresses that are not what they should be.

use std::{
    io,
    net::{IpAddr, SocketAddr},
    sync::{Arc, Mutex},
    time::Duration,
};

use chassis::pool::{BoxFuture, Pool, PoolConfig, ReplicaState, Resolve};
use tokio::{io::AsyncReadExt, net::TcpListener};

use super::support::{
    AMPLE, SERVICE, Server, config, connected, count, free_address, load, state_of, until, write,
};

/// A name server that says what it is told to, or nothing.
#[derive(Clone, Debug, Default)]
struct Names(Arc<Mutex<Option<Vec<IpAddr>>>>);

impl Names {
    fn set(&self, addresses: &[SocketAddr]) {
        *self.0.lock().unwrap() = Some(addresses.iter().map(SocketAddr::ip).collect());
    }

    fn fail(&self) {
        *self.0.lock().unwrap() = None;
    }

    fn config(&self, port: u16) -> PoolConfig {
        PoolConfig {
            resolver: Arc::new(self.clone()),
            resolve_interval: Duration::from_millis(20),
            forget_after: Duration::from_millis(300),
            ..config([format!("tasks.follower:{port}")])
        }
    }
}

impl Resolve for Names {
    fn resolve<'a>(&'a self, host: &'a str) -> BoxFuture<'a, io::Result<Vec<IpAddr>>> {
        assert_eq!(host, "tasks.follower");
        let answer = self.0.lock().unwrap().clone();
        Box::pin(async move { answer.ok_or_else(|| io::Error::other("NXDOMAIN")) })
    }
}

/// Addresses of three hosts with one port, as the replicas of a service have.
fn addresses() -> [SocketAddr; 3] {
    let port = free_address().port();
    [1, 2, 3].map(|host| SocketAddr::from(([127, 0, 0, host], port)))
}

#[tokio::test]
async fn names_add_replicas_and_health_removes_them() {
    let [a, b, c] = addresses();
    let (one, mut two) = (Server::on(a, SERVICE), Server::on(b, SERVICE));
    let names = Names::default();
    names.set(&[a]);
    let pool = connected(names.config(a.port()), 1).await;
    names.set(&[a, b]);
    until("the second is found", || {
        count(&pool, ReplicaState::Ready) == 2
    })
    .await;

    // No name lists it, but it lives.
    names.set(&[a]);
    until("it is not listed", || {
        pool.snapshot().iter().any(|replica| !replica.listed)
    })
    .await;
    load(&pool, 4, 100, AMPLE).await.assert_no_failure();
    assert!(two.state.calls() > 0);
    assert_eq!(state_of(&pool, b), Some(ReplicaState::Ready));

    two.kill();
    until("it is forgotten", || state_of(&pool, b).is_none()).await;
    assert_eq!(state_of(&pool, c), None);
    load(&pool, 4, 100, AMPLE).await.assert_no_failure();
    assert!(one.state.calls() > 100);
}

#[tokio::test]
async fn a_name_server_that_is_away_changes_nothing() {
    let [a, b, _] = addresses();
    let (_one, mut two) = (Server::on(a, SERVICE), Server::on(b, SERVICE));
    let names = Names::default();
    names.set(&[a, b]);
    let pool = connected(names.config(a.port()), 2).await;
    names.fail();
    two.kill();
    until("it is gone", || {
        state_of(&pool, b) == Some(ReplicaState::Connecting)
    })
    .await;
    let longer_than_it_is_remembered = Duration::from_millis(500);
    tokio::time::sleep(longer_than_it_is_remembered).await;
    names.set(&[]);
    let _two = Server::on(b, SERVICE);
    until("it is back", || count(&pool, ReplicaState::Ready) == 2).await;
}

#[tokio::test]
async fn another_service_never_gets_a_call() {
    let one = Server::start();
    let foreign = Server::on(free_address(), "minitwit.message.v1.MessageService");
    let pool = connected(config([one.target(), foreign.target()]), 1).await;
    until("it is found out", || {
        count(&pool, ReplicaState::Foreign) == 1
    })
    .await;
    load(&pool, 8, 500, AMPLE).await.assert_no_failure();
    assert_eq!((one.state.calls(), foreign.state.calls()), (500, 0));
}

#[tokio::test]
async fn an_address_may_change_hands() {
    let address = free_address();
    let mut foreign = Server::on(address, "minitwit.message.v1.MessageService");
    let pool = Pool::connect(config([address.to_string()]));
    until("it is found out", || {
        count(&pool, ReplicaState::Foreign) == 1
    })
    .await;
    write(&pool, Duration::from_millis(100)).await.unwrap_err();
    foreign.kill();
    let _ours = Server::on(address, SERVICE);
    until("it is used", || count(&pool, ReplicaState::Ready) == 1).await;
    write(&pool, AMPLE).await.unwrap();
    assert_eq!(foreign.state.calls(), 0);
}

#[tokio::test]
async fn the_last_clone_takes_the_connections_with_it() {
    let listener = TcpListener::bind(free_address()).await.unwrap();
    let pool = Pool::connect(config([listener.local_addr().unwrap().to_string()]));
    let clone = pool.clone();
    let (mut connection, _) = listener.accept().await.unwrap();
    drop(pool);
    assert_eq!(clone.snapshot().len(), 1);
    drop(clone);
    let mut received = Vec::new();
    connection.read_to_end(&mut received).await.unwrap();
}

#[tokio::test]
async fn a_target_that_makes_no_sense_is_not_looked_up() {
    let one = Server::start();
    let pool = connected(config(["no-port".to_owned(), one.target()]), 1).await;
    assert_eq!(pool.snapshot().len(), 1);
}
