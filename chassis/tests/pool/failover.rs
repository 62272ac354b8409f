//! Failover from replicas that are dead, die, drain or freeze.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::SeqCst},
    },
    time::{Duration, Instant},
};

use chassis::pool::{Pool, ReplicaState};
use tokio::{net::TcpListener, task::JoinHandle};
use tonic::Code;

use super::support::{
    Behavior, LONG_TIMEOUT, LoadResult, Server, config, connected, count, free_address, load,
    load_while, read, state_of, until, write,
};

/// A timeout for calls to frozen replicas. An attempt gets 40 % of it, so a call whose first attempt
/// meets a frozen replica takes longer than [`SLOW`].
const SHORT_TIMEOUT: Duration = Duration::from_secs(3);

/// A call that takes longer than this has met a frozen replica.
const SLOW: Duration = Duration::from_secs(1);

/// Load that runs in the background until [`BackgroundLoad::stop`].
struct BackgroundLoad(Arc<AtomicBool>, JoinHandle<LoadResult>);

impl BackgroundLoad {
    fn start(pool: &Pool, callers: usize, timeout: Duration) -> Self {
        let running = Arc::new(AtomicBool::new(true));
        let (pool, proceed) = (pool.clone(), running.clone());
        let load =
            async move { load_while(&pool, callers, timeout, move || proceed.load(SeqCst)).await };
        Self(running, tokio::spawn(load))
    }

    /// Stops the load and returns its result.
    async fn stop(self) -> LoadResult {
        self.0.store(false, SeqCst);
        self.1.await.unwrap()
    }
}

/// Waits until a server has got `more` further calls.
async fn wait_for_calls(server: &Server, more: usize) {
    let before = server.state.calls();
    until("calls arrive", || server.state.calls() >= before + more).await;
}

#[tokio::test]
async fn a_dead_address_fails_no_call() {
    let (one, two) = (Server::start(), Server::start());
    let targets = [one.target(), two.target(), free_address().to_string()];
    let pool = connected(config(targets), 2).await;
    load(&pool, 16, 2000, LONG_TIMEOUT)
        .await
        .assert_no_failure();
    assert!(one.state.calls() > 500 && two.state.calls() > 500);
    assert_eq!(count(&pool, ReplicaState::Connecting), 1);
}

#[tokio::test]
async fn a_replica_killed_under_load_fails_no_call() {
    let (one, mut two) = (Server::start(), Server::start());
    let pool = connected(config([one.target(), two.target()]), 2).await;
    let load = BackgroundLoad::start(&pool, 16, LONG_TIMEOUT);
    for _ in 0..3 {
        wait_for_calls(&two, 200).await;
        two.kill();
        wait_for_calls(&one, 200).await;
        two = Server::on(two.address, super::support::SERVICE);
        until("the replica is ready again", || {
            count(&pool, ReplicaState::Ready) == 2
        })
        .await;
    }
    load.stop().await.assert_no_failure();
}

#[tokio::test]
async fn a_drained_replica_fails_no_call() {
    let (one, two) = (Server::start(), Server::start());
    let pool = connected(config([one.target(), two.target()]), 2).await;
    let load = BackgroundLoad::start(&pool, 16, LONG_TIMEOUT);
    wait_for_calls(&two, 200).await;
    two.drain().await;
    until("the replica is draining", || {
        state_of(&pool, two.address) == Some(ReplicaState::Draining)
    })
    .await;
    until("no call is in flight", || {
        pool.replicas()
            .iter()
            .any(|replica| replica.address == two.address && replica.in_flight == 0)
    })
    .await;
    let drained = two.state.calls();
    wait_for_calls(&one, 500).await;
    assert_eq!(two.state.calls(), drained);
    two.stop();
    until("the replica is disconnected", || {
        state_of(&pool, two.address) == Some(ReplicaState::Connecting)
    })
    .await;
    load.stop().await.assert_no_failure();
}

#[tokio::test]
async fn a_replica_that_sends_goaway_without_draining_fails_no_call() {
    let (one, two) = (Server::start(), Server::start());
    let pool = connected(config([one.target(), two.target()]), 2).await;
    let load = BackgroundLoad::start(&pool, 16, LONG_TIMEOUT);
    wait_for_calls(&two, 200).await;
    two.stop();
    until("the replica is disconnected", || {
        state_of(&pool, two.address) == Some(ReplicaState::Connecting)
    })
    .await;
    wait_for_calls(&one, 200).await;
    load.stop().await.assert_no_failure();
}

