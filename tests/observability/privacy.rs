//! Personal data is in no log line, span or metric.

use serde_json::json;

use crate::{harness::person::Person, suite::Observed};

/// Parts of names, addresses, passwords and texts that occur nowhere else.
const NAMES: [&str; 2] = ["zaphodname", "trillianname"];
const MARKS: [&str; 5] = [
    "zaphodname",
    "trillianname",
    "marvinmail",
    "slartipassword",
    "vogontext",
];

#[tokio::test]
async fn no_name_address_password_text_or_cookie_is_in_lines_spans_or_metrics() {
    let suite = Observed::start("debug").await;
    let api = suite.simulator();
    for name in NAMES {
        let body = json!({
            "username": name,
            "email": format!("marvinmail-{name}@example.org"),
            "pwd": "slartipassword-1",
        });
        api.post("/register?latest=1", &body).await.is(204);
        // The data of a refused request must not appear either. The first name is taken, the second
        // request is not valid.
        api.post("/register", &body).await.refused();
        api.post(
            "/register",
            &json!({"username": format!("{name}-2"), "email": "marvinmail", "pwd": "slartipassword"}),
        )
        .await
        .refused();
        let path = format!("/msgs/{name}?latest=2");
        api.post(&path, &json!({"content": "vogontext, first"}))
            .await
            .is(204);
        api.get(&path).await.is(200);
        let long = "vogontext".repeat(2_000);
        api.post(&path, &json!({"content": long})).await.refused();
    }
    api.post("/fllws/zaphodname", &json!({"follow": "trillianname"}))
        .await
        .is(204);
    api.get("/fllws/zaphodname").await.is(200);
    api.get("/msgs/trillianname-unknown").await.refused();

    let mut person = Person::new(suite.pages);
    person.sign_in("zaphodname", "slartipassword-wrong").await;
    person.sign_in("zaphodname", "slartipassword-1").await;
    person.share("vogontext, second").await;
    person.visit("/trillianname").await;
    person.visit("/trillianname/unfollow").await;
    person.visit("/zaphodname-unknown").await;
    let cookies: Vec<String> = person.cookies.values().cloned().collect();
    assert!(!cookies.is_empty(), "a session is a cookie");
    let change = [
        ("password", "slartipassword-1"),
        ("new", "slartipassword-3"),
        ("new2", "slartipassword-3"),
    ];
    person.submit("/-/account/password", &change).await;

    let metrics = suite.metrics().await;
    let (log, sink) = suite.stop().await;
    let spans = format!("{:#?}", sink.spans());
    assert!(log.contains("a request came in"), "debug lines are there");
    assert!(spans.contains("INSERT message"), "spans are there");
    for (place, text) in [("log", log), ("spans", spans), ("metrics", metrics)] {
        let cookies = cookies.iter().map(String::as_str);
        for mark in MARKS.into_iter().chain(cookies) {
            let line = text.lines().find(|line| line.contains(mark));
            assert!(line.is_none(), "{mark:?} in the {place}: {line:?}");
        }
    }
}
