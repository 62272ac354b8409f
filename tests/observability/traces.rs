//! Spans of each route of the API, and the ids of the trace in log lines.

use http::Method;
use serde_json::{Value, json};
use test_sink::{CollectedSpan, tree};
use test_wait::eventually;

use crate::{
    harness::Client,
    suite::{AMPLE, EDGE, Observed, trace_id},
};

/// Sends a request in a trace of its own and returns the spans of the request.
async fn traced(suite: &Observed, method: Method, path: &str, body: &Value) -> Vec<CollectedSpan> {
    let id = trace_id();
    let client = Client {
        trace: Some(format!("00-{id}-{EDGE}-01")),
        ..suite.simulator()
    };
    let body = match method {
        Method::POST => body.to_string(),
        _ => String::new(),
    };
    let answer = client.send(method, path, body.into()).await;
    assert!(answer.status.is_success(), "{answer:?}");
    // The span of the request ends after all spans that the request waits for.
    eventually("the request's span arrives", AMPLE, async || {
        let spans = suite.sink.spans_of_trace(&id);
        spans.iter().any(|span| span.parent == EDGE)
    })
    .await;
    suite.sink.spans_of_trace(&id)
}

/// Spans of storing `latest`, which all writes and most reads do beside their own work.
const LATEST: &str = "  batch gateway.set_latest
    minitwit.user.v1.ApiClientService/SetLatest
      attempt
        minitwit.user.v1.ApiClientService/SetLatest
          batch api_client.set_latest
            UPSERT api_client
";

/// Spans of a call, from the gateway's batch to the statement.
fn call_spans(batch: &str, method: &str, inner: &str, statement: &str) -> String {
    format!(
        "  batch gateway.{batch}\n    minitwit.{method}\n      attempt\n        minitwit.{method}\n          \
         batch {inner}\n            {statement}\n"
    )
}

/// Spans of a registration.
const REGISTER: &str = "\
POST /register
  batch gateway.set_latest
    minitwit.user.v1.ApiClientService/SetLatest
      attempt
        minitwit.user.v1.ApiClientService/SetLatest
          batch api_client.set_latest
            UPSERT api_client
  minitwit.user.v1.UserService/RegisterUsers
    attempt
      minitwit.user.v1.UserService/RegisterUsers
        batch user.find
          SELECT account by name
        batch user.insert
          INSERT account
        hash password
";

async fn registered(suite: &Observed, name: &str) -> String {
    let body = json!({"username": name, "email": "a@example.org", "pwd": "secret"});
    let spans = traced(suite, Method::POST, "/register?latest=1", &body).await;
    tree(&spans)
}

#[tokio::test]
async fn each_route_of_the_api_is_one_tree_from_the_edge_to_the_statement() {
    let suite = Observed::start("info").await;
    let follow = call_spans(
        "set_follows",
        "follower.v1.FollowerService/SetFollows",
        "follower.set",
        "INSERT follow",
    );
    let list = call_spans(
        "list_timelines",
        "message.v1.MessageService/ListTimelines",
        "message.list",
        "SELECT message timeline",
    );
    let expected = [
        (
            Method::POST,
            "/msgs/ann?latest=2",
            json!({"content": "hello"}),
            call_spans(
                "create_messages",
                "message.v1.MessageService/CreateMessages",
                "message.insert",
                "INSERT message",
            ) + LATEST,
        ),
        (
            Method::POST,
            "/fllws/ann?latest=3",
            json!({"follow": "bob"}),
            follow.clone() + LATEST,
        ),
        (
            Method::POST,
            "/fllws/ann?latest=4",
            json!({"unfollow": "bob"}),
            follow + LATEST,
        ),
        (
            Method::GET,
            "/msgs?no=20&latest=5",
            Value::Null,
            list.clone() + LATEST,
        ),
        (Method::GET, "/msgs/ann?no=20", Value::Null, list),
        (
            Method::GET,
            "/fllws/ann?no=20",
            Value::Null,
            call_spans(
                "list_follows",
                "follower.v1.FollowerService/ListFollows",
                "follower.list",
                "SELECT follow list",
            ),
        ),
        (
            Method::GET,
            "/latest",
            Value::Null,
            call_spans(
                "get_latest",
                "user.v1.ApiClientService/GetLatest",
                "api_client.get_latest",
                "SELECT api_client latest",
            ),
        ),
    ];
    registered(&suite, "ann").await;
    assert_eq!(registered(&suite, "bob").await, REGISTER);
    for (method, path, body, parts) in expected {
        let spans = traced(&suite, method.clone(), path, &body).await;
        let route = match path.split('?').next().unwrap() {
            "/msgs/ann" => "/msgs/{username}",
            "/fllws/ann" => "/fllws/{username}",
            route => route,
        };
        assert_eq!(tree(&spans), format!("{method} {route}\n{parts}"));
        let statement = spans
            .iter()
            .find(|span| !span.attribute("db.system.name").is_empty());
        let text = statement.unwrap().attribute("db.query.text");
        assert!(text.contains("$1"), "values are not in {text}");
    }
}

