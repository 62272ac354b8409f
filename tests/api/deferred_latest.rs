//! Values of `latest` that are deferred because the user service is unavailable, when the gateway stops.

#![expect(clippy::unwrap_used, reason = "a failure of the setup fails the test")]

use std::{
    net::SocketAddr,
    time::{Duration, Instant},
};

use chassis::shutdown::Drain;
use metrics_exporter_prometheus::{PrometheusBuilder, PrometheusHandle};
use minitwit::ServiceAddresses;
use minitwit_client::Pools;
use minitwit_gateway::{Listeners, backend::Backend};
use serde_json::json;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::harness::{self, Client, Running, relay::Relay};

/// Timeout of a request. The gateway defers `latest` after a share of it.
const API_BUDGET: Duration = Duration::from_secs(2);

/// Gateway that reaches the user service through a relay, and has its own metrics.
struct RelayedGateway {
    api: SocketAddr,
    user: Relay,
    metrics: PrometheusHandle,
    stop: CancellationToken,
    ended: JoinHandle<anyhow::Result<()>>,
}

impl RelayedGateway {
    async fn start(suite: &Running, hard_stop: Duration) -> Self {
        let user = Relay::to([suite.services.user]).await;
        let services = ServiceAddresses {
            user: user.address,
            ..suite.services
        };
        let listeners = Listeners {
            pages: minitwit::listen_on_free_port().await.unwrap(),
            api: minitwit::listen_on_free_port().await.unwrap(),
        };
        let api = listeners.api.local_addr().unwrap();
        let mut config = harness::gateway_config();
        config.api_budget = API_BUDGET;
        config.drain = Drain {
            lame_duck: Duration::ZERO,
            hard_stop,
        };
        let recorder = PrometheusBuilder::new().build_recorder();
        let backend = metrics::with_local_recorder(&recorder, || {
            let pools = Pools::connect(services.map(|address| [address.to_string()]));
            Backend::new(pools, 1 << 20)
        });
        let stop = CancellationToken::new();
        let served = minitwit_gateway::serve(config, backend, listeners, stop.clone());
        Self {
            api,
            user,
            metrics: recorder.handle(),
            stop,
            ended: tokio::spawn(served),
        }
    }

    /// Posts a message with `latest` while the user service is unavailable.
    async fn defer(&self, suite: &Running, latest: i64) {
        let api = Client {
            address: self.api,
            ..suite.simulator()
        };
        api.register("a").await.is(204);
        self.user.pause();
        let path = format!("/msgs/a?latest={latest}");
        api.post(&path, &json!({"content": "hello"})).await.is(204);
        assert_eq!(self.count("minitwit_latest_deferred_total"), Some(1));
    }

    /// Current value of a counter.
    fn count(&self, name: &str) -> Option<u64> {
        let metrics = self.metrics.render();
        let mut lines = metrics.lines();
        lines.find_map(|line| line.strip_prefix(name)?.trim().parse().ok())
    }
}

#[tokio::test]
async fn a_deferred_latest_is_stored_before_the_gateway_exits() {
    let suite = Running::new().await;
    let mut gateway = RelayedGateway::start(&suite, Duration::from_mins(1)).await;
    gateway.defer(&suite, 9).await;
    assert_eq!(suite.simulator().latest().await, -1);

    gateway.stop.cancel();
    let early = tokio::time::timeout(Duration::from_millis(300), &mut gateway.ended).await;
    assert!(early.is_err(), "the gateway waits for the user service");
    gateway.user.resume();
    (&mut gateway.ended).await.unwrap().unwrap();
    assert_eq!(suite.simulator().latest().await, 9);
    assert_eq!(gateway.count("minitwit_latest_lost_total"), Some(0));
    suite.stop().await;
}

#[tokio::test]
async fn a_deferred_latest_is_counted_as_lost_at_the_hard_stop() {
    let suite = Running::new().await;
    let hard_stop = Duration::from_secs(2);
    let mut gateway = RelayedGateway::start(&suite, hard_stop).await;
    gateway.defer(&suite, 9).await;

    let stopped = Instant::now();
    gateway.stop.cancel();
    (&mut gateway.ended).await.unwrap().unwrap();
    let took = stopped.elapsed();
    assert!(took >= hard_stop, "the gateway waits until the hard stop");
    assert!(took < 3 * hard_stop, "the gateway exits after {took:?}");
    assert_eq!(gateway.count("minitwit_latest_lost_total"), Some(1));
    assert_eq!(suite.simulator().latest().await, -1);
    suite.stop().await;
}

#[tokio::test]
async fn a_gateway_without_deferred_values_exits_at_once() {
    let suite = Running::new().await;
    let hard_stop = Duration::from_mins(1);
    let mut gateway = RelayedGateway::start(&suite, hard_stop).await;
    gateway.user.pause();
    gateway.stop.cancel();
    let ended = tokio::time::timeout(hard_stop / 2, &mut gateway.ended).await;
    ended.unwrap().unwrap().unwrap();
    assert_eq!(gateway.count("minitwit_latest_lost_total"), Some(0));
    suite.stop().await;
}
