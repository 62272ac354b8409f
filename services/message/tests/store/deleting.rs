//! Two who delete the same at the same time.

use minitwit_message::operator::store::OperatorStore as _;
use test_database::Engine;
use uuid::Uuid;

use crate::support::post;

#[tokio::test]
async fn whoever_comes_second_does_not_say_that_all_is_gone() {
    let (stores, database) = crate::stores(Engine::Postgres).await;
    let alice = Uuid::now_v7();
    post(&stores.messages, alice).await;

    let second = stores.operators.delete(vec![alice]);
    let more = database.run_behind_delete("message", second).await;
    assert!(
        more.unwrap(),
        "there may be more than the first has deleted"
    );
    assert!(!stores.operators.delete(vec![alice]).await.unwrap());
}
