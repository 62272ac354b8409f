//! What a client of the simulator's API sees.

mod harness;

use bytes::Bytes;
use harness::{Running, segment};
use http::Method;
use serde_json::json;

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
async fn registrations_are_checked_in_the_old_system_s_order_and_words() {
    let suite = Running::new().await;
    let api = suite.simulator();
    let cases = [
        (json!({}), "You have to enter a username"),
        (json!({"username": ""}), "You have to enter a username"),
        (
            json!({"username": "a"}),
            "You have to enter a valid email address",
        ),
        (
            json!({"username": "a", "email": "x"}),
            "You have to enter a valid email address",
        ),
        (
            json!({"username": "a", "email": "a@b"}),
            "You have to enter a password",
        ),
        (
            json!({"username": "a", "email": "a@b", "pwd": ""}),
            "You have to enter a password",
        ),
    ];
    for (body, message) in cases {
        let answer = api.post("/register", &body).await.is(400);
        assert_eq!(
            answer.json(),
            json!({"status": 400, "error_msg": message}),
            "{body}"
        );
    }
    api.register("a").await.is(204);
    let taken = api.register("a").await.is(400);
    assert_eq!(
        taken.json(),
        json!({"status": 400, "error_msg": "The username is already taken"})
    );
    suite.stop().await;
}

#[tokio::test]
async fn strangers_are_refused_before_anything_else_is_looked_at() {
    let suite = Running::new().await;
    let stranger = suite.stranger();
    let refusal = r#"{"status":403,"error_msg":"You are not authorized to use this resource!"}"#;
    for path in [
        "/msgs?latest=7",
        "/msgs/nobody?latest=7",
        "/fllws/nobody?latest=7",
    ] {
        assert_eq!(stranger.get(path).await.is(403).body, refusal);
    }
    for path in ["/msgs/nobody?latest=7", "/fllws/nobody?latest=7"] {
        let answer = stranger
            .send(Method::POST, path, Bytes::from_static(b"{"))
            .await;
        assert_eq!(answer.is(403).body, refusal);
    }
    stranger
        .post("/register?latest=7", &json!({"username": "x"}))
        .await
        .is(400);
    assert_eq!(
        stranger.get("/latest").await.is(200).body,
        r#"{"latest":-1}"#
    );
    suite.stop().await;
}

#[tokio::test]
async fn latest_is_the_last_one_sent_whatever_became_of_the_request() {
    let suite = Running::new().await;
    let api = suite.simulator();
    assert_eq!(api.latest().await, -1);
    api.get("/msgs?latest=0").await.is(200);
    assert_eq!(api.latest().await, 0);
    api.get("/msgs/nobody?latest=9").await.is(404);
    assert_eq!(api.latest().await, 9);
    api.post("/register?latest=5", &json!({})).await.is(400);
    assert_eq!(api.latest().await, 5);
    api.send(
        Method::POST,
        "/msgs/x?latest=6",
        Bytes::from_static(b"nonsense"),
    )
    .await
    .is(400);
    assert_eq!(api.latest().await, 6);
    for nothing in ["-1", "", "x", "1.5", "99999999999999999999", "null"] {
        api.get(&format!("/msgs?latest={nothing}")).await.is(200);
        assert_eq!(api.latest().await, 6, "latest={nothing}");
    }
    suite.stop().await;
}

