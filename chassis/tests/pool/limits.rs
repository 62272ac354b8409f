//! What a call may cost: time, retries, hedges.

use std::{
    sync::atomic::Ordering::SeqCst,
    time::{Duration, Instant},
};

use chassis::pool::{Pool, PoolConfig};
use metrics_exporter_prometheus::{PrometheusBuilder, PrometheusHandle};
use minitwit_proto::follower::v1::{
    CountFollowsRequest, ListFollowsRequest, follower_service_client::FollowerServiceClient,
    list_follows_result::Outcome,
};
use tonic::Code;

use super::support::{
    AMPLE, Mood, Server, config, connected, count, free_address, load, read, until, write,
};

/// A pool whose counters can be read.
async fn metered(config: PoolConfig, ready: usize) -> (Pool, PrometheusHandle) {
    let recorder = PrometheusBuilder::new().build_recorder();
    let pool = metrics::with_local_recorder(&recorder, || Pool::connect(config));
    until("replicas are ready", || {
        count(&pool, chassis::pool::ReplicaState::Ready) == ready
    })
    .await;
    (pool, recorder.handle())
}

fn value(handle: &PrometheusHandle, series: &str) -> usize {
    let text = handle.render();
    let line = text.lines().find(|line| line.starts_with(series));
    let line = line.unwrap_or_else(|| panic!("no {series} in {text}"));
    line.rsplit(' ').next().unwrap().parse().unwrap()
}

#[tokio::test]
async fn an_attempt_is_told_its_own_time() {
    let (one, two) = (Server::start(), Server::start());
    let pool = connected(config([one.target(), two.target()]), 2).await;
    write(&pool, AMPLE).await.unwrap();
    let of_two = [&one, &two]
        .map(|server| server.state.timeouts.lock().unwrap().clone())
        .concat();
    assert_eq!(of_two.len(), 1);
    assert!(
        of_two[0] <= AMPLE * 4 / 10 && of_two[0] > AMPLE * 3 / 10,
        "{of_two:?}"
    );

    let alone = connected(config([one.target()]), 1).await;
    write(&alone, AMPLE).await.unwrap();
    let of_one = *one.state.timeouts.lock().unwrap().last().unwrap();
    assert!(of_one <= AMPLE && of_one > AMPLE * 9 / 10, "{of_one:?}");
}

#[tokio::test]
async fn the_end_of_the_time_is_called_deadline_exceeded() {
    let server = Server::start();
    let pool = connected(config([server.target()]), 1).await;
    server.state.feel(Mood::Hang);
    let began = Instant::now();
    let status = write(&pool, Duration::from_millis(100)).await.unwrap_err();
    assert_eq!(status.code(), Code::DeadlineExceeded);
    assert!(began.elapsed() >= Duration::from_millis(100));
}

#[tokio::test]
async fn without_replicas_a_call_fails_cleanly_before_its_deadline() {
    let address = free_address();
    let pool = Pool::connect(config([address.to_string()]));
    let began = Instant::now();
    let status = write(&pool, Duration::from_secs(2)).await.unwrap_err();
    assert_eq!(status.code(), Code::Unavailable);
    assert!(
        status
            .message()
            .contains("no replica of minitwit.follower.v1.FollowerService")
    );
    assert!(
        status.message().contains(&address.to_string()),
        "{status:?}"
    );
    assert!(began.elapsed() < Duration::from_secs(2));

    let waiting = tokio::spawn({
        let pool = pool.clone();
        async move {
            // Each wait is bounded by a second; the server may take longer to come up here.
            while write(&pool, AMPLE).await.is_err() {}
        }
    });
    let _server = Server::on(address, super::support::SERVICE);
    waiting.await.unwrap();
}

#[tokio::test]
async fn only_so_many_wait_for_a_replica() {
    let mut config = config([free_address().to_string()]);
    config.waiters_max = 4;
    let pool = Pool::connect(config);
    let tally = load(&pool, 10, 10, Duration::from_secs(1)).await;
    let told = |words| {
        tally
            .failures
            .iter()
            .filter(|status| status.message().contains(words))
            .count()
    };
    assert_eq!((told("too many calls wait"), told("no replica")), (6, 4));
}

