//! Concurrent requests that share rpcs.

use http::StatusCode;
use minitwit_client::batching::LIMITS;
use minitwit_proto::{
    common::v1::Applied,
    message::v1::{CreateMessageResult, CreateMessagesRequest, CreateMessagesResponse},
    user::v1::{LookupUsersRequest, user_ref::Ref},
};
use serde_json::json;
use tokio::task::JoinHandle;
use tonic::Status;

use crate::{
    fake::account_id,
    setup::{Answer, Setup},
};

/// Number of concurrent requests.
const REQUESTS: usize = 20;

/// Posts a message that contains `text`.
fn start_post(setup: &Setup, text: &str) -> JoinHandle<Answer> {
    setup
        .api
        .start_post("/msgs/roger", json!({ "content": text }))
}

/// Posts messages until each worker of the batcher waits for a held rpc. Later posts wait in the queue of
/// the batcher. Also puts the author into the cache of accounts.
async fn occupy_workers_with_posts(setup: &Setup) -> Vec<JoinHandle<Answer>> {
    let rpc = &setup.message().create_messages;
    rpc.hold();
    let mut posts = Vec::new();
    for worker in 1..=LIMITS.workers {
        posts.push(start_post(setup, "first"));
        let requests = rpc.wait_for_calls(worker).await;
        assert_eq!(texts(&requests[worker - 1]), ["first"]);
    }
    posts
}

fn texts(request: &CreateMessagesRequest) -> Vec<&str> {
    let messages = request.messages.iter();
    messages.map(|message| message.text.as_str()).collect()
}

#[tokio::test]
async fn concurrent_posts_share_one_rpc() {
    let setup = Setup::new().await;
    let rpc = &setup.message().create_messages;
    let mut posts = occupy_workers_with_posts(&setup).await;
    let sent: Vec<String> = (0..REQUESTS).map(|number| number.to_string()).collect();
    posts.extend(sent.iter().map(|text| start_post(&setup, text)));
    setup.wait_until_read().await;
    assert_eq!(rpc.requests().len(), LIMITS.workers);

    rpc.release();
    for post in posts {
        assert_eq!(post.await.unwrap().status, StatusCode::NO_CONTENT);
    }
    let requests = rpc.requests();
    assert_eq!(requests.len(), LIMITS.workers + 1);
    assert_eq!(texts(&requests[LIMITS.workers]), sent);
    let mut ids: Vec<_> = requests
        .iter()
        .flat_map(|request| &request.messages)
        .inspect(|message| assert_eq!(message.author_id, account_id("roger")))
        .map(|message| &message.id)
        .collect();
    ids.sort_unstable();
    ids.dedup();
    assert_eq!(ids.len(), LIMITS.workers + REQUESTS);
}

#[tokio::test]
async fn an_error_of_one_item_fails_only_its_own_request() {
    let setup = Setup::new().await;
    let rpc = &setup.message().create_messages;
    rpc.answer_with(|request| {
        let results = request.messages.iter().map(|message| {
            if message.text == "refused" {
                let status = Status::invalid_argument("the text is refused");
                CreateMessageResult::from(chassis::per_item::error(&status))
            } else {
                Applied {}.into()
            }
        });
        Ok(CreateMessagesResponse {
            results: results.collect(),
        })
    });
    let first = occupy_workers_with_posts(&setup).await;
    let posts = ["a", "refused", "b"].map(|text| start_post(&setup, text));
    setup.wait_until_read().await;
    rpc.release();

    let [a, refused, b] = posts;
    assert_eq!(a.await.unwrap().status, StatusCode::NO_CONTENT);
    assert_eq!(b.await.unwrap().status, StatusCode::NO_CONTENT);
    let refused = refused.await.unwrap();
    assert_eq!(refused.status, StatusCode::BAD_REQUEST);
    assert!(refused.body.contains("the text is refused"), "{refused:?}");
    for post in first {
        assert_eq!(post.await.unwrap().status, StatusCode::NO_CONTENT);
    }
    assert_eq!(
        texts(&rpc.requests()[LIMITS.workers]),
        ["a", "refused", "b"]
    );
}

fn names(request: &LookupUsersRequest) -> Vec<&str> {
    let references = request
        .users
        .iter()
        .map(|user| user.r#ref.as_ref().unwrap());
    let names = references.map(|reference| match reference {
        Ref::Username(name) => name.as_str(),
        Ref::Id(_) => panic!("no id is looked up"),
    });
    names.collect()
}

#[tokio::test]
async fn a_name_is_looked_up_once_for_concurrent_requests() {
    let setup = Setup::new().await;
    let rpc = &setup.user.lookup_users;
    rpc.hold();
    let mut posts = Vec::new();
    for worker in 1..=LIMITS.workers {
        let path = format!("/msgs/other{worker}");
        posts.push(setup.api.start_post(&path, json!({ "content": "first" })));
        rpc.wait_for_calls(worker).await;
    }
    posts.extend((0..REQUESTS).map(|_| start_post(&setup, "second")));
    setup.wait_until_read().await;

    rpc.release();
    for post in posts {
        assert_eq!(post.await.unwrap().status, StatusCode::NO_CONTENT);
    }
    let requests = rpc.requests();
    let names: Vec<_> = requests.iter().map(names).collect();
    assert_eq!(names, [vec!["other1"], vec!["other2"], vec!["roger"]]);

    // The next request finds the name in the cache.
    let post = start_post(&setup, "third").await.unwrap();
    assert_eq!(post.status, StatusCode::NO_CONTENT);
    assert_eq!(rpc.requests().len(), requests.len());
}