#[tokio::test]
async fn an_unsampled_request_without_failure_leaves_no_line_and_no_span() {
    let suite = Observed::start("info").await;
    let id = trace_id();
    let client = Client {
        trace: Some(format!("00-{id}-{EDGE}-00")),
        ..suite.simulator()
    };
    client.get("/msgs").await.is(200);
    let sampled = traced(&suite, Method::GET, "/msgs", &Value::Null).await;
    assert!(suite.sink.spans_of_trace(&id).is_empty());
    let (log, _) = suite.stop().await;
    let with_id = |id: &str| log.lines().filter(|line| line.contains(id)).count();
    assert_eq!(
        with_id(&id),
        0,
        "an unsampled request without failure has no line"
    );
    // One line of the gateway and one line of the message service.
    assert_eq!(with_id(&sampled[0].trace), 2);
    let line = log.lines().find(|line| line.contains(&sampled[0].trace));
    let line: Value = serde_json::from_str(line.unwrap()).unwrap();
    for field in [
        "timestamp",
        "level",
        "message",
        "service",
        "version",
        "trace_id",
        "span_id",
    ] {
        assert!(line[field].is_string(), "{field} in {line}");
    }
    assert_eq!(line["replica"], "7", "{line}");
    assert!(line["seconds"].is_f64(), "{line}");
}

#[tokio::test]
async fn a_debug_line_of_an_unsampled_request_has_the_id_of_the_trace() {
    let suite = Observed::start("debug").await;
    let id = trace_id();
    let client = Client {
        trace: Some(format!("00-{id}-{EDGE}-00")),
        ..suite.simulator()
    };
    client.get("/msgs").await.is(200);
    let (log, sink) = suite.stop().await;
    assert!(sink.spans_of_trace(&id).is_empty());
    let lines: Vec<Value> = log
        .lines()
        .filter_map(|line| serde_json::from_str(line).ok())
        .filter(|line: &Value| line["trace_id"] == id.as_str())
        .collect();
    for message in ["a request came in", "a call came in", "a call was answered"] {
        let line = lines.iter().find(|line| line["message"] == message);
        assert!(line.is_some(), "{message:?} in {lines:?}");
    }
    assert!(lines.iter().all(|line| line["span_id"].is_string()));
}

#[tokio::test]
async fn the_log_filter_does_not_switch_spans_off() {
    let suite = Observed::start("error").await;
    let spans = traced(&suite, Method::GET, "/latest", &Value::Null).await;
    let expected = call_spans(
        "get_latest",
        "user.v1.ApiClientService/GetLatest",
        "api_client.get_latest",
        "SELECT api_client latest",
    );
    assert_eq!(tree(&spans), format!("GET /latest\n{expected}"));
    let (log, _) = suite.stop().await;
    assert!(!log.contains(&spans[0].trace), "{log}");
}
