//! The moderator's command. A flagged message is hidden from the next request on.

#![expect(clippy::unwrap_used, reason = "a test may panic")]

mod harness;

use std::cell::RefCell;

use harness::Running;
use http::Method;
use minitwit::{
    address::SuiteArgs,
    flag::{self, FlagArgs},
};
use serde_json::json;
use uuid::Uuid;

/// The id of the newest message, taken from its permalink on the page.
async fn id_of_newest(suite: &Running) -> Uuid {
    let mut pages = suite.anonymous();
    pages.address = suite.pages;
    pages.checks_contract = false;
    let page = pages
        .send(Method::GET, "/public", bytes::Bytes::new())
        .await
        .is(200);
    let page = String::from_utf8(page.body.to_vec()).unwrap();
    let (_, rest) = page.split_once("/-/message/").expect("a permalink");
    rest[..36].parse().unwrap()
}

#[tokio::test]
async fn a_flagged_message_is_hidden_and_an_unflagged_one_is_shown_again() {
    let suite = Running::new().await;
    let api = suite.simulator();
    api.register("a").await.is(204);
    for content in ["kept", "bad"] {
        api.post("/msgs/a", &json!({"content": content}))
            .await
            .is(204);
    }
    let id = id_of_newest(&suite).await;
    let args = FlagArgs {
        ids: vec![id],
        moderator: "tester".to_owned(),
        suite: SuiteArgs {
            suite: suite.services.into(),
        },
    };
    let output = RefCell::new(Vec::new());
    let print = |line: &str| output.borrow_mut().push(line.to_owned());

    flag::run(&args, true, &print).await.unwrap();
    assert_eq!(output.take(), [format!("{id} flagged")]);
    for path in ["/msgs", "/msgs/a"] {
        assert_eq!(api.contents(path).await, ["kept"]);
    }
    flag::run(&args, false, &print).await.unwrap();
    assert_eq!(api.contents("/msgs").await, ["bad", "kept"]);

    let unknown = FlagArgs {
        ids: vec![Uuid::from_u128(7), id],
        ..args
    };
    output.take();
    let error = flag::run(&unknown, true, &print)
        .await
        .unwrap_err()
        .to_string();
    assert_eq!(error, "1 of 2 messages could not be changed");
    assert_eq!(
        api.contents("/msgs").await,
        ["kept"],
        "the known message is flagged despite the unknown id"
    );
    suite.stop().await;
}
