//! Protection against other sites, against prefetching and against loading of foreign content.

use http::header;
use minitwit_gateway::pages::Avatars;

use crate::{
    harness::{Running, person::Person},
    has,
};

#[tokio::test]
async fn requests_that_change_state_are_rejected_if_another_site_sent_them() {
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
        let mut other_site = foo.clone().with(name, value);
        for path in [
            "/bar/follow",
            "/bar/unfollow",
            "/-/user/@public/follow",
            "/-/user/@public/unfollow",
            "/logout",
        ] {
            other_site.get(path).await.is(403);
        }
        for path in [
            "/add_message",
            "/login",
            "/register",
            "/-/account/password",
            "/-/account/sessions",
            "/-/account/delete",
            "/-/message/x/flag",
            "/-/message/x/unflag",
        ] {
            other_site.post(path, &[("text", "forged")]).await.is(403);
        }
        other_site.get("/public").await.is(200);
    }
    for (name, value) in [("sec-fetch-site", "same-origin"), ("origin", host.as_str())] {
        let mut same_site = foo.clone().with(name, value);
        same_site
            .post("/add_message", &[("text", "mine")])
            .await
            .is(302);
        same_site.get("/bar/follow").await.is(302);
    }
    assert!(!foo.clone().visit("/public").await.contains("forged"));
}

#[tokio::test]
async fn links_that_change_state_cannot_be_prefetched() {
    let suite = Running::new().await;
    Person::signed_in(suite.pages, "bar").await;
    let mut foo = Person::signed_in(suite.pages, "foo").await;
    for (name, value) in [
        ("sec-purpose", "prefetch"),
        ("sec-purpose", "prefetch;prerender"),
        ("purpose", "prefetch"),
    ] {
        let mut prefetch = foo.clone().with(name, value);
        for path in ["/bar/follow", "/bar/unfollow", "/logout"] {
            prefetch.get(path).await.is(403);
        }
        prefetch.get("/public").await.is(200);
    }
    let page = foo.visit("/bar").await;
    has(&page, &["You are not yet following", "sign out [foo]"]);
}

#[tokio::test]
async fn gravatar_provides_avatars_only_if_the_operator_selects_it() {
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
async fn every_response_has_security_headers() {
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
