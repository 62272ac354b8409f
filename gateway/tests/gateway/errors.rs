//! Responses to requests that the gateway refuses, or whose service fails.

use std::time::Instant;

use http::{StatusCode, header};
use minitwit_gateway::{API_BUDGET, PAGE_BUDGET};
use serde_json::{Value, json};
use tonic::Status;

use crate::setup::{Answer, Options, Setup};

/// Text of a status that no client may see.
const INTERNAL_TEXT: &str = "cannot connect to the database at 10.1.2.3";

/// Checks the response to a request whose service is unavailable.
fn assert_unavailable(answer: &Answer) {
    assert_eq!(answer.status, StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(answer.headers[header::RETRY_AFTER], "1");
    for word in ["database", "10.1.2.3"] {
        assert!(!answer.body.contains(word), "{answer:?}");
    }
}

#[tokio::test]
async fn an_unavailable_user_service_is_answered_with_503_and_without_internal_text() {
    let setup = Setup::new().await;
    let lookups = &setup.user.lookup_users;
    lookups.answer_with(|_| Err(Status::unavailable(INTERNAL_TEXT)));

    let post = json!({ "content": "a text" });
    let answer = setup.api.post("/msgs/roger", &post).await;
    assert_unavailable(&answer);
    let body: Value = serde_json::from_str(&answer.body).unwrap();
    assert_eq!(body["status"], 503);
    assert_eq!(
        body["error_msg"],
        "the service is not available right now, try again"
    );
    assert!(setup.message().create_messages.requests().is_empty());

    assert_unavailable(&setup.pages.get("/roger").await);
    assert_eq!(lookups.requests().len(), 2);
}

#[tokio::test]
async fn a_service_that_does_not_answer_is_answered_with_504_within_the_api_budget() {
    let setup = Setup::with(Options {
        api_budget: API_BUDGET,
        ..Options::default()
    })
    .await;
    let timelines = &setup.message().list_timelines;
    timelines.hold();

    let start = Instant::now();
    let answer = setup.api.get("/msgs").await;
    let elapsed = start.elapsed();
    assert_eq!(answer.status, StatusCode::GATEWAY_TIMEOUT, "{answer:?}");
    assert_eq!(timelines.requests().len(), 1);
    // The scheduler may delay the response, but the next longer budget is far from over.
    assert!(elapsed < PAGE_BUDGET, "{elapsed:?}");
    assert!(elapsed > API_BUDGET / 2, "{elapsed:?}");
}

#[tokio::test]
async fn a_request_without_credentials_causes_no_rpc() {
    let setup = Setup::new().await;
    let api = setup.api.without_credentials();
    let follow = json!({ "follow": "amy" });
    let answers = [
        api.get("/msgs?latest=1").await,
        api.get("/msgs/roger?latest=2").await,
        api.post("/msgs/roger?latest=3", &json!({ "content": "a text" }))
            .await,
        api.get("/fllws/roger?latest=4").await,
        api.post("/fllws/roger?latest=5", &follow).await,
    ];
    for answer in answers {
        assert_eq!(answer.status, StatusCode::FORBIDDEN, "{answer:?}");
    }

    // The call of this request is the first call of all services.
    assert_eq!(setup.api.get("/latest").await.status, StatusCode::OK);
    assert_eq!(setup.calls(), 1);
    assert_eq!(setup.user.get_latest.requests().len(), 1);
}
