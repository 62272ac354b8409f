//! Requests that the API rejects.

use bytes::Bytes;
use http::Method;
use serde_json::json;

use crate::harness::Running;

#[tokio::test]
async fn requests_without_credentials_are_rejected_before_any_other_check() {
    let suite = Running::new().await;
    let anonymous = suite.anonymous();
    let forbidden = r#"{"status":403,"error_msg":"You are not authorized to use this resource!"}"#;
    for path in [
        "/msgs?latest=7",
        "/msgs/nobody?latest=7",
        "/fllws/nobody?latest=7",
    ] {
        assert_eq!(anonymous.get(path).await.is(403).body, forbidden);
    }
    for path in ["/msgs/nobody?latest=7", "/fllws/nobody?latest=7"] {
        let answer = anonymous
            .send(Method::POST, path, Bytes::from_static(b"{"))
            .await;
        assert_eq!(answer.is(403).body, forbidden);
    }
    anonymous
        .post("/register?latest=7", &json!({"username": "x"}))
        .await
        .is(400);
    assert_eq!(
        anonymous.get("/latest").await.is(200).body,
        r#"{"latest":-1}"#
    );
    suite.stop().await;
}

#[tokio::test]
async fn invalid_bodies_are_rejected_without_effect() {
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
async fn a_body_that_is_too_large_is_rejected_with_413() {
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
async fn limits_are_exact_to_the_byte() {
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
async fn responses_for_unknown_resources_and_methods_are_json() {
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