#[tokio::test]
async fn the_budget_bounds_the_retries() {
    let (one, two) = (Server::start(), Server::start());
    one.state.feel(Mood::Refuse);
    two.state.feel(Mood::Refuse);
    let mut config = config([one.target(), two.target()]);
    config.retries_burst = 5.0;
    let (pool, metrics) = metered(config, 2).await;
    let began = Instant::now();
    let tally = load(&pool, 4, 1000, AMPLE).await;
    assert_eq!(tally.failures.len(), 1000);
    let retries = one.state.calls() + two.state.calls() - 1000;
    let seconds = usize::try_from(began.elapsed().as_secs()).unwrap() + 1;
    let allowed = 5 + 100 + 3 * seconds;
    assert!((100..=allowed).contains(&retries), "{retries} of {allowed}");
    let labels = r#"{service="FollowerService",reason="unavailable"}"#;
    let counted = value(&metrics, &format!("minitwit_pool_retries_total{labels}"));
    assert_eq!(counted, retries);
    let exhausted = value(&metrics, "minitwit_pool_retry_budget_exhausted_total");
    assert_eq!(exhausted, 1000 - retries);
    let labels = r#"{service="FollowerService",state="ready"}"#;
    assert_eq!(
        value(&metrics, &format!("minitwit_pool_replicas{labels}")),
        2
    );
}

#[tokio::test]
async fn late_reads_are_hedged_but_at_most_one_in_twenty() {
    let (one, two) = (Server::start(), Server::start());
    let mut config = config([one.target(), two.target()]);
    config.hedge_delay_min = Duration::from_millis(20);
    let (pool, metrics) = metered(config, 2).await;
    for _ in 0..200 {
        read(&pool, AMPLE).await.unwrap();
    }
    let mood = Mood::Late(3, Duration::from_millis(200));
    one.state.feel(mood);
    two.state.feel(mood);
    for _ in 0..60 {
        read(&pool, AMPLE).await.unwrap();
    }
    // 20 are late. The first 200 calls saved up the permits for ten, the others for three more.
    let hedges = value(&metrics, "minitwit_pool_hedges_total");
    assert_eq!(one.state.calls() + two.state.calls(), 260 + hedges);
    assert!((5..=13).contains(&hedges), "{hedges} hedges");
}

#[tokio::test]
async fn a_hedge_beats_a_late_replica_and_cancels_it() {
    let (one, two) = (Server::start(), Server::start());
    let mut config = config([one.target(), two.target()]);
    config.hedge_delay_min = Duration::from_millis(20);
    let pool = connected(config, 2).await;
    for _ in 0..300 {
        read(&pool, 2 * AMPLE).await.unwrap();
    }
    two.state.feel(Mood::Hang);
    let began = Instant::now();
    let before = two.state.calls();
    while two.state.calls() == before {
        read(&pool, 2 * AMPLE).await.unwrap();
    }
    assert!(
        began.elapsed() < AMPLE / 2,
        "an attempt may take 8 s, a hedge is quicker"
    );
    until("the loser is cancelled", || {
        two.state.cancelled.load(SeqCst) == 1
    })
    .await;
}

#[tokio::test]
async fn a_call_that_its_caller_drops_is_cancelled_on_the_server() {
    let server = Server::start();
    let pool = connected(config([server.target()]), 1).await;
    server.state.feel(Mood::Hang);
    let caller = tokio::spawn(async move { write(&pool, Duration::from_mins(1)).await });
    until("the call arrives", || server.state.calls() == 1).await;
    caller.abort();
    until("it is cancelled", || {
        server.state.cancelled.load(SeqCst) == 1
    })
    .await;
}

#[tokio::test]
async fn answers_and_errors_arrive_as_they_were_sent() {
    let server = Server::start();
    let pool = connected(config([server.target()]), 1).await;
    server.state.feel(Mood::Verbose(300_000));
    let mut client = FollowerServiceClient::new(pool);
    let answer = client
        .list_follows(ListFollowsRequest::default())
        .await
        .unwrap()
        .into_inner();
    let Some(Outcome::List(list)) = &answer.results[0].outcome else {
        panic!("no list in {answer:?}")
    };
    assert!(list.ids.len() == 300_000 && list.ids.iter().all(|byte| *byte == 7));
    let status = client
        .count_follows(CountFollowsRequest::default())
        .await
        .unwrap_err();
    assert_eq!(status.code(), Code::InvalidArgument);
    assert_eq!(status.message(), "an id is no UUID");
}
