//! Snapshots of the HTML of every page.
//!
//! After an intended change, `INSTA_UPDATE=always cargo nextest run --test pages snapshot` writes new
//! snapshots. Read them in the diff.

use std::net::SocketAddr;

use http::StatusCode;
use minitwit::ServiceAddresses;
use minitwit_proto::message::v1::message_service_server;
use serde_json::json;
use tokio::net::TcpListener;
use tonic::transport::{Server, server::TcpIncoming};

use crate::{
    between,
    harness::{Answer, Running, person::Person},
};

/// Patterns of values that differ from run to run, and their replacements.
const REDACTED: [(&str, &str); 7] = [
    (r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", "[id]"),
    (r"\d{4}-\d\d-\d\d @ \d\d:\d\d", "[minute]"),
    (r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d UTC", "[second]"),
    (r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", "[instant]"),
    (r"\?v=[0-9a-f]{12}", "?v=[version]"),
    (r"127\.0\.0\.1:\d+", "[host]"),
    (r"in \d+ minutes?", "in [n] minutes"),
];

/// Compares a page with its snapshot.
#[track_caller]
fn matches(name: &str, page: &str) {
    insta::with_settings!({
        filters => REDACTED,
        omit_expression => true,
        prepend_module_to_snapshot => false,
    }, {
        insta::assert_snapshot!(name, page);
    });
}

/// Compares an error page with its snapshot.
#[track_caller]
fn fails(name: &str, answer: &Answer, status: u16) {
    let page = str::from_utf8(&answer.body).unwrap();
    assert_eq!(
        answer.status,
        StatusCode::from_u16(status).unwrap(),
        "{page}"
    );
    matches(name, page);
}

#[tokio::test]
async fn timelines_match_their_snapshots() {
    let suite = Running::new().await;
    let (mut ada, mut bob) = (Person::new(suite.pages), Person::new(suite.pages));
    let mut anonymous = Person::new(suite.pages);
    matches("public-empty", &anonymous.visit("/public").await);
    ada.register("Ada Lindqvist").await;
    matches("home-empty", &ada.sign_in("Ada Lindqvist", "default").await);
    bob.register("bob").await;
    bob.sign_in("bob", "default").await;

    matches("home-shared", &ada.share("Good morning & <welcome>.").await);
    matches("public", &anonymous.visit("/public").await);
    matches("public-signed-in", &bob.visit("/public").await);
    let (path, home) = ("/Ada%20Lindqvist", "/");
    matches("person", &anonymous.visit(path).await);
    matches("person-myself", &ada.visit(path).await);
    matches("person-apart", &bob.visit(path).await);
    matches(
        "person-followed",
        &bob.visit(&format!("{path}/follow")).await,
    );
    matches("home-following", &bob.visit(home).await);
    matches(
        "followers",
        &anonymous.visit(&format!("{path}/followers")).await,
    );
    matches(
        "followers-signed-in",
        &bob.visit(&format!("{path}/followers")).await,
    );
    matches(
        "following-empty",
        &ada.visit(&format!("{path}/following")).await,
    );
    matches(
        "person-unfollowed",
        &bob.visit(&format!("{path}/unfollow")).await,
    );
    let public = anonymous.visit("/public").await;
    let message = between(&public, "href=\"/-/message/", "\"")[0];
    let message = format!("/-/message/{message}");
    matches("message", &anonymous.visit(&message).await);
    matches("message-signed-in", &bob.visit(&message).await);
    matches("feed-public", &anonymous.visit("/-/public.atom").await);
    matches(
        "feed-person",
        &anonymous.visit(&format!("{path}/atom")).await,
    );
}

#[tokio::test]
async fn timelines_with_a_second_page_match_their_snapshots() {
    let suite = Running::new().await;
    let simulator = suite.simulator();
    simulator.register("bob").await.is(204);
    let long = "A long one.\n".repeat(13);
    for number in 0..31 {
        let content = if number == 0 {
            long.clone()
        } else {
            format!("number {number}")
        };
        let body = json!({ "content": content });
        simulator.post("/msgs/bob", &body).await.is(204);
    }
    let mut anonymous = Person::new(suite.pages);
    let newest = anonymous.visit("/public").await;
    matches("public-newest", &newest);
    let older = between(&newest, "rel=\"next\" href=\"", "\"")[0];
    matches("public-older", &anonymous.visit(older).await);
}

#[tokio::test]
async fn forms_match_their_snapshots() {
    let suite = Running::new().await;
    let mut foo = Person::new(suite.pages);
    matches("login", &foo.visit("/login").await);
    matches("login-refused", &foo.sign_in("<foo>", "default").await);
    matches("register", &foo.visit("/register").await);
    matches("login-registered", &foo.register("foo").await);
    matches("register-refused", &foo.register("foo").await);
    foo.sign_in("foo", "default").await;
    foo.visit("/").await;
    matches("account", &foo.visit("/-/account").await);
    let fields = [("password", "wrong"), ("new", "better"), ("new2", "better")];
    let refused = foo.submit("/-/account/password", &fields).await;
    matches("account-refused", &refused);
    let fields = [
        ("password", "default"),
        ("new", "better"),
        ("new2", "better"),
    ];
    let changed = foo.submit("/-/account/password", &fields).await;
    matches("account-changed", &changed);
    matches("public-signed-out", &foo.visit("/logout").await);
}

#[tokio::test]
async fn client_errors_match_their_snapshots() {
    let suite = Running::new().await;
    let mut foo = Person::signed_in(suite.pages, "foo").await;
    foo.visit("/").await;
    let mut anonymous = Person::new(suite.pages);
    fails("401", &anonymous.get("/-/account").await, 401);
    fails("400-signed-in", &foo.post("/add_message", &[]).await, 400);
    for (suffix, person) in [("", &mut anonymous), ("-signed-in", &mut foo)] {
        let name = |status: &str| format!("{status}{suffix}");
        let mut other_site = person.clone().with("sec-fetch-site", "cross-site");
        fails(&name("403"), &other_site.get("/logout").await, 403);
        fails(&name("404"), &person.get("/nobody").await, 404);
        fails(&name("405"), &person.post("/public", &[]).await, 405);
    }
    let wrong = [("username", "foo"), ("password", "guess")];
    let new = [("password", "guess"), ("new", "a"), ("new2", "a")];
    for _ in 0..10 {
        anonymous.post("/login", &wrong).await.is(200);
    }
    fails("429", &anonymous.post("/login", &wrong).await, 429);
    fails(
        "429-signed-in",
        &foo.post("/-/account/password", &new).await,
        429,
    );
}

/// Starts a server that reports to be the message service but implements none of its calls.
async fn impostor() -> SocketAddr {
    let (reporter, health) = tonic_health::server::health_reporter();
    let serving = tonic_health::ServingStatus::Serving;
    reporter
        .set_service_status(message_service_server::SERVICE_NAME, serving)
        .await;
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let server = Server::builder().add_service(health);
    tokio::spawn(server.serve_with_incoming(TcpIncoming::from(listener)));
    address
}

#[tokio::test]
async fn server_errors_match_their_snapshots() {
    let suite = Running::new().await;
    let mut foo = Person::signed_in(suite.pages, "foo").await;
    foo.visit("/").await;
    let mut anonymous = Person::new(suite.pages);

    let services = ServiceAddresses {
        message: impostor().await,
        ..suite.services
    };
    let broken = suite.gateway_before(services).await;
    (foo.address, anonymous.address) = (broken, broken);
    fails("500", &anonymous.get("/public").await, 500);
    fails("500-signed-in", &foo.get("/").await, 500);

    let unavailable = suite.gateway_without_user().await;
    (foo.address, anonymous.address) = (unavailable, unavailable);
    fails("503", &anonymous.get("/foo").await, 503);
    fails("503-signed-in", &foo.get("/foo").await, 503);
    let form = [("text", "hello")];
    fails("503-form", &foo.post("/add_message", &form).await, 503);

    foo.address = suite.gateway_without_follower().await;
    matches("home-without-follows", &foo.visit("/").await);
}
