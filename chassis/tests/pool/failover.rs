//! Replicas that are dead, die, drain, freeze.

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
    AMPLE, Mood, Server, Tally, config, connected, count, free_address, load, load_while, read,
    state_of, until, write,
};

/// An attempt gets 40 % of it, so a call that meets a silent replica takes longer than a second.
const SHORT: Duration = Duration::from_secs(3);
const SLOW: Duration = Duration::from_secs(1);

/// Load in the background until it is asked how it went.
struct Background(Arc<AtomicBool>, JoinHandle<Tally>);

impl Background {
    fn start(pool: &Pool, callers: usize, timeout: Duration) -> Self {
        let on = Arc::new(AtomicBool::new(true));
        let (pool, proceed) = (pool.clone(), on.clone());
        let load =
            async move { load_while(&pool, callers, timeout, move || proceed.load(SeqCst)).await };
        Self(on, tokio::spawn(load))
    }

    async fn end(self) -> Tally {
        self.0.store(false, SeqCst);
        self.1.await.unwrap()
    }
}

/// Waits until a server has had so many more calls.
async fn served(server: &Server, more: usize) {
    let before = server.state.calls();
    until("calls arrive", || server.state.calls() >= before + more).await;
}

#[tokio::test]
async fn a_dead_address_costs_no_call() {
    let (one, two) = (Server::start(), Server::start());
    let targets = [one.target(), two.target(), free_address().to_string()];
    let pool = connected(config(targets), 2).await;
    load(&pool, 16, 2000, AMPLE).await.assert_no_failure();
    assert!(one.state.calls() > 500 && two.state.calls() > 500);
    assert_eq!(count(&pool, ReplicaState::Connecting), 1);
}

#[tokio::test]
async fn a_replica_killed_under_load_costs_no_call() {
    let (one, mut two) = (Server::start(), Server::start());
    let pool = connected(config([one.target(), two.target()]), 2).await;
    let load = Background::start(&pool, 16, AMPLE);
    for _ in 0..3 {
        served(&two, 200).await;
        two.kill();
        served(&one, 200).await;
        two = Server::on(two.address, super::support::SERVICE);
        until("it is back", || count(&pool, ReplicaState::Ready) == 2).await;
    }
    load.end().await.assert_no_failure();
}

#[tokio::test]
async fn a_drained_replica_costs_no_call() {
    let (one, two) = (Server::start(), Server::start());
    let pool = connected(config([one.target(), two.target()]), 2).await;
    let load = Background::start(&pool, 16, AMPLE);
    served(&two, 200).await;
    two.drain().await;
    until("it drains", || {
        state_of(&pool, two.address) == Some(ReplicaState::Draining)
    })
    .await;
    until("nothing is in flight", || {
        pool.snapshot()
            .iter()
            .any(|replica| replica.address == two.address && replica.in_flight == 0)
    })
    .await;
    let drained = two.state.calls();
    served(&one, 500).await;
    assert_eq!(two.state.calls(), drained);
    two.stop();
    until("it is gone", || {
        state_of(&pool, two.address) == Some(ReplicaState::Connecting)
    })
    .await;
    load.end().await.assert_no_failure();
}

#[tokio::test]
async fn a_replica_that_says_goaway_without_warning_costs_no_call() {
    let (one, two) = (Server::start(), Server::start());
    let pool = connected(config([one.target(), two.target()]), 2).await;
    let load = Background::start(&pool, 16, AMPLE);
    served(&two, 200).await;
    two.stop();
    until("it is gone", || {
        state_of(&pool, two.address) == Some(ReplicaState::Connecting)
    })
    .await;
    served(&one, 200).await;
    load.end().await.assert_no_failure();
}

