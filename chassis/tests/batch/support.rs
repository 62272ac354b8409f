//! A batch handler that tests block and release, and calls that tests can observe.

use std::{
    future::pending,
    sync::{Arc, Mutex},
    time::Duration,
};

use chassis::{
    batch::{BatchHandler, Batcher, Limits},
    deadline::Deadline,
};
use tokio::{sync::Semaphore, task::JoinHandle};
use tonic::Status;

/// The input of one caller. Its number comes back as the answer.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Item {
    pub(crate) number: usize,
    pub(crate) weight: usize,
    pub(crate) behavior: Behavior,
}

/// Behavior of the handler for an item.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Behavior {
    Answer,
    /// Fails the item.
    FailItem,
    /// Fails the batch.
    FailBatch,
    /// Panics.
    Panic,
    /// Never ends the batch.
    Hang,
    /// Returns no answer for the item.
    OmitAnswer,
}

impl Behavior {
    pub(crate) fn of(self, number: usize) -> Item {
        Item {
            number,
            weight: 1,
            behavior: self,
        }
    }
}

/// A handler that waits for a permit before it ends a batch, and records the batches it was given.
#[derive(Clone, Debug)]
pub(crate) struct GatedHandler {
    permits: Arc<Semaphore>,
    batches: Arc<Mutex<Vec<Vec<Item>>>>,
}

impl GatedHandler {
    /// A handler that blocks every batch until a release.
    pub(crate) fn closed() -> Self {
        Self {
            permits: Arc::new(Semaphore::new(0)),
            batches: Arc::default(),
        }
    }

    /// A handler that blocks no batch.
    pub(crate) fn open() -> Self {
        let handler = Self::closed();
        handler.release_all();
        handler
    }

    /// Lets one blocked batch end.
    pub(crate) fn release_one(&self) {
        self.permits.add_permits(1);
    }

    /// Lets all batches end.
    pub(crate) fn release_all(&self) {
        self.permits.add_permits(Semaphore::MAX_PERMITS / 2);
    }

    /// The items of each batch that has begun.
    pub(crate) fn batches(&self) -> Vec<Vec<Item>> {
        self.batches.lock().unwrap().clone()
    }

    /// The numbers of the items of each batch that has begun.
    pub(crate) fn numbers(&self) -> Vec<Vec<usize>> {
        let number = |item: &Item| item.number;
        let batches = self.batches();
        batches
            .iter()
            .map(|batch| batch.iter().map(number).collect())
            .collect()
    }
}

impl BatchHandler for GatedHandler {
    type Item = Item;
    type Output = usize;

    async fn run(
        &self,
        items: Vec<Item>,
        _: Deadline,
    ) -> Result<Vec<Result<usize, Status>>, Status> {
        self.batches.lock().unwrap().push(items.clone());
        if items.iter().any(|item| item.behavior == Behavior::Hang) {
            pending::<()>().await;
        }
        self.permits.acquire().await.unwrap().forget();
        let mut answers = Vec::new();
        for item in items {
            match item.behavior {
                Behavior::Answer => answers.push(Ok(item.number)),
                Behavior::FailItem => answers.push(Err(Status::not_found(item.number.to_string()))),
                Behavior::FailBatch => return Err(Status::unavailable("the batch failed")),
                Behavior::Panic => panic!("an item with Behavior::Panic"),
                Behavior::Hang | Behavior::OmitAnswer => {}
            }
        }
        Ok(answers)
    }

    fn weight(item: &Item) -> usize {
        item.weight
    }
}

/// One batch at a time, with a queue long enough for every test.
pub(crate) const ONE_WORKER: Limits = Limits {
    workers: 1,
    batch_weight_max: 100,
    queue_max: 100,
};

/// A batcher in front of a closed handler.
pub(crate) fn gated_batcher(limits: Limits) -> (GatedHandler, Batcher<GatedHandler>) {
    let handler = GatedHandler::closed();
    let batcher = Batcher::new("test", limits, handler.clone());
    (handler, batcher)
}

/// A deadline that no passing test reaches.
pub(crate) fn one_minute() -> Deadline {
    Deadline::after(Duration::from_mins(1))
}

pub(crate) type Call = JoinHandle<Result<usize, Status>>;

/// Starts a call, and returns when its item is in the queue or in flight.
pub(crate) async fn call(batcher: &Batcher<GatedHandler>, item: Item) -> Call {
    call_until(batcher, item, one_minute()).await
}

pub(crate) async fn call_until(
    batcher: &Batcher<GatedHandler>,
    item: Item,
    deadline: Deadline,
) -> Call {
    let batcher = batcher.clone();
    let call = tokio::spawn(async move { batcher.call(item, deadline).await });
    settle().await;
    call
}

/// Runs all other tasks until they wait. On the single thread of a test's runtime, each yield polls
/// every other task once.
pub(crate) async fn settle() {
    for _ in 0..16 {
        tokio::task::yield_now().await;
    }
}

/// Waits until the condition holds. Has no limit of its own, because the test runner has one.
pub(crate) async fn until(condition: impl Fn() -> bool) {
    while !condition() {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
}
