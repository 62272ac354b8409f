//! Two who delete the same at the same time.

use std::time::Duration;

use chassis::testing::{Engine, eventually};
use minitwit_message::operator::store::OperatorStore as _;
use sqlx::{Connection as _, Executor as _, PgConnection};
use uuid::Uuid;

use crate::support::post;

#[tokio::test]
async fn whoever_comes_second_does_not_say_that_all_is_gone() {
    const WAITING: &str = "SELECT EXISTS (SELECT FROM pg_stat_activity
        WHERE datname = current_database() AND wait_event_type = 'Lock')";
    let (stores, database) = crate::stores(Engine::Postgres).await;
    let alice = Uuid::now_v7();
    post(&stores.messages, alice).await;
    let mut first = PgConnection::connect(&database.url).await.unwrap();
    first.execute("BEGIN").await.unwrap();
    first.execute("DELETE FROM message").await.unwrap();

    let second = stores.operators.delete(vec![alice]);
    let first_ends = async {
        let mut watcher = PgConnection::connect(&database.url).await.unwrap();
        eventually("the second waits", Duration::from_secs(8), async || {
            let waiting: bool = sqlx::query_scalar(WAITING)
                .fetch_one(&mut watcher)
                .await
                .unwrap();
            waiting
        })
        .await;
        first.execute("COMMIT").await.unwrap();
    };
    let (more, ()) = tokio::join!(second, first_ends);
    assert!(
        more.unwrap(),
        "there may be more than the first has deleted"
    );
    assert!(!stores.operators.delete(vec![alice]).await.unwrap());
}