#[tokio::test]
async fn what_was_acknowledged_survives_a_restart() {
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

#[tokio::test]
async fn contents_come_back_exactly_as_posted() {
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

#[tokio::test]
async fn follows_are_states_not_events() {
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
        "follow wins: {follows}"
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
async fn any_number_asked_for_gets_a_sane_list() {
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
async fn bad_bodies_are_refused_and_change_nothing() {
    let suite = Running::new().await;
    let api = suite.simulator();
    api.register("a").await.is(204);
    let deep = "[".repeat(2_000);
    let nested = format!(
        "{{\"content\":\"x\",\"more\":{}{}}}",
        "[".repeat(2_000),
        "]".repeat(2_000)
    );
    let too_long = json!({"content": "x".repeat(10_001)}).to_string();
    let bodies = [
        "",
        "nonsense",
        "[]",
        "[\"x\"]",
        "\"x\"",
        "1",
        "null",
        "{",
        "{}",
        r#"{"content":1}"#,
        r#"{"content":null}"#,
        r#"{"content":["x"]}"#,
        r#"{"content":"\ud800"}"#,
        r#"{"content":"a\u0000b"}"#,
        "{\"content\":\"\u{0}\"}",
        r#"{"content":"x"} trailing"#,
        &deep,
        &nested,
        &too_long,
    ];
    for body in bodies {
        let body = Bytes::copy_from_slice(body.as_bytes());
        api.send(Method::POST, "/msgs/a", body.clone())
            .await
            .is(400)
            .refused();
    }
    api.send(
        Method::POST,
        "/msgs/a",
        Bytes::from_static(b"{\"content\":\"\xff\"}"),
    )
    .await
    .is(400);
    for body in [
        "[]",
        r#"{"follow":1}"#,
        r#"{"follow":["a"]}"#,
        r#"{"follow":"a\u0000"}"#,
    ] {
        let body = Bytes::copy_from_slice(body.as_bytes());
        api.send(Method::POST, "/fllws/a", body).await.refused();
    }
    for body in [
        "[]",
        r#"{"username":1}"#,
        r#"{"username":"x\u0000","email":"a@b","pwd":"p"}"#,
    ] {
        let body = Bytes::copy_from_slice(body.as_bytes());
        api.send(Method::POST, "/register", body)
            .await
            .is(400)
            .refused();
    }
    assert!(api.contents("/msgs").await.is_empty());
    assert_eq!(api.get("/fllws/a").await.json(), json!({"follows": []}));
    suite.stop().await;
}

#[tokio::test]
async fn a_body_of_many_megabytes_is_refused_with_413() {
    let suite = Running::new().await;
    let api = suite.simulator();
    api.register("a").await.is(204);
    for bytes in [65 * 1024, 50 * 1024 * 1024] {
        let body = Bytes::from(vec![b' '; bytes]);
        api.send(Method::POST, "/msgs/a", body)
            .await
            .is(413)
            .refused();
    }
    suite.stop().await;
}

#[tokio::test]
async fn limits_hold_to_the_byte() {
    let suite = Running::new().await;
    let api = suite.simulator();
    let register = async |username: String, email: String, pwd: String| {
        let body = json!({"username": username, "email": email, "pwd": pwd});
        api.post("/register", &body).await
    };
    let email = |bytes: usize| format!("{}@x", "e".repeat(bytes - 2));
    register("n".repeat(255), email(320), "p".repeat(1024))
        .await
        .is(204);
    register("n".repeat(256), email(3), "p".into())
        .await
        .is(400)
        .refused();
    register("m".into(), email(321), "p".into())
        .await
        .is(400)
        .refused();
    register("m".into(), email(3), "p".repeat(1025))
        .await
        .is(400)
        .refused();
    let path = format!("/msgs/{}", "n".repeat(255));
    api.post(&path, &json!({"content": "x".repeat(10_000)}))
        .await
        .is(204);
    api.get(&format!("/msgs/{}", "n".repeat(256)))
        .await
        .is(404)
        .refused();
    api.get("/msgs/a%00b").await.is(404).refused();
    suite.stop().await;
}

#[tokio::test]
async fn any_name_can_be_a_user_s() {
    let suite = Running::new().await;
    let api = suite.simulator();
    let names = [
        "a/b", "100%", "😀", "..", "msgs", "latest", "a b", "ø?&#", "public", "%2F",
    ];
    for name in names {
        api.register(name).await.is(204);
        let path = format!("/msgs/{}", segment(name));
        api.post(&path, &json!({"content": name})).await.is(204);
        assert_eq!(api.contents(&path).await, [name]);
        let fllws = format!("/fllws/{}", segment(name));
        api.post(&fllws, &json!({"follow": name})).await.is(204);
        assert_eq!(api.get(&fllws).await.json(), json!({"follows": [name]}));
    }
    suite.stop().await;
}

#[tokio::test]
async fn of_many_registrations_of_one_name_exactly_one_succeeds() {
    let suite = Running::new().await;
    let api = suite.simulator();
    let attempts = (0..8).map(|_| {
        let api = api.clone();
        tokio::spawn(async move { api.register("wanted").await.status.as_u16() })
    });
    let mut statuses = Vec::new();
    for attempt in attempts.collect::<Vec<_>>() {
        statuses.push(attempt.await.unwrap());
    }
    statuses.sort_unstable();
    assert_eq!(statuses, [204, 400, 400, 400, 400, 400, 400, 400]);
    suite.stop().await;
}

#[tokio::test]
async fn unknown_resources_and_methods_are_json_too() {
    let suite = Running::new().await;
    let api = suite.simulator();
    api.get("/nothing").await.is(404).refused();
    api.get("/msgs/a/b").await.is(404).refused();
    api.send(Method::DELETE, "/msgs", Bytes::new())
        .await
        .is(405)
        .refused();
    api.get("/register").await.is(405).refused();
    api.get("/msgs/%FF").await.refused();
    suite.stop().await;
}

#[tokio::test]
async fn the_document_names_every_resource_and_the_page_shows_it() {
    let suite = Running::new().await;
    let stranger = suite.stranger();
    let document = stranger.get("/openapi.json").await.is(200).json();
    let paths: Vec<&String> = document["paths"].as_object().unwrap().keys().collect();
    assert_eq!(
        paths,
        [
            "/fllws/{username}",
            "/latest",
            "/msgs",
            "/msgs/{username}",
            "/register"
        ]
    );
    let page = stranger.get("/docs").await.is(200);
    let page = String::from_utf8(page.body.to_vec()).unwrap();
    for path in paths {
        assert!(page.contains(path.as_str()), "{path}");
    }
    assert!(
        !page.contains("//cdn") && !page.contains("<script"),
        "nothing from elsewhere"
    );
    suite.stop().await;
}
