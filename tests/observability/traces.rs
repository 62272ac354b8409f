//! The tree of spans of each route of the API.

use http::Method;
use serde_json::{Value, json};
use test_sink::{SeenSpan, tree};
use test_wait::eventually;

use crate::{
    harness::Client,
    suite::{AMPLE, EDGE, Observed, trace_id},
};

/// Sends a request in a trace of its own; answers with its spans.
async fn traced(suite: &Observed, method: Method, path: &str, body: &Value) -> Vec<SeenSpan> {
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
    // The request's own span ends last, but for what nobody waited for.
    eventually("the request's span arrives", AMPLE, async || {
        let spans = suite.sink.trace(&id);
        spans.iter().any(|span| span.parent == EDGE)
    })
    .await;
    suite.sink.trace(&id)
}

/// What every write and most reads do beside: `latest` is stored.
const LATEST: &str = "  batch gateway.set_latest
    minitwit.user.v1.ApiClientService/SetLatest
      attempt
        minitwit.user.v1.ApiClientService/SetLatest
          batch api_client.set_latest
            UPSERT api_client
";

/// One call's way from the gateway to its statement.
fn way(batch: &str, method: &str, inner: &str, statement: &str) -> String {
    format!(
        "  batch gateway.{batch}\n    minitwit.{method}\n      attempt\n        minitwit.{method}\n          \
         batch {inner}\n            {statement}\n"
    )
}

/// A password is hashed before the account is stored.
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
    let follow = way(
        "set_follows",
        "follower.v1.FollowerService/SetFollows",
        "follower.set",
        "INSERT follow",
    );
    let list = way(
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
            way(
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
            way(
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
            way(
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
        assert!(text.contains("$1"), "values are no part of {text}");
    }
}

#[tokio::test]
async fn who_is_not_sampled_leaves_a_line_when_slow_or_failed_and_no_span() {
    let suite = Observed::start("info").await;
    let id = trace_id();
    let client = Client {
        trace: Some(format!("00-{id}-{EDGE}-00")),
        ..suite.simulator()
    };
    client.get("/msgs").await.is(200);
    let sampled = traced(&suite, Method::GET, "/msgs", &Value::Null).await;
    assert!(suite.sink.trace(&id).is_empty());
    let (log, _) = suite.stop().await;
    let with_id = |id: &str| log.lines().filter(|line| line.contains(id)).count();
    assert_eq!(
        with_id(&id),
        0,
        "a good request that nobody samples is quiet"
    );
    // The gateway's line and the message service's.
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
