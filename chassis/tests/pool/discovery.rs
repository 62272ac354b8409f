//! Discovery of replicas by name, and addresses of other services.

use std::{
    io,
    net::{IpAddr, SocketAddr},
    sync::{Arc, Mutex},
    time::Duration,
};

use chassis::pool::{BoxFuture, Pool, PoolConfig, ReplicaState, Resolve};
use tokio::{io::AsyncReadExt, net::TcpListener};

use super::support::{
    LONG_TIMEOUT, SERVICE, Server, config, connected, count, free_address, load, state_of, until,
    write,
};

/// A name server whose answer the test sets. Without an answer, resolution fails.
#[derive(Clone, Debug, Default)]
struct FakeResolver(Arc<Mutex<Option<Vec<IpAddr>>>>);

impl FakeResolver {
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
            remove_after: Duration::from_millis(300),
            ..config([format!("tasks.follower:{port}")])
        }
    }
}

impl Resolve for FakeResolver {
    fn resolve<'a>(&'a self, host: &'a str) -> BoxFuture<'a, io::Result<Vec<IpAddr>>> {
        assert_eq!(host, "tasks.follower");
        let answer = self.0.lock().unwrap().clone();
        Box::pin(async move { answer.ok_or_else(|| io::Error::other("NXDOMAIN")) })
    }
}

/// Addresses of three hosts with the same port, as replicas of a service have.
fn addresses() -> [SocketAddr; 3] {
    let port = free_address().port();
    [1, 2, 3].map(|host| SocketAddr::from(([127, 0, 0, host], port)))
}

#[tokio::test]
async fn names_add_replicas_and_health_removes_them() {
    let [a, b, c] = addresses();
    let (one, mut two) = (Server::on(a, SERVICE), Server::on(b, SERVICE));
    let names = FakeResolver::default();
    names.set(&[a]);
    let pool = connected(names.config(a.port()), 1).await;
    names.set(&[a, b]);
    until("the second replica is found", || {
        count(&pool, ReplicaState::Ready) == 2
    })
    .await;

    // The second replica is missing from DNS but works.
    names.set(&[a]);
    until("the second replica is not listed", || {
        pool.replicas().iter().any(|replica| !replica.listed)
    })
    .await;
    load(&pool, 4, 100, LONG_TIMEOUT).await.assert_no_failure();
    assert!(two.state.calls() > 0);
    assert_eq!(state_of(&pool, b), Some(ReplicaState::Ready));

    two.kill();
    until("the second replica is removed", || {
        state_of(&pool, b).is_none()
    })
    .await;
    assert_eq!(state_of(&pool, c), None);
    load(&pool, 4, 100, LONG_TIMEOUT).await.assert_no_failure();
    assert!(one.state.calls() > 100);
}

#[tokio::test]
async fn an_unavailable_name_server_changes_no_addresses() {
    let [a, b, _] = addresses();
    let (_one, mut two) = (Server::on(a, SERVICE), Server::on(b, SERVICE));
    let names = FakeResolver::default();
    names.set(&[a, b]);
    let pool = connected(names.config(a.port()), 2).await;
    names.fail();
    two.kill();
    until("the second replica is disconnected", || {
        state_of(&pool, b) == Some(ReplicaState::Connecting)
    })
    .await;
    let longer_than_remove_after = Duration::from_millis(500);
    tokio::time::sleep(longer_than_remove_after).await;
    names.set(&[]);
    let _two = Server::on(b, SERVICE);
    until("the second replica is ready again", || {
        count(&pool, ReplicaState::Ready) == 2
    })
    .await;
}

#[tokio::test]
async fn a_different_service_never_gets_a_call() {
    let one = Server::start();
    let foreign = Server::on(free_address(), "minitwit.message.v1.MessageService");
    let pool = connected(config([one.target(), foreign.target()]), 1).await;
    until("the different service is detected", || {
        count(&pool, ReplicaState::Foreign) == 1
    })
    .await;
    load(&pool, 8, 500, LONG_TIMEOUT).await.assert_no_failure();
    assert_eq!((one.state.calls(), foreign.state.calls()), (500, 0));
}

#[tokio::test]
async fn an_address_may_pass_to_a_different_service() {
    let address = free_address();
    let mut foreign = Server::on(address, "minitwit.message.v1.MessageService");
    let pool = Pool::connect(config([address.to_string()]));
    until("the different service is detected", || {
        count(&pool, ReplicaState::Foreign) == 1
    })
    .await;
    write(&pool, Duration::from_millis(100)).await.unwrap_err();
    foreign.kill();
    let _ours = Server::on(address, SERVICE);
    until("the replica is ready", || {
        count(&pool, ReplicaState::Ready) == 1
    })
    .await;
    write(&pool, LONG_TIMEOUT).await.unwrap();
    assert_eq!(foreign.state.calls(), 0);
}

#[tokio::test]
async fn dropping_the_last_clone_closes_the_connections() {
    let listener = TcpListener::bind(free_address()).await.unwrap();
    let pool = Pool::connect(config([listener.local_addr().unwrap().to_string()]));
    let clone = pool.clone();
    let (mut connection, _) = listener.accept().await.unwrap();
    drop(pool);
    assert_eq!(clone.replicas().len(), 1);
    drop(clone);
    let mut received = Vec::new();
    connection.read_to_end(&mut received).await.unwrap();
}

#[tokio::test]
async fn an_invalid_target_is_ignored() {
    let one = Server::start();
    let pool = connected(config(["no-port".to_owned(), one.target()]), 1).await;
    assert_eq!(pool.replicas().len(), 1);
}
