//! People who go: nowhere to be seen, whatever was away while they went.

#![expect(clippy::unwrap_used, reason = "what a test stands on may fail it")]

mod harness;

use std::{cell::RefCell, time::Duration};

use bytes::Bytes;
use harness::{Client, Running, person::Person};
use http::Method;
use minitwit::{
    address::SuiteArgs,
    user::{self, UserArgs, UserCommand},
};
use serde_json::json;
use test_wait::eventually;

const PATIENCE: Duration = Duration::from_secs(30);

fn args(suite: &Running, command: UserCommand) -> UserArgs {
    UserArgs {
        command,
        suite: SuiteArgs {
            suite: suite.services.into(),
        },
    }
}

async fn run(suite: &Running, command: UserCommand) -> Result<String, String> {
    let said = RefCell::new(Vec::new());
    let ran = user::run(&args(suite, command), &|line| {
        said.borrow_mut().push(line.to_owned());
    })
    .await;
    ran.map_err(|error| format!("{error:#}"))?;
    Ok(said.into_inner().join("\n"))
}

fn export(name: &str) -> UserCommand {
    UserCommand::Export {
        name: name.to_owned(),
    }
}

/// Alice and Bob, who follow each other and have each written something.
async fn two_friends(suite: &Running) -> [Person; 2] {
    let mut alice = Person::signed_in(suite.pages, "alice").await;
    let mut bob = Person::signed_in(suite.pages, "bob").await;
    alice.share("words of alice").await;
    bob.share("words of bob").await;
    alice.visit("/bob/follow").await;
    bob.visit("/alice/follow").await;
    [alice, bob]
}

/// Whether anything of Alice can be found by way of the API.
async fn is_gone(api: &Client) -> bool {
    let follows = api.get("/fllws/bob").await.is(200).json();
    api.get("/msgs/alice").await.status == 404
        && follows["follows"] == json!([])
        && api.contents("/msgs").await == ["words of bob"]
}

async fn text(pages: std::net::SocketAddr, path: &str) -> String {
    let client = Client {
        address: pages,
        authorization: None,
        trace: None,
        checks_contract: false,
    };
    let answer = client.send(Method::GET, path, Bytes::new()).await;
    String::from_utf8(answer.body.to_vec()).unwrap()
}

#[tokio::test]
async fn whoever_deletes_the_own_account_is_nowhere_any_more() {
    let suite = Running::new().await;
    let [mut alice, mut bob] = two_friends(&suite).await;
    let mut elsewhere = alice.clone();
    let other = suite.another_gateway().await;
    assert!(text(other, "/alice").await.contains("words of alice"));

    let refused = alice
        .submit("/-/account/delete", &[("password", "wrong")])
        .await;
    assert!(
        refused.contains("<strong>Error:</strong> Invalid password"),
        "{refused}"
    );
    let page = alice
        .submit("/-/account/delete", &[("password", "default")])
        .await;
    assert!(page.contains("Your account was deleted"), "{page}");
    assert!(page.contains("sign in"), "{page}");

    // At once where she was, and within moments at every other gateway.
    let api = suite.simulator();
    assert!(is_gone(&api).await);
    assert_eq!(alice.get("/alice").await.status, 404);
    let forgotten = async || !text(other, "/alice").await.contains("alice's Timeline");
    eventually("the other gateway lets go", PATIENCE, forgotten).await;
    for path in [
        "/public",
        "/-/public.atom",
        "/bob/followers",
        "/bob/following",
    ] {
        for address in [suite.pages, other] {
            let page = text(address, path).await;
            assert!(!page.contains("alice"), "{path}: {page}");
        }
    }
    let timeline = bob.visit("/").await;
    assert!(!timeline.contains("alice"), "{timeline}");

    // No session of hers holds, and nobody can be her again.
    assert!(elsewhere.visit("/").await.contains("sign in"));
    let mut again = Person::new(suite.pages);
    assert!(
        again
            .sign_in("alice", "default")
            .await
            .contains("Invalid username")
    );
    assert!(
        again
            .register("alice")
            .await
            .contains("The username is already taken")
    );
    let nobody = run(&suite, export("alice")).await.unwrap_err();
    assert_eq!(nobody, "\"alice\": no such user");
    let kept = run(&suite, export("bob")).await.unwrap();
    assert!(!kept.contains("alice"), "{kept}");
    suite.stop().await;
}

