//! Callers who want the same thing share the next query, never the one in flight.

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

use crate::support::{ONE_LANE, in_a_minute, settle};

/// A database of one value, whose queries see what was there when they began and take a while.
#[derive(Clone, Debug)]
struct Slow {
    value: Arc<AtomicUsize>,
    queries: Arc<AtomicUsize>,
    permits: Arc<Semaphore>,
}

impl BatchHandler for Slow {
    type Item = &'static str;
    type Output = usize;

    async fn run(
        &self,
        asked: Vec<&'static str>,
        _: Deadline,
    ) -> Result<Vec<Result<usize, Status>>, Status> {
        let (distinct, positions) = dedup(asked);
        let seen = self.value.load(Ordering::SeqCst);
        self.queries.fetch_add(distinct.len(), Ordering::SeqCst);
        self.permits.acquire().await.unwrap().forget();
        let answers = vec![seen; distinct.len()];
        Ok(fan_out(&answers, &positions).into_iter().map(Ok).collect())
    }
}

/// Asks, and returns once the question is in the queue or in flight.
async fn ask(batcher: &Batcher<Slow>) -> JoinHandle<Result<usize, Status>> {
    let batcher = batcher.clone();
    let asked = tokio::spawn(async move { batcher.call("the timeline", in_a_minute()).await });
    settle().await;
    asked
}

#[tokio::test]
async fn who_comes_after_a_write_sees_it_though_an_older_query_is_in_flight() {
    let slow = Slow {
        value: Arc::new(AtomicUsize::new(1)),
        queries: Arc::default(),
        permits: Arc::new(Semaphore::new(0)),
    };
    let batcher = Batcher::new("test", ONE_LANE, slow.clone());

    let before = ask(&batcher).await;
    assert_eq!(slow.queries.load(Ordering::SeqCst), 1);
    // Somebody's write is acknowledged while that query is in flight, which cannot see it.
    slow.value.store(2, Ordering::SeqCst);
    let mut after = Vec::new();
    for _ in 0..50 {
        after.push(ask(&batcher).await);
    }
    slow.permits.add_permits(100);

    assert_eq!(before.await.unwrap().unwrap(), 1);
    for asked in after {
        assert_eq!(
            asked.await.unwrap().unwrap(),
            2,
            "a stale answer was shared"
        );
    }
    let queries = slow.queries.load(Ordering::SeqCst);
    assert_eq!(queries, 2, "all who came later share one query");
}

proptest! {
    #[test]
    fn sharing_is_undone_for_everybody(asked in prop::collection::vec(0_u8..20, 0..60)) {
        let (distinct, positions) = dedup(asked.clone());
        let mut once = distinct.clone();
        once.sort_unstable();
        once.dedup();
        prop_assert_eq!(once.len(), distinct.len());
        prop_assert_eq!(fan_out(&distinct, &positions), asked);
    }
}