#[tokio::test]
async fn a_handler_that_never_answers_slows_down_few_calls() {
    let (one, two) = (Server::start(), Server::start());
    two.state.set_behavior(Behavior::Hang);
    let pool = connected(config([one.target(), two.target()]), 2).await;
    let result = load(&pool, 8, 2000, SHORT_TIMEOUT).await;
    result.assert_no_failure();
    assert!(result.elapsed.iter().max() < Some(&SHORT_TIMEOUT));
    let slow = result.slower_than(SLOW);
    assert!(slow > 0 && slow < 200, "{slow} were slow");
}

#[tokio::test]
async fn a_frozen_process_is_ejected_and_used_again_afterwards() {
    let (one, two) = (Server::start(), Server::start());
    let mut config = config([one.target(), two.target()]);
    config.probe_timeout = Duration::from_secs(1);
    let pool = connected(config, 2).await;
    let load = BackgroundLoad::start(&pool, 8, SHORT_TIMEOUT);
    wait_for_calls(&two, 200).await;
    let began = Instant::now();
    let thaw = two.freeze();
    until("the frozen replica is ejected", || {
        state_of(&pool, two.address) == Some(ReplicaState::Ejected)
    })
    .await;
    let ejected = began.elapsed();
    wait_for_calls(&one, 500).await;
    assert_ne!(state_of(&pool, two.address), Some(ReplicaState::Ready));
    drop(thaw);
    until("the replica is ready again", || {
        count(&pool, ReplicaState::Ready) == 2
    })
    .await;
    wait_for_calls(&two, 200).await;
    let result = load.stop().await;
    result.assert_no_failure();
    assert!(ejected < SHORT_TIMEOUT, "ejected after {ejected:?}");
    let slow = result.slower_than(SLOW);
    assert!(slow <= 40, "{slow} were slow");
}

#[tokio::test]
async fn a_frozen_process_is_detected_without_calls() {
    let (one, two) = (Server::start(), Server::start());
    let mut config = config([one.target(), two.target()]);
    config.probe_timeout = Duration::from_millis(500);
    let pool = connected(config, 2).await;
    let _thaw = two.freeze();
    until("the frozen replica is ejected", || {
        state_of(&pool, two.address) == Some(ReplicaState::Ejected)
    })
    .await;
    load(&pool, 4, 200, SHORT_TIMEOUT).await.assert_no_failure();
}

#[tokio::test]
async fn an_address_that_accepts_but_never_answers_gets_no_call() {
    let one = Server::start();
    let silent = TcpListener::bind(free_address()).await.unwrap();
    let mut config = config([one.target(), silent.local_addr().unwrap().to_string()]);
    config.probe_timeout = Duration::from_millis(500);
    let pool = connected(config, 1).await;
    let (_first, _) = silent.accept().await.unwrap();
    let result = load(&pool, 8, 1000, LONG_TIMEOUT).await;
    result.assert_no_failure();
    assert_eq!(one.state.calls(), 1000);
    // The pool closes the silent connection and opens another.
    silent.accept().await.unwrap();
}

#[tokio::test]
async fn the_last_replica_is_never_ejected() {
    let (one, two) = (Server::start(), Server::start());
    let pool = connected(config([one.target(), two.target()]), 2).await;
    one.state.set_behavior(Behavior::Hang);
    two.state.set_behavior(Behavior::Hang);
    for _ in 0..6 {
        let status = write(&pool, Duration::from_millis(200)).await.unwrap_err();
        assert_eq!(status.code(), Code::DeadlineExceeded, "{status:?}");
        assert!(count(&pool, ReplicaState::Ready) > 0);
    }
    one.state.set_behavior(Behavior::Answer);
    two.state.set_behavior(Behavior::Answer);
    write(&pool, LONG_TIMEOUT).await.unwrap();
}

#[tokio::test]
async fn a_database_outage_ejects_no_replica() {
    let (one, two) = (Server::start(), Server::start());
    let pool = connected(config([one.target(), two.target()]), 2).await;
    two.state.set_behavior(Behavior::Unavailable);
    load(&pool, 1, 60, LONG_TIMEOUT).await.assert_no_failure();
    assert!(two.state.calls() > 5, "the unavailable replica gets calls");
    one.state.set_behavior(Behavior::Unavailable);
    let status = read(&pool, LONG_TIMEOUT).await.unwrap_err();
    assert_eq!(status.code(), Code::Unavailable);
    assert_eq!(status.message(), "the database is unavailable");
    assert_eq!(count(&pool, ReplicaState::Ready), 2);
}
