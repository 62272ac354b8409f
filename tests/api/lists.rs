//! Messages and follows, and the lists of both.

use minitwit::{Databases, databases};
use serde_json::{Value, json};
use test_database::{Engine, empty_database};

use crate::harness::Running;

#[tokio::test]
async fn a_user_registers_posts_and_follows() {
    let suite = Running::new().await;
    let api = suite.simulator();
    assert!(api.register("Roger Histand").await.is(204).body.is_empty());
    api.register("b").await.is(204);

    let path = "/msgs/Roger%20Histand";
    assert!(
        api.post(path, &json!({"content": "first"}))
            .await
            .is(204)
            .body
            .is_empty()
    );
    api.post(path, &json!({"content": "second"})).await.is(204);
    api.post("/msgs/b", &json!({"content": "third"}))
        .await
        .is(204);
    assert_eq!(api.contents(path).await, ["second", "first"]);
    assert_eq!(api.contents("/msgs").await, ["third", "second", "first"]);
    assert_eq!(api.contents("/msgs?no=2").await, ["third", "second"]);
    let newest = &api.get("/msgs?no=1").await.is(200).json()[0];
    assert_eq!(newest["user"], "b");
    let now = chassis::stamp::unix_millis() / 1000;
    assert!(
        newest["pub_date"].as_u64().unwrap().abs_diff(now) <= 5,
        "{newest}"
    );

    api.post("/fllws/b", &json!({"follow": "Roger Histand"}))
        .await
        .is(204);
    let list = api.get("/fllws/b").await.is(200);
    assert_eq!(list.json(), json!({"follows": ["Roger Histand"]}));
    api.post("/fllws/b", &json!({"unfollow": "Roger Histand"}))
        .await
        .is(204);
    assert_eq!(api.get("/fllws/b").await.json(), json!({"follows": []}));
    suite.stop().await;
}

#[tokio::test]
async fn contents_are_listed_exactly_as_posted() {
    let suite = Running::new().await;
    let api = suite.simulator();
    api.register("a").await.is(204);
    let long = "ø".repeat(5_000);
    let contents = [
        "007",
        "1e5",
        "  spaced ",
        "",
        "😀 åßç \u{202e}rtl",
        "\"'\\<&>\n\t\u{7}",
        long.as_str(),
    ];
    for content in contents {
        api.post("/msgs/a", &json!({"content": content}))
            .await
            .is(204);
    }
    let listed = api.contents("/msgs/a").await;
    assert!(listed.iter().rev().eq(contents.iter()), "{listed:?}");
    suite.stop().await;
}

/// With PostgreSQL, a gateway reads only the new messages of a list that it has cached. Lists of
/// another length are not cached, so a request for such a list reads all its messages.
#[tokio::test]
async fn a_list_that_is_extended_in_the_cache_equals_a_list_that_is_read_completely() {
    let (folder, messages) = (
        tempfile::tempdir().unwrap(),
        empty_database(Engine::Postgres),
    );
    let messages = messages.await;
    let databases = Databases {
        message: messages.url.clone().into(),
        ..databases::in_folder(folder.path()).unwrap()
    };
    let suite = Running::over(databases, Some(folder)).await;
    let api = suite.simulator();
    for name in ["a", "b"] {
        api.register(name).await.is(204);
    }
    for round in 0..6 {
        for (path, content) in [
            ("/msgs/a", format!("{round}: {}", "long ".repeat(500))),
            ("/msgs/b", format!(r#"{round}: {{"content":""#)),
            ("/msgs/a", format!("{round}: \\ \" [] ø")),
        ] {
            api.post(path, &json!({"content": content})).await.is(204);
        }
        for path in ["/msgs", "/msgs/a", "/msgs/b"] {
            for no in [1, 4, 100] {
                let extended = api.get(&format!("{path}?no={no}")).await.is(200).json();
                let complete = format!("{path}?no={}", 1_000 + round);
                let complete: Vec<Value> =
                    serde_json::from_value(api.get(&complete).await.json()).unwrap();
                assert_eq!(
                    extended,
                    json!(complete[..complete.len().min(no)]),
                    "{path} {no}"
                );
            }
        }
    }
    suite.stop().await;
}

#[tokio::test]
async fn repeated_follows_and_unfollows_have_no_further_effect() {
    let suite = Running::new().await;
    let api = suite.simulator();
    for name in ["a", "b"] {
        api.register(name).await.is(204);
    }
    api.post("/fllws/a", &json!({"unfollow": "b"}))
        .await
        .is(204);
    for _ in 0..2 {
        api.post("/fllws/a", &json!({"follow": "b"})).await.is(204);
    }
    assert_eq!(api.get("/fllws/a").await.json(), json!({"follows": ["b"]}));
    api.post("/fllws/a", &json!({"follow": "a", "unfollow": "b"}))
        .await
        .is(204);
    let follows = api.get("/fllws/a").await.json();
    assert_eq!(
        follows["follows"].as_array().unwrap().len(),
        2,
        "follow takes precedence: {follows}"
    );
    assert_eq!(
        api.get("/fllws/a?no=0").await.json(),
        json!({"follows": []})
    );
    api.post("/fllws/a", &json!({})).await.is(400).refused();
    api.post("/fllws/a", &json!({"follow": "nobody"}))
        .await
        .is(404)
        .refused();
    api.post("/fllws/nobody", &json!({"follow": "a"}))
        .await
        .is(404)
        .refused();
    api.get("/fllws/nobody").await.is(404).refused();
    suite.stop().await;
}

#[tokio::test]
async fn any_value_of_no_returns_a_list() {
    let suite = Running::new().await;
    let api = suite.simulator();
    api.register("a").await.is(204);
    for content in ["1", "2"] {
        api.post("/msgs/a", &json!({"content": content}))
            .await
            .is(204);
    }
    let (all, none) = (vec!["2", "1"], Vec::<&str>::new());
    let huge = "9".repeat(40);
    for (no, expected) in [
        ("0", &none),
        ("abc", &all),
        ("", &all),
        ("-1", &all),
        ("10000", &all),
        ("2147483648", &all),
        ("9223372036854775807", &all),
        (&huge, &all),
    ] {
        for path in ["/msgs", "/msgs/a"] {
            assert_eq!(
                &api.contents(&format!("{path}?no={no}")).await,
                expected,
                "{path} {no}"
            );
        }
    }
    suite.stop().await;
}

#[tokio::test]
async fn acknowledged_writes_survive_a_restart() {
    let folder = tempfile::tempdir().unwrap();
    let suite = Running::in_folder(folder.path()).await;
    let api = suite.simulator();
    api.register("a").await.is(204);
    api.post("/msgs/a?latest=3", &json!({"content": "kept"}))
        .await
        .is(204);
    api.post("/fllws/a?latest=4", &json!({"follow": "a"}))
        .await
        .is(204);
    suite.stop().await;

    let suite = Running::in_folder(folder.path()).await;
    let api = suite.simulator();
    assert_eq!(api.latest().await, 4);
    assert_eq!(api.contents("/msgs/a").await, ["kept"]);
    assert_eq!(api.get("/fllws/a").await.json(), json!({"follows": ["a"]}));
    api.register("a").await.is(400);
    suite.stop().await;
}