#[tokio::test]
async fn what_could_not_be_deleted_at_once_is_deleted_as_soon_as_it_can() {
    let suite = Running::new().await;
    let [alice, _] = two_friends(&suite).await;
    // At the gateway where she asks, one service after the other is away.
    let mut halfway = alice.clone();
    halfway.address = suite.gateway_without_message().await;
    let page = halfway
        .submit("/-/account/delete", &[("password", "default")])
        .await;
    assert!(!page.contains("Invalid"), "{page}");

    // The suite's own gateway goes on where that one had to stop.
    let api = suite.simulator();
    eventually("all of it is gone", PATIENCE, async || is_gone(&api).await).await;
    suite.stop().await;
}

#[tokio::test]
async fn an_operator_deletes_an_account_by_its_name() {
    let suite = Running::new().await;
    two_friends(&suite).await;
    let delete = |name: &str, yes| UserCommand::Delete {
        name: name.to_owned(),
        yes,
    };
    let said = run(&suite, delete("alice", true)).await.unwrap();
    assert_eq!(said, "alice is deleted\nwhat it wrote is gone");
    let api = suite.simulator();
    eventually("the gateway lets go", PATIENCE, async || {
        is_gone(&api).await
    })
    .await;

    let again = run(&suite, delete("alice", true)).await.unwrap_err();
    assert_eq!(again, "\"alice\": no such user");
    suite.stop().await;
}

#[tokio::test]
async fn a_forgotten_password_is_replaced_by_one_for_a_single_sign_in() {
    let suite = Running::new().await;
    let mut alice = Person::signed_in(suite.pages, "alice").await;
    let reset = UserCommand::ResetPassword {
        name: "alice".to_owned(),
    };
    let password = run(&suite, reset).await.unwrap();
    assert!(
        alice.visit("/").await.contains("sign in"),
        "every session has ended"
    );

    let mut again = Person::new(suite.pages);
    assert!(
        again
            .sign_in("alice", "default")
            .await
            .contains("Invalid password")
    );
    let page = again.sign_in("alice", &password).await;
    assert!(page.contains("choose a new one"), "{page}");
    assert!(page.contains("<h2>Your Account</h2>"), "{page}");
    let mut thief = Person::new(suite.pages);
    assert!(
        thief
            .sign_in("alice", &password)
            .await
            .contains("Invalid password")
    );

    let fields = [
        ("password", password.as_str()),
        ("new", "mine"),
        ("new2", "mine"),
    ];
    let page = again.submit("/-/account/password", &fields).await;
    assert!(page.contains("Your password was changed"), "{page}");
    let mut later = Person::new(suite.pages);
    assert!(
        later
            .sign_in("alice", "mine")
            .await
            .contains("You were logged in")
    );
    suite.stop().await;
}

#[tokio::test]
async fn an_export_holds_everything_that_is_kept() {
    let suite = Running::new().await;
    two_friends(&suite).await;
    let mut stranger = Person::new(suite.pages);
    stranger.sign_in("alice", "guess").await;

    let kept = run(&suite, export("alice")).await.unwrap();
    let kept: serde_json::Value = serde_json::from_str(&kept).unwrap();
    assert_eq!(kept["name"], "alice");
    assert_eq!(kept["email"], "alice@example.com");
    assert_eq!(kept["password_format"], "argon2id");
    assert_eq!(kept["messages"][0]["text"], "words of alice");
    assert_eq!(kept["follows"][0]["name"], "bob");
    assert_eq!(kept["followers"][0]["following"], true);
    assert_eq!(kept["sign_in_failures"][0]["address"], "127.0.0.1");
    assert!(
        !kept.to_string().contains("$argon2"),
        "no hash leaves the service"
    );
    suite.stop().await;
}
