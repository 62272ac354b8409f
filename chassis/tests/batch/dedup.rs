//! Callers that query for the same thing share the next query, never the query in flight.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use chassis::{
    batch::{BatchHandler, Batcher, dedup, fan_out},
    deadline::Deadline,
};
use proptest::prelude::*;
use tokio::{sync::Semaphore, task::JoinHandle};
use tonic::Status;

use crate::support::{ONE_WORKER, one_minute, settle};

/// A database of one value. A query returns the value at its start, and waits for a permit to end.
#[derive(Clone, Debug)]
struct SlowDatabase {
    value: Arc<AtomicUsize>,
    queries: Arc<AtomicUsize>,
    permits: Arc<Semaphore>,
}

impl BatchHandler for SlowDatabase {
    type Item = &'static str;
    type Output = usize;

    async fn run(
        &self,
        items: Vec<&'static str>,
        _: Deadline,
    ) -> Result<Vec<Result<usize, Status>>, Status> {
        let (distinct, indexes) = dedup(items);
        let value = self.value.load(Ordering::SeqCst);
        self.queries.fetch_add(distinct.len(), Ordering::SeqCst);
        self.permits.acquire().await.unwrap().forget();
        let answers = vec![value; distinct.len()];
        Ok(fan_out(&answers, &indexes).into_iter().map(Ok).collect())
    }
}

/// Starts a query, and returns when it is in the queue or in flight.
async fn query(batcher: &Batcher<SlowDatabase>) -> JoinHandle<Result<usize, Status>> {
    let batcher = batcher.clone();
    let call = tokio::spawn(async move { batcher.call("the timeline", one_minute()).await });
    settle().await;
    call
}

#[tokio::test]
async fn a_read_after_a_write_sees_it_though_an_older_query_is_in_flight() {
    let database = SlowDatabase {
        value: Arc::new(AtomicUsize::new(1)),
        queries: Arc::default(),
        permits: Arc::new(Semaphore::new(0)),
    };
    let batcher = Batcher::new("test", ONE_WORKER, database.clone());

    let before = query(&batcher).await;
    assert_eq!(database.queries.load(Ordering::SeqCst), 1);
    // A write is acknowledged while the first query, which cannot see it, is in flight.
    database.value.store(2, Ordering::SeqCst);
    let mut after = Vec::new();
    for _ in 0..50 {
        after.push(query(&batcher).await);
    }
    database.permits.add_permits(100);

    assert_eq!(before.await.unwrap().unwrap(), 1);
    for call in after {
        assert_eq!(call.await.unwrap().unwrap(), 2, "a stale answer was shared");
    }
    let queries = database.queries.load(Ordering::SeqCst);
    assert_eq!(queries, 2, "all later callers share one query");
}

proptest! {
    #[test]
    fn fan_out_restores_the_items_before_dedup(items in prop::collection::vec(0_u8..20, 0..60)) {
        let (distinct, indexes) = dedup(items.clone());
        let mut once = distinct.clone();
        once.sort_unstable();
        once.dedup();
        prop_assert_eq!(once.len(), distinct.len());
        prop_assert_eq!(fan_out(&distinct, &indexes), items);
    }
}