#[tokio::test]
async fn a_handler_that_never_answers_slows_a_handful() {
    let (one, two) = (Server::start(), Server::start());
    two.state.feel(Mood::Hang);
    let pool = connected(config([one.target(), two.target()]), 2).await;
    let tally = load(&pool, 8, 2000, SHORT).await;
    tally.assert_no_failure();
    assert!(tally.elapsed.iter().max() < Some(&SHORT));
    let slow = tally.slower_than(SLOW);
    assert!(slow > 0 && slow < 200, "{slow} were slow");
}

#[tokio::test]
async fn a_frozen_process_is_ejected_and_comes_back() {
    let (one, two) = (Server::start(), Server::start());
    let mut config = config([one.target(), two.target()]);
    config.probe_timeout = Duration::from_secs(1);
    let pool = connected(config, 2).await;
    let load = Background::start(&pool, 8, SHORT);
    served(&two, 200).await;
    let began = Instant::now();
    let thaw = two.freeze();
    until("it is ejected", || {
        state_of(&pool, two.address) == Some(ReplicaState::Ejected)
    })
    .await;
    let ejected = began.elapsed();
    served(&one, 500).await;
    assert_ne!(state_of(&pool, two.address), Some(ReplicaState::Ready));
    drop(thaw);
    until("it is back", || count(&pool, ReplicaState::Ready) == 2).await;
    served(&two, 200).await;
    let tally = load.end().await;
    tally.assert_no_failure();
    assert!(ejected < SHORT, "ejected after {ejected:?}");
    let slow = tally.slower_than(SLOW);
    assert!(slow <= 40, "{slow} were slow");
}

#[tokio::test]
async fn a_frozen_process_is_noticed_without_calls() {
    let (one, two) = (Server::start(), Server::start());
    let mut config = config([one.target(), two.target()]);
    config.probe_timeout = Duration::from_millis(500);
    let pool = connected(config, 2).await;
    let _thaw = two.freeze();
    until("it is ejected", || {
        state_of(&pool, two.address) == Some(ReplicaState::Ejected)
    })
    .await;
    load(&pool, 4, 200, SHORT).await.assert_no_failure();
}

#[tokio::test]
async fn an_address_that_accepts_and_says_nothing_gets_no_call() {
    let one = Server::start();
    let mute = TcpListener::bind(free_address()).await.unwrap();
    let mut config = config([one.target(), mute.local_addr().unwrap().to_string()]);
    config.probe_timeout = Duration::from_millis(500);
    let pool = connected(config, 1).await;
    let (_first, _) = mute.accept().await.unwrap();
    let tally = load(&pool, 8, 1000, AMPLE).await;
    tally.assert_no_failure();
    assert_eq!(one.state.calls(), 1000);
    // A mute connection is given up and tried anew.
    mute.accept().await.unwrap();
}

#[tokio::test]
async fn the_last_replica_is_never_ejected() {
    let (one, two) = (Server::start(), Server::start());
    let pool = connected(config([one.target(), two.target()]), 2).await;
    one.state.feel(Mood::Hang);
    two.state.feel(Mood::Hang);
    for _ in 0..6 {
        let status = write(&pool, Duration::from_millis(200)).await.unwrap_err();
        assert_eq!(status.code(), Code::DeadlineExceeded, "{status:?}");
        assert!(count(&pool, ReplicaState::Ready) > 0);
    }
    one.state.feel(Mood::Answer);
    two.state.feel(Mood::Answer);
    write(&pool, AMPLE).await.unwrap();
}

#[tokio::test]
async fn a_database_outage_ejects_nobody() {
    let (one, two) = (Server::start(), Server::start());
    let pool = connected(config([one.target(), two.target()]), 2).await;
    two.state.feel(Mood::Refuse);
    load(&pool, 1, 60, AMPLE).await.assert_no_failure();
    assert!(two.state.calls() > 5, "it is asked again and again");
    one.state.feel(Mood::Refuse);
    let status = read(&pool, AMPLE).await.unwrap_err();
    assert_eq!(status.code(), Code::Unavailable);
    assert_eq!(status.message(), "the database is away");
    assert_eq!(count(&pool, ReplicaState::Ready), 2);
}
