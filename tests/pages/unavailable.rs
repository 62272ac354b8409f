//! Pages while a service is unavailable.

use std::net::SocketAddr;

use http::header;
use minitwit::ServiceAddresses;

use crate::{
    harness::{Running, person::Person, relay::Relay},
    has,
};

#[tokio::test]
async fn without_the_follower_service_pages_show_the_rest() {
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
        &[
            "theirs",
            "Whether you follow this user cannot be loaded right now.",
            "<b>1</b> message",
        ],
    );
    foo.post("/add_message", &[("text", "still here")])
        .await
        .is(302);
    let unavailable = foo.get("/bar/follow").await.is(503);
    assert!(unavailable.headers.contains_key(header::RETRY_AFTER));
    has(
        str::from_utf8(&unavailable.body).unwrap(),
        &["sign out [foo]", "Temporarily unavailable"],
    );
}

#[tokio::test]
async fn without_the_user_service_a_signed_cookie_permits_only_reading() {
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

/// Starts a gateway that reaches the user service through a relay. Returns the relay and the address
/// of the pages.
async fn gateway_behind_a_relay(suite: &Running) -> (Relay, SocketAddr) {
    let relay = Relay::to([suite.services.user]).await;
    let services = ServiceAddresses {
        user: relay.address,
        ..suite.services
    };
    let pages = suite.gateway_before(services).await;
    (relay, pages)
}

#[tokio::test]
async fn pages_of_cached_accounts_work_without_the_user_service() {
    let suite = Running::new().await;
    let (relay, pages) = gateway_behind_a_relay(&suite).await;
    let mut bar = Person::signed_in(pages, "bar").await;
    bar.share("theirs").await;
    let mut foo = Person::signed_in(pages, "foo").await;
    foo.share("mine").await;

    relay.cut();
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
    let mut anonymous = Person::new(pages);
    let refused = anonymous.post("/login", &form).await.is(503);
    assert!(refused.headers.contains_key(header::RETRY_AFTER));
    has(&foo.visit("/logout").await, &["You were logged out"]);
}

#[tokio::test]
async fn only_timelines_with_an_uncached_author_fail_without_the_user_service() {
    let suite = Running::new().await;
    let (relay, pages) = gateway_behind_a_relay(&suite).await;
    let mut foo = Person::signed_in(pages, "foo").await;
    foo.share("mine").await;
    Person::signed_in(suite.pages, "bar")
        .await
        .share("theirs")
        .await;

    relay.cut();
    foo.get("/public").await.is(503);
    has(&foo.visit("/").await, &["mine"]);
    has(&foo.visit("/foo").await, &["mine"]);
}
