//! What other sites and browsers may do.

use http::header;

use crate::{
    harness::{Running, person::Person},
    has,
};

#[tokio::test]
async fn other_sites_cannot_act_in_somebody_s_name() {
    let suite = Running::new().await;
    Person::signed_in(suite.pages, "bar").await;
    let foo = Person::signed_in(suite.pages, "foo").await;
    let host = format!("http://{}", suite.pages);

    for (name, value) in [
        ("sec-fetch-site", "cross-site"),
        ("sec-fetch-site", "same-site"),
        ("origin", "http://evil.example"),
        ("origin", "null"),
    ] {
        let mut elsewhere = foo.clone().with(name, value);
        for path in ["/bar/follow", "/bar/unfollow", "/logout"] {
            elsewhere.get(path).await.is(403);
        }
        for path in [
            "/add_message",
            "/login",
            "/register",
            "/-/account/password",
            "/-/account/sessions",
        ] {
            elsewhere.post(path, &[("text", "forged")]).await.is(403);
        }
        elsewhere.get("/public").await.is(200);
    }
    foo.clone()
        .with("sec-purpose", "prefetch")
        .get("/logout")
        .await
        .is(403);
    for (name, value) in [("sec-fetch-site", "same-origin"), ("origin", host.as_str())] {
        let mut here = foo.clone().with(name, value);
        here.post("/add_message", &[("text", "mine")]).await.is(302);
        here.get("/bar/follow").await.is(302);
    }
    assert!(!foo.clone().visit("/public").await.contains("forged"));
}

#[tokio::test]
async fn every_answer_tells_browsers_what_they_may_do() {
    let suite = Running::new().await;
    let mut person = Person::new(suite.pages);
    for path in ["/public", "/nobody", "/static/style.css", "/-/public.atom"] {
        let headers = person.get(path).await.headers;
        let policy = headers[header::CONTENT_SECURITY_POLICY].to_str().unwrap();
        has(
            policy,
            &[
                "default-src 'none'",
                "script-src 'self'",
                "frame-ancestors 'none'",
            ],
        );
        assert!(!policy.contains("unsafe"));
        assert_eq!(headers[header::X_CONTENT_TYPE_OPTIONS], "nosniff");
        assert_eq!(headers[header::REFERRER_POLICY], "same-origin");
    }
    person.register("foo").await;
    let answer = person
        .post("/login", &[("username", "foo"), ("password", "default")])
        .await;
    for cookie in answer.headers.get_all(header::SET_COOKIE) {
        has(
            cookie.to_str().unwrap(),
            &["HttpOnly", "SameSite=Lax", "Path=/"],
        );
    }
    let page = person.visit("/public").await;
    assert!(!page.contains("<style") && !page.contains("style=\"") && !page.contains("onclick"));
}
