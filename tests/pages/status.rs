//! Status page.

use std::time::Duration;

use serde_json::json;
use test_wait::eventually;

use crate::{
    harness::{Running, person::Person},
    has,
};

const PATH: &str = "/-/status";

#[tokio::test]
async fn the_status_page_shows_replicas_and_the_latest_action() {
    let suite = Running::new().await;
    let api = suite.simulator();
    api.register("a").await.is(204);
    api.post("/msgs/a?latest=4711", &json!({"content": "hello"}))
        .await
        .is(204);
    let mut anonymous = Person::new(suite.pages);
    let page = anonymous.visit(PATH).await;
    has(
        &page,
        &["All services are available.", "<dd>4711</dd>", "% left"],
    );
    for (service, address) in [
        ("user", suite.services.user),
        ("follower", suite.services.follower),
        ("message", suite.services.message),
    ] {
        has(
            &page,
            &[
                &format!("{service}: 1 of 1 ready"),
                &format!("<td>{address}</td>"),
                "ready for ",
            ],
        );
    }
}

#[tokio::test]
async fn the_status_page_names_an_unavailable_service() {
    let suite = Running::new().await;
    for (pages, service, verdict) in [
        (
            suite.gateway_without_follower().await,
            "follower",
            "A service is unavailable",
        ),
        (
            suite.gateway_without_user().await,
            "user",
            "A service is unavailable",
        ),
    ] {
        let summary = format!("{service}: 0 of 1 ready");
        eventually(
            "the other services are ready",
            Duration::from_secs(10),
            async || {
                let answer = Person::new(pages).get(PATH).await.is(200);
                let page = String::from_utf8(answer.body.to_vec()).unwrap();
                has(&page, &[verdict, &summary]);
                page.contains("message: 1 of 1 ready")
            },
        )
        .await;
    }
}

#[tokio::test]
async fn each_gateway_shows_the_answers_of_its_own_api() {
    let suite = Running::new().await;
    let other = suite.another_gateway().await;
    suite.simulator().register("a").await.is(204);
    let own = Person::new(suite.pages).visit(PATH).await;
    has(&own, &["<dd>1, "]);
    let page = Person::new(other).visit(PATH).await;
    has(&page, &["0, 0 of them bad", "no requests yet"]);
    suite.stop().await;
}
