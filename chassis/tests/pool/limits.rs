//! Limits of the time, the retries and the hedges of a call.

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
    Behavior, LONG_TIMEOUT, Server, config, connected, count, free_address, load, read, until,
    write,
};

/// Connects a pool whose metrics the test can read.
async fn connected_with_metrics(config: PoolConfig, ready: usize) -> (Pool, PrometheusHandle) {
    let recorder = PrometheusBuilder::new().build_recorder();
    let pool = metrics::with_local_recorder(&recorder, || Pool::connect(config));
    until("replicas are ready", || {
        count(&pool, chassis::pool::ReplicaState::Ready) == ready
    })
    .await;
    (pool, recorder.handle())
}

/// The value of the first series whose text begins with `series`.
fn value(handle: &PrometheusHandle, series: &str) -> usize {
    let text = handle.render();
    let line = text.lines().find(|line| line.starts_with(series));
    let line = line.unwrap_or_else(|| panic!("no {series} in {text}"));
    line.rsplit(' ').next().unwrap().parse().unwrap()
}

#[tokio::test]
async fn an_attempt_carries_its_own_timeout() {
    let (one, two) = (Server::start(), Server::start());
    let pool = connected(config([one.target(), two.target()]), 2).await;
    write(&pool, LONG_TIMEOUT).await.unwrap();
    let first_attempt = [&one, &two]
        .map(|server| server.state.timeouts.lock().unwrap().clone())
        .concat();
    assert_eq!(first_attempt.len(), 1);
    assert!(
        first_attempt[0] <= LONG_TIMEOUT * 4 / 10 && first_attempt[0] > LONG_TIMEOUT * 3 / 10,
        "{first_attempt:?}"
    );

    let alone = connected(config([one.target()]), 1).await;
    write(&alone, LONG_TIMEOUT).await.unwrap();
    let only_attempt = *one.state.timeouts.lock().unwrap().last().unwrap();
    assert!(
        only_attempt <= LONG_TIMEOUT && only_attempt > LONG_TIMEOUT * 9 / 10,
        "{only_attempt:?}"
    );
}

#[tokio::test]
async fn an_unanswered_call_ends_with_deadline_exceeded() {
    let server = Server::start();
    let pool = connected(config([server.target()]), 1).await;
    server.state.set_behavior(Behavior::Hang);
    let began = Instant::now();
    let status = write(&pool, Duration::from_millis(100)).await.unwrap_err();
    assert_eq!(status.code(), Code::DeadlineExceeded);
    assert!(began.elapsed() >= Duration::from_millis(100));
}

#[tokio::test]
async fn without_replicas_a_call_fails_before_its_deadline() {
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
            // Each call waits up to a second for a replica, and the server may take longer to start.
            while write(&pool, LONG_TIMEOUT).await.is_err() {}
        }
    });
    let _server = Server::on(address, super::support::SERVICE);
    waiting.await.unwrap();
}

#[tokio::test]
async fn a_limited_number_of_calls_waits_for_a_replica() {
    let mut config = config([free_address().to_string()]);
    config.waiters_max = 4;
    let pool = Pool::connect(config);
    let result = load(&pool, 10, 10, Duration::from_secs(1)).await;
    let count_message = |words| {
        result
            .failures
            .iter()
            .filter(|status| status.message().contains(words))
            .count()
    };
    assert_eq!(
        (
            count_message("too many calls wait"),
            count_message("no replica")
        ),
        (6, 4)
    );
}

#[tokio::test]
async fn the_budget_limits_the_retries() {
    let (one, two) = (Server::start(), Server::start());
    one.state.set_behavior(Behavior::Unavailable);
    two.state.set_behavior(Behavior::Unavailable);
    let mut config = config([one.target(), two.target()]);
    config.retries_burst = 5.0;
    let (pool, metrics) = connected_with_metrics(config, 2).await;
    let began = Instant::now();
    let result = load(&pool, 4, 1000, LONG_TIMEOUT).await;
    assert_eq!(result.failures.len(), 1000);
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
async fn slow_reads_are_hedged_but_at_most_one_in_twenty() {
    let (one, two) = (Server::start(), Server::start());
    let mut config = config([one.target(), two.target()]);
    config.hedge_delay_min = Duration::from_millis(20);
    let (pool, metrics) = connected_with_metrics(config, 2).await;
    for _ in 0..200 {
        read(&pool, LONG_TIMEOUT).await.unwrap();
    }
    let behavior = Behavior::SlowEvery(3, Duration::from_millis(200));
    one.state.set_behavior(behavior);
    two.state.set_behavior(behavior);
    for _ in 0..60 {
        read(&pool, LONG_TIMEOUT).await.unwrap();
    }
    // 20 reads are slow. The first 200 reads saved ten permits, and the other 60 reads add three.
    let hedges = value(&metrics, "minitwit_pool_hedges_total");
    assert_eq!(one.state.calls() + two.state.calls(), 260 + hedges);
    assert!((5..=13).contains(&hedges), "{hedges} hedges");
}

#[tokio::test]
async fn the_slower_copy_of_a_hedged_call_is_cancelled() {
    let (one, two) = (Server::start(), Server::start());
    let mut config = config([one.target(), two.target()]);
    config.hedge_delay_min = Duration::from_millis(20);
    let pool = connected(config, 2).await;
    for _ in 0..300 {
        read(&pool, 2 * LONG_TIMEOUT).await.unwrap();
    }
    two.state.set_behavior(Behavior::Hang);
    let began = Instant::now();
    let before = two.state.calls();
    while two.state.calls() == before {
        read(&pool, 2 * LONG_TIMEOUT).await.unwrap();
    }
    assert!(
        began.elapsed() < LONG_TIMEOUT / 2,
        "an attempt may take 8 s, so the answer must come from a hedge"
    );
    until("the slower copy is cancelled", || {
        two.state.cancelled.load(SeqCst) == 1
    })
    .await;
}

#[tokio::test]
async fn a_dropped_call_is_cancelled_on_the_server() {
    let server = Server::start();
    let pool = connected(config([server.target()]), 1).await;
    server.state.set_behavior(Behavior::Hang);
    let caller = tokio::spawn(async move { write(&pool, Duration::from_mins(1)).await });
    until("the call arrives", || server.state.calls() == 1).await;
    caller.abort();
    until("the call is cancelled", || {
        server.state.cancelled.load(SeqCst) == 1
    })
    .await;
}

#[tokio::test]
async fn answers_and_errors_arrive_unchanged() {
    let server = Server::start();
    let pool = connected(config([server.target()]), 1).await;
    server.state.set_behavior(Behavior::AnswerBytes(300_000));
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
