//! Deletion of accounts, also while a service is unavailable, and the operator's commands for users.

#![expect(clippy::unwrap_used, reason = "a test may panic")]

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

const TIMEOUT: Duration = Duration::from_secs(30);

fn args(suite: &Running, command: UserCommand) -> UserArgs {
    UserArgs {
        command,
        suite: SuiteArgs {
            suite: suite.services.into(),
        },
    }
}

async fn run(suite: &Running, command: UserCommand) -> Result<String, String> {
    let output = RefCell::new(Vec::new());
    let result = user::run(&args(suite, command), &|line| {
        output.borrow_mut().push(line.to_owned());
    })
    .await;
    result.map_err(|error| format!("{error:#}"))?;
    Ok(output.into_inner().join("\n"))
}

fn export(name: &str) -> UserCommand {
    UserCommand::Export {
        name: name.to_owned(),
    }
}

/// Registers Alice and Bob, who follow each other and have each written a message.
async fn two_friends(suite: &Running) -> [Person; 2] {
    let mut alice = Person::signed_in(suite.pages, "alice").await;
    let mut bob = Person::signed_in(suite.pages, "bob").await;
    alice.share("words of alice").await;
    bob.share("words of bob").await;
    alice.visit("/bob/follow").await;
    bob.visit("/alice/follow").await;
    [alice, bob]
}

/// Whether the API shows no data of Alice.
async fn is_deleted(api: &Client) -> bool {
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
async fn a_user_who_deletes_the_own_account_disappears_from_all_pages() {
    let suite = Running::new().await;
    let [mut alice, mut bob] = two_friends(&suite).await;
    let mut other_session = alice.clone();
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
    assert!(
        page.contains("Your account and all your messages were deleted"),
        "{page}"
    );
    assert!(page.contains("sign in"), "{page}");

    // The gateway that deleted the account shows it immediately, and every other gateway soon.
    let api = suite.simulator();
    assert!(is_deleted(&api).await);
    assert_eq!(alice.get("/alice").await.status, 404);
    let disappeared = async || !text(other, "/alice").await.contains("alice's Timeline");
    eventually("the other gateway shows the deletion", TIMEOUT, disappeared).await;
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

    // All her sessions have ended, and the name cannot be registered again.
    assert!(other_session.visit("/").await.contains("sign in"));
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
    let error = run(&suite, export("alice")).await.unwrap_err();
    assert_eq!(error, "\"alice\": no such user");
    let exported = run(&suite, export("bob")).await.unwrap();
    assert!(!exported.contains("alice"), "{exported}");
    suite.stop().await;
}

#[tokio::test]
async fn a_deletion_that_was_interrupted_is_completed_later() {
    let suite = Running::new().await;
    let [alice, _] = two_friends(&suite).await;
    // The gateway that receives the request cannot reach the message service.
    let mut interrupted = alice.clone();
    interrupted.address = suite.gateway_without_message().await;
    let page = interrupted
        .submit("/-/account/delete", &[("password", "default")])
        .await;
    assert!(!page.contains("Invalid"), "{page}");

    // The suite's own gateway completes the deletion.
    let api = suite.simulator();
    eventually("all of it is gone", TIMEOUT, async || {
        is_deleted(&api).await
    })
    .await;
    suite.stop().await;
}

#[tokio::test]
async fn an_operator_can_delete_an_account_by_name() {
    let suite = Running::new().await;
    two_friends(&suite).await;
    let delete = |name: &str, yes| UserCommand::Delete {
        name: name.to_owned(),
        yes,
    };
    let output = run(&suite, delete("alice", true)).await.unwrap();
    assert_eq!(output, "alice is deleted\nwhat it wrote is gone");
    let api = suite.simulator();
    eventually("the gateway shows the deletion", TIMEOUT, async || {
        is_deleted(&api).await
    })
    .await;

    let again = run(&suite, delete("alice", true)).await.unwrap_err();
    assert_eq!(again, "\"alice\": no such user");
    suite.stop().await;
}

#[tokio::test]
async fn a_reset_password_is_valid_for_a_single_sign_in() {
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
    assert!(page.contains("Choose a new password now"), "{page}");
    assert!(page.contains("<h2>Your Account</h2>"), "{page}");
    let mut second = Person::new(suite.pages);
    assert!(
        second
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
async fn an_export_contains_all_data_of_a_user() {
    let suite = Running::new().await;
    two_friends(&suite).await;
    let mut attacker = Person::new(suite.pages);
    attacker.sign_in("alice", "guess").await;

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
        "the export contains no password hash"
    );
    suite.stop().await;
}
