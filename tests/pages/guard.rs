//! What other sites and browsers may do.

use http::header;
use minitwit_gateway::pages::Avatars;

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
    for (name, value) in [("sec-fetch-site", "same-origin"), ("origin", host.as_str())] {
        let mut here = foo.clone().with(name, value);
        here.post("/add_message", &[("text", "mine")]).await.is(302);
        here.get("/bar/follow").await.is(302);
    }
    assert!(!foo.clone().visit("/public").await.contains("forged"));
}

#[tokio::test]
async fn nothing_is_done_in_advance() {
    let suite = Running::new().await;
    Person::signed_in(suite.pages, "bar").await;
    let mut foo = Person::signed_in(suite.pages, "foo").await;
    for (name, value) in [
        ("sec-purpose", "prefetch"),
        ("sec-purpose", "prefetch;prerender"),
        ("purpose", "prefetch"),
    ] {
        let mut early = foo.clone().with(name, value);
        for path in ["/bar/follow", "/bar/unfollow", "/logout"] {
            early.get(path).await.is(403);
        }
        early.get("/public").await.is(200);
    }
    let page = foo.visit("/bar").await;
    has(&page, &["You are not yet following", "sign out [foo]"]);
}

#[tokio::test]
async fn gravatar_is_asked_for_pictures_only_if_the_operator_wants_it() {
    let suite = Running::new().await;
    Person::signed_in(suite.pages, "foo")
        .await
        .share("hi")
        .await;
    let page = Person::new(suite.pages).visit("/public").await;
    assert!(!page.contains("gravatar") && page.contains("<img src=\"/-/avatar/"));

    let pages = suite
        .gateway_with(|config| config.pages.avatars = Avatars::Gravatar)
        .await;
    let answer = Person::new(pages).get("/public").await.is(200);
    // The MD5 of foo@example.com.
    let address = "https://www.gravatar.com/avatar/b48def645758b95537d4424c84d1a9ff";
    has(
        str::from_utf8(&answer.body).unwrap(),
        &[&format!("<img src=\"{address}?d=identicon&amp;s=48\"")],
    );
    let policy = &answer.headers[header::CONTENT_SECURITY_POLICY];
    has(
        policy.to_str().unwrap(),
        &["img-src 'self' https://www.gravatar.com;"],
    );
}

#[tokio::test]
async fn every_answer_tells_browsers_what_they_may_do() {
    let suite = Running::new().await;
    let mut person = Person::new(suite.pages);
    for path in ["/public", "/nobody", "/static/style.css", "/-/public.atom"] {
        let headers = person.get(path).await.headers;
        assert_eq!(
            headers[header::CONTENT_SECURITY_POLICY],
            "default-src 'none'; style-src 'self'; script-src 'self'; connect-src 'self'; \
             img-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
        );
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
