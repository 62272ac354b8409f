//! Writes that the gateway sends again.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering::Relaxed},
};

use bytes::Bytes;
use chassis::{
    per_item::{self, WriteOutcome},
    stamp,
};
use http::StatusCode;
use minitwit_proto::{
    common::v1::{Applied, Superseded},
    follower::v1::SetFollowsResponse,
    user::v1::SetLatestResponse,
};
use serde_json::json;
use tonic::Status;
use uuid::Uuid;

use crate::{
    fake::{accept_messages, account_id},
    setup::{Options, Setup},
};

/// Stamp of a stored write whose clock is a minute ahead.
fn stamp_ahead() -> Uuid {
    stamp::from_name(stamp::unix_millis() + 60_000, 0)
}

/// Result of a write with `stamp` if a write with `stored` is stored.
fn write(stamp: &Bytes, stored: Uuid) -> Result<Applied, Superseded> {
    let stamp = per_item::id("stamp", stamp).unwrap();
    WriteOutcome::from_stamps(stamp, stored).into()
}

/// Checks that the second of two stamps is greater than the stored stamp, and the first is not.
fn assert_newer(stamps: &[&Bytes], stored: Uuid) {
    let [first, second] = stamps else {
        panic!("two attempts are expected, not {}", stamps.len());
    };
    let stored = per_item::encode_id(stored);
    assert!(**first < stored && stored < **second, "{stamps:?}");
}

#[tokio::test]
async fn a_superseded_follow_is_sent_again_with_a_greater_stamp() {
    let setup = Setup::new().await;
    let stored = stamp_ahead();
    let rpc = &setup.follower.set_follows;
    rpc.answer_with(move |request| {
        let updates = request.updates.iter();
        let results = updates.map(|update| write(&update.stamp, stored).into());
        Ok(SetFollowsResponse {
            results: results.collect(),
        })
    });

    let follow = json!({ "follow": "amy" });
    let answer = setup.api.post("/fllws/roger", &follow).await;
    assert_eq!(answer.status, StatusCode::NO_CONTENT, "{answer:?}");
    let requests = rpc.requests();
    let updates: Vec<_> = requests
        .iter()
        .flat_map(|request| &request.updates)
        .collect();
    for update in &updates {
        assert_eq!(update.follower_id, account_id("roger"));
        assert_eq!(update.followee_id, account_id("amy"));
        assert!(update.following);
    }
    let stamps: Vec<&Bytes> = updates.iter().map(|update| &update.stamp).collect();
    assert_newer(&stamps, stored);
}

#[tokio::test]
async fn a_superseded_latest_is_sent_again_with_a_greater_stamp() {
    let setup = Setup::new().await;
    let stored = stamp_ahead();
    let rpc = &setup.user.set_latest;
    rpc.answer_with(move |request| {
        let updates = request.updates.iter();
        let results = updates.map(|update| write(&update.stamp, stored).into());
        Ok(SetLatestResponse {
            results: results.collect(),
        })
    });

    let post = json!({ "content": "a text" });
    let answer = setup.api.post("/msgs/roger?latest=7", &post).await;
    assert_eq!(answer.status, StatusCode::NO_CONTENT, "{answer:?}");
    let requests = rpc.requests();
    let updates: Vec<_> = requests
        .iter()
        .flat_map(|request| &request.updates)
        .collect();
    for update in &updates {
        assert_eq!((&*update.client, update.latest), ("simulator", 7));
    }
    let stamps: Vec<&Bytes> = updates.iter().map(|update| &update.stamp).collect();
    assert_newer(&stamps, stored);
    assert_eq!(setup.message().create_messages.requests().len(), 1);
}

#[tokio::test]
async fn a_post_to_a_failing_replica_is_sent_to_the_second_replica_under_the_same_key() {
    let setup = Setup::with(Options {
        message_replicas: 2,
        ..Options::default()
    })
    .await;
    // The first call fails at either replica, because the gateway chooses the replica at random.
    let failed = Arc::new(AtomicBool::new(false));
    for replica in &setup.messages {
        let failed = Arc::clone(&failed);
        replica.create_messages.answer_with(move |request| {
            if failed.swap(true, Relaxed) {
                Ok(accept_messages(request))
            } else {
                Err(Status::unavailable("the replica is stopping"))
            }
        });
    }

    let post = json!({ "content": "a text" });
    let answer = setup.api.post("/msgs/roger", &post).await;
    assert_eq!(answer.status, StatusCode::NO_CONTENT, "{answer:?}");
    let [first, second] = &setup.messages[..] else {
        panic!("the message service has two replicas");
    };
    let attempts = first.create_messages.requests();
    assert_eq!(attempts.len(), 1);
    assert_eq!(attempts, second.create_messages.requests());
    let [message] = &attempts[0].messages[..] else {
        panic!("one message is expected: {attempts:?}");
    };
    let key = per_item::id("id", &message.id).unwrap();
    assert_eq!(key.get_version_num(), 7);
}
