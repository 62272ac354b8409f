//! The value of `latest`.

use bytes::Bytes;
use http::Method;
use serde_json::json;

use crate::harness::Running;

#[tokio::test]
async fn latest_is_the_last_value_sent_even_if_the_request_failed() {
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
    for ignored in ["-1", "", "x", "1.5", "99999999999999999999", "null"] {
        api.get(&format!("/msgs?latest={ignored}")).await.is(200);
        assert_eq!(api.latest().await, 6, "latest={ignored}");
    }
    suite.stop().await;
}
