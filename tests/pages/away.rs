//! What the pages are while a service is away.

use std::net::SocketAddr;

use http::header;
use minitwit::ServiceListen;

use crate::{
    harness::{Running, person::Person, relay::Relay},
    has,
};

#[tokio::test]
async fn without_the_follower_service_what_can_be_shown_is_shown() {
    let suite = Running::new().await;
    let mut foo = Person::signed_in(suite.pages, "foo").await;
    foo.share("mine").await;
    Person::signed_in(suite.pages, "bar")
        .await
        .share("theirs")
        .await;
    foo.visit("/bar/follow").await;

    foo.address = suite.gateway_without_follower().await;
    let home = foo.visit("/").await;
    has(&home, &["class=\"notice\"", "mine", "sign out [foo]"]);
    assert!(!home.contains("theirs"));
    has(&foo.visit("/public").await, &["mine", "theirs"]);
    has(
        &foo.visit("/bar").await,
        &["theirs", "cannot be told right now", "<b>1</b> message"],
    );
    foo.post("/add_message", &[("text", "still here")])
        .await
        .is(302);
    let away = foo.get("/bar/follow").await.is(503);
    assert!(away.headers.contains_key(header::RETRY_AFTER));
    has(
        str::from_utf8(&away.body).unwrap(),
        &["sign out [foo]", "Back in a moment"],
    );
}

#[tokio::test]
async fn without_the_user_service_a_signed_cookie_is_good_for_reading_alone() {
    let suite = Running::new().await;
    let mut foo = Person::signed_in(suite.pages, "foo").await;

    foo.address = suite.gateway_without_user().await;
    has(
        &foo.visit("/").await,
        &["sign out [foo]", "There's no message so far."],
    );
    foo.post("/add_message", &[("text", "no")]).await.is(503);
    foo.get("/bar").await.is(503);
    let mut forger = Person::new(foo.address);
    forger
        .cookies
        .insert("session".to_owned(), "AAAA.AAAA".to_owned());
    forger.get("/-/account").await.is(401);
}

/// A gateway whose wire to the user service can be cut, and where its pages are.
async fn gateway_behind_a_wire(suite: &Running) -> (Relay, SocketAddr) {
    let wire = Relay::to([suite.services.user]).await;
    let services = ServiceListen {
        user: wire.address,
        ..suite.services
    };
    let pages = suite.gateway_before(services).await;
    (wire, pages)
}

#[tokio::test]
async fn who_is_known_can_be_read_after_the_user_service_has_gone() {
    let suite = Running::new().await;
    let (wire, pages) = gateway_behind_a_wire(&suite).await;
    let mut bar = Person::signed_in(pages, "bar").await;
    bar.share("theirs").await;
    let mut foo = Person::signed_in(pages, "foo").await;
    foo.share("mine").await;

    wire.cut();
    let public = foo.visit("/public").await;
    has(&public, &["theirs", "mine", "sign out [foo]"]);
    has(&foo.visit("/").await, &["mine", "What's on your mind foo?"]);
    has(
        &foo.visit("/bar").await,
        &["theirs", "You are not yet following this user."],
    );
    has(&Person::new(pages).visit("/foo").await, &["mine"]);
    for path in ["/bar/follow", "/nobody"] {
        foo.get(path).await.is(503);
    }
    let form = [("text", "no")];
    foo.post("/add_message", &form).await.is(503);
    let form = [("username", "bar"), ("password", "default")];
    let mut stranger = Person::new(pages);
    let refused = stranger.post("/login", &form).await.is(503);
    assert!(refused.headers.contains_key(header::RETRY_AFTER));
    has(&foo.visit("/logout").await, &["You were logged out"]);
}

/// Only what somebody wrote whom this gateway has never met cannot be shown.
#[tokio::test]
async fn an_author_nobody_knows_concerns_only_the_lists_that_hold_her() {
    let suite = Running::new().await;
    let (wire, pages) = gateway_behind_a_wire(&suite).await;
    let mut foo = Person::signed_in(pages, "foo").await;
    foo.share("mine").await;
    Person::signed_in(suite.pages, "bar")
        .await
        .share("theirs")
        .await;

    wire.cut();
    foo.get("/public").await.is(503);
    has(&foo.visit("/").await, &["mine"]);
    has(&foo.visit("/foo").await, &["mine"]);
}
