//! The moderator's tool: what it flags is gone with the next request.

#![expect(clippy::unwrap_used, reason = "what a test stands on may fail it")]

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

/// The id that a message's permalink on the pages carries.
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
async fn a_flagged_message_is_gone_and_an_unflagged_one_is_back() {
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
    let said = RefCell::new(Vec::new());
    let tell = |line: &str| said.borrow_mut().push(line.to_owned());

    flag::run(&args, true, &tell).await.unwrap();
    assert_eq!(said.take(), [format!("{id} flagged")]);
    for path in ["/msgs", "/msgs/a"] {
        assert_eq!(api.contents(path).await, ["kept"]);
    }
    flag::run(&args, false, &tell).await.unwrap();
    assert_eq!(api.contents("/msgs").await, ["bad", "kept"]);

    let unknown = FlagArgs {
        ids: vec![Uuid::from_u128(7), id],
        ..args
    };
    said.take();
    let error = flag::run(&unknown, true, &tell)
        .await
        .unwrap_err()
        .to_string();
    assert_eq!(error, "1 of 2 messages could not be changed");
    assert_eq!(
        api.contents("/msgs").await,
        ["kept"],
        "the other one is done all the same"
    );
    suite.stop().await;
}
