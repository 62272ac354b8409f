//! Registrations and user names.

use serde_json::json;

use crate::harness::{Running, segment};

#[tokio::test]
async fn registrations_are_validated_in_the_order_and_with_the_texts_of_the_old_system() {
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
async fn a_user_name_may_contain_any_character() {
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
async fn exactly_one_of_many_concurrent_registrations_of_a_name_succeeds() {
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
