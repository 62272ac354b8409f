//! Work that the tests hold and let go, and callers that they can watch.

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

/// What one caller hands in; its number comes back as its answer.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Item {
    pub(crate) number: usize,
    pub(crate) weight: usize,
    pub(crate) manner: Manner,
}

/// What the work does on meeting an item.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Manner {
    Answer,
    /// Fails the item.
    Refuse,
    /// Fails the batch.
    Fail,
    Panic,
    /// Never ends.
    Stick,
    /// Leaves an answer out.
    Forget,
}

impl Manner {
    pub(crate) fn of(self, number: usize) -> Item {
        Item {
            number,
            weight: 1,
            manner: self,
        }
    }
}

/// Work that waits for a permit before it ends a batch, and remembers what it was given.
#[derive(Clone, Debug)]
pub(crate) struct Gate {
    permits: Arc<Semaphore>,
    batches: Arc<Mutex<Vec<Vec<Item>>>>,
}

impl Gate {
    pub(crate) fn closed() -> Self {
        Self {
            permits: Arc::new(Semaphore::new(0)),
            batches: Arc::default(),
        }
    }

    pub(crate) fn open() -> Self {
        let gate = Self::closed();
        gate.let_all_pass();
        gate
    }

    /// Lets one batch end.
    pub(crate) fn let_one_pass(&self) {
        self.permits.add_permits(1);
    }

    pub(crate) fn let_all_pass(&self) {
        self.permits.add_permits(Semaphore::MAX_PERMITS / 2);
    }

    /// The batches that were begun, as their items.
    pub(crate) fn batches(&self) -> Vec<Vec<Item>> {
        self.batches.lock().unwrap().clone()
    }

    /// The batches that were begun, as the numbers of their items.
    pub(crate) fn numbers(&self) -> Vec<Vec<usize>> {
        let number = |item: &Item| item.number;
        let batches = self.batches();
        batches
            .iter()
            .map(|batch| batch.iter().map(number).collect())
            .collect()
    }
}

impl BatchHandler for Gate {
    type Item = Item;
    type Output = usize;

    async fn run(
        &self,
        items: Vec<Item>,
        _: Deadline,
    ) -> Result<Vec<Result<usize, Status>>, Status> {
        self.batches.lock().unwrap().push(items.clone());
        if items.iter().any(|item| item.manner == Manner::Stick) {
            pending::<()>().await;
        }
        self.permits.acquire().await.unwrap().forget();
        let mut answers = Vec::new();
        for item in items {
            match item.manner {
                Manner::Answer => answers.push(Ok(item.number)),
                Manner::Refuse => answers.push(Err(Status::not_found(item.number.to_string()))),
                Manner::Fail => return Err(Status::unavailable("the batch failed")),
                Manner::Panic => panic!("the work was asked to panic"),
                Manner::Stick | Manner::Forget => {}
            }
        }
        Ok(answers)
    }

    fn weight(item: &Item) -> usize {
        item.weight
    }
}

/// One batch at a time, with room for everybody.
pub(crate) const ONE_LANE: Limits = Limits {
    workers: 1,
    batch_weight_max: 100,
    queue_max: 100,
};

/// A batcher before a closed gate.
pub(crate) fn gated(limits: Limits) -> (Gate, Batcher<Gate>) {
    let gate = Gate::closed();
    let batcher = Batcher::new("test", limits, gate.clone());
    (gate, batcher)
}

pub(crate) fn in_a_minute() -> Deadline {
    Deadline::after(Duration::from_mins(1))
}

pub(crate) type Call = JoinHandle<Result<usize, Status>>;

/// Calls, and returns once the item is in the queue or in flight.
pub(crate) async fn call(batcher: &Batcher<Gate>, item: Item) -> Call {
    call_until(batcher, item, in_a_minute()).await
}

pub(crate) async fn call_until(batcher: &Batcher<Gate>, item: Item, deadline: Deadline) -> Call {
    let batcher = batcher.clone();
    let call = tokio::spawn(async move { batcher.call(item, deadline).await });
    settle().await;
    call
}

/// Lets everything that can go on go on: on the one thread of a test's runtime each yield gives
/// every other task a turn.
pub(crate) async fn settle() {
    for _ in 0..16 {
        tokio::task::yield_now().await;
    }
}

/// Waits until the condition holds; for ever, so that the test's own time-out tells.
pub(crate) async fn until(condition: impl Fn() -> bool) {
    while !condition() {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
}
