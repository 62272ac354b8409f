//! Concurrent deletions of the same messages.

use minitwit_message::deletion::store::DeletionStore as _;
use test_database::Engine;
use uuid::Uuid;

use crate::support::post;

#[tokio::test]
async fn the_second_of_two_concurrent_deletions_reports_that_messages_may_be_left() {
    let (stores, database) = crate::stores(Engine::Postgres).await;
    let alice = Uuid::now_v7();
    post(&stores.messages, alice).await;

    let second = stores.deletions.delete(vec![alice]);
    let more = database.run_behind_delete("message", second).await;
    assert!(more.unwrap(), "the first deletion may have left messages");
    assert!(!stores.deletions.delete(vec![alice]).await.unwrap());
}
