//! Natural batching: many callers, one round trip.
//!
//! A caller never waits for a timer. It waits at most for the calls in flight, and for those who come
//! the very moment that its batch sets out; all who arrived meanwhile form the next batch. Alone, a
//! caller goes straight through; under load the cost of a round trip, a statement or a commit is shared
//! by all who wait.
//!
//! Invariant: a batch holds only callers that arrived before its work began. So a read that is
//! shared by a batch sees every write that any of its callers has seen acknowledged.

mod chunk;
mod meter;
mod queue;
mod worker;

use std::{future::Future, sync::Arc, time::Instant};

use tokio::sync::oneshot;
use tonic::Status;

use crate::{deadline::Deadline, trace};

pub use chunk::{Flattened, dedup, fan_out};
use queue::Caller;
use worker::Shared;

/// What a batcher does with a batch.
pub trait BatchHandler: Send + Sync + 'static {
    /// What a caller hands in.
    type Item: Send + 'static;
    /// What a caller gets back.
    type Output: Send + 'static;

    /// Carries out one batch and answers per item, in the order of `items`.
    ///
    /// # Errors
    ///
    /// An error of the whole fails every caller of the batch; what concerns one item alone belongs
    /// into that item's own result.
    fn run(
        &self,
        items: Vec<Self::Item>,
        deadline: Deadline,
    ) -> impl Future<Output = Result<Vec<Result<Self::Output, Status>>, Status>> + Send;

    /// How much of a batch's room an item takes.
    fn weight(_item: &Self::Item) -> usize {
        1
    }
}

/// The bounds of a batcher.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// How many batches may be under way at once. Another one sets out only if it is as large as
    /// those under way, or they are late: the fewer there are, the more is shared.
    pub workers: usize,
    /// How much weight one batch takes at the most; a single heavier item still goes alone.
    pub batch_weight_max: usize,
    /// How many callers may wait; the next one is refused at once.
    pub queue_max: usize,
}

impl Limits {
    /// For what comes in bulk beside visitors' calls, such as an import: one batch at a time, and few
    /// that wait, so that whoever brings it comes later when the service has other things to do.
    pub const BULK: Self = Self {
        workers: 1,
        batch_weight_max: 1_000,
        queue_max: 8,
    };
}

/// The most items of one request that comes in bulk.
pub const BULK_ITEMS_MAX: usize = 5_000;

/// Many callers in front of one [`Work`]. Clones share the queue.
pub struct Batcher<W: BatchHandler> {
    shared: Arc<Shared<W>>,
}

impl<W: BatchHandler> Clone for Batcher<W> {
    fn clone(&self) -> Self {
        Self {
            shared: Arc::clone(&self.shared),
        }
    }
}

impl<W: BatchHandler> Batcher<W> {
    /// A batcher whose metrics carry `name`.
    pub fn new(name: &'static str, limits: Limits, work: W) -> Self {
        Self {
            shared: Arc::new(Shared::new(name, limits, work)),
        }
    }

    /// Hands in one item and waits for its own answer, until `deadline` at the latest.
    ///
    /// # Errors
    ///
    /// What the work says of the item or of its batch; `ResourceExhausted` at once when too many
    /// wait already; `DeadlineExceeded` when the caller's own time is over.
    pub async fn call(&self, item: W::Item, deadline: Deadline) -> Result<W::Output, Status> {
        let (answer, answered) = oneshot::channel();
        self.shared.enqueue(Caller {
            item,
            deadline,
            since: Instant::now(),
            trace: trace::current(),
            answer,
        })?;
        match tokio::time::timeout_at(deadline.instant(), answered).await {
            Ok(Ok(result)) => result,
            // Left out of its batch a moment before its own timer would have told it so.
            Ok(Err(_)) if deadline.is_over(Instant::now()) => {
                Err(Status::deadline_exceeded("no answer in time"))
            }
            Ok(Err(_)) => Err(Status::internal("the batch ended without an answer")),
            Err(_) => Err(Status::deadline_exceeded("no answer in time")),
        }
    }
}

/// What to say of a work that broke its promise.
fn unanswered(got: usize, wanted: usize) -> Status {
    tracing::error!(got, wanted, "a batch was not answered item by item");
    Status::internal("the batch was not answered item by item")
}
