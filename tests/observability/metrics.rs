//! Labels have few values, whatever a client sends.

use std::{collections::BTreeSet, net::SocketAddr};

use bytes::Bytes;
use http::{Method, Request};
use http_body_util::Full;
use serde_json::json;

use crate::{
    harness::{
        http_client::{send_http2, uri},
        person::Person,
    },
    suite::Observed,
};

/// Sends requests with made-up names, paths, methods and rpcs.
async fn send_made_up_requests(suite: &Observed, seed: usize) {
    let name = format!("name-{seed}");
    let api = suite.simulator();
    api.register(&name).await.is(204);
    api.post(&format!("/msgs/{name}"), &json!({"content": name}))
        .await
        .is(204);
    for path in [
        format!("/msgs/{name}"),
        format!("/fllws/{name}"),
        format!("/nonsense-{seed}"),
        format!("/msgs/{name}/more-{seed}"),
        format!("/msgs?no={seed}"),
    ] {
        api.get(&path).await;
    }
    let method = Method::from_bytes(format!("MADE{seed}UP").as_bytes()).unwrap();
    api.send(method, "/msgs", Bytes::new()).await;
    let mut person = Person::new(suite.pages);
    for path in [
        format!("/{name}"),
        format!("/{name}/followers"),
        format!("/{name}/nothing/{seed}"),
        format!("/static/{seed}"),
    ] {
        person.visit(&path).await;
    }
    unknown_rpc(suite.message, seed).await;
}

async fn unknown_rpc(service: SocketAddr, seed: usize) {
    let request = Request::post(uri(service, &format!("/made.up.v1.Service/Method{seed}")))
        .header("content-type", "application/grpc")
        .body(Full::default())
        .unwrap();
    let answer = send_http2(request).await;
    assert_eq!(answer.headers()["grpc-status"], "12", "it is unimplemented");
}

/// All series, without their values. Labels that depend on the speed of the machine are left out.
fn series(metrics: &str) -> BTreeSet<String> {
    let lines = metrics.lines().filter(|line| !line.starts_with('#'));
    let series = lines.filter_map(|line| Some(line.rsplit_once(' ')?.0));
    series
        .map(|series| {
            let labels = series
                .split(',')
                .filter(|label| !label.contains("_code=") && !label.contains("error_type="));
            labels.collect::<Vec<_>>().join(",")
        })
        .collect()
}

#[tokio::test]
async fn a_client_cannot_create_a_new_series() {
    let suite = Observed::start("warn").await;
    for seed in 0..3 {
        send_made_up_requests(&suite, seed).await;
    }
    let before = suite.metrics().await;
    for seed in 3..30 {
        send_made_up_requests(&suite, seed).await;
    }
    let after = suite.metrics().await;
    let known = series(&before);
    let new: Vec<String> = series(&after).difference(&known).cloned().collect();
    assert_eq!(new, [""; 0]);
}
