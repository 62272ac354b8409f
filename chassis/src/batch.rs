//! Natural batching. Many callers share one round trip.
//!
//! Natural batching has no timer. A caller waits at most for the batches in flight, and for callers that
//! arrive at the moment when its own batch is taken. All callers that arrive meanwhile form the next
//! batch. A single caller runs at once. Under load, all waiting callers share the cost of a round trip, a
//! statement or a commit.
//!
//! Invariant: A batch holds only callers that arrived before its work began. So a read that a batch
//! shares sees every write that was acknowledged to any of its callers.

mod dedup;
mod flatten;
mod meter;
mod queue;
mod worker;

use std::{future::Future, sync::Arc, time::Instant};

use tokio::sync::oneshot;
use tonic::Status;

use crate::{deadline::Deadline, trace};

pub use dedup::{dedup, fan_out};
pub use flatten::Flattened;
use queue::Caller;
use worker::Shared;

/// Executes the batches of a [`Batcher`].
pub trait BatchHandler: Send + Sync + 'static {
    /// Input of one caller.
    type Item: Send + 'static;
    /// Answer to one caller.
    type Output: Send + 'static;

    /// Executes one batch. Returns one result for each item, in the order of `items`. `deadline` is the
    /// latest deadline of the batch's callers.
    ///
    /// # Errors
    ///
    /// The outer error fails every caller of the batch. A failure that concerns one item alone belongs
    /// into the result of that item.
    fn run(
        &self,
        items: Vec<Self::Item>,
        deadline: Deadline,
    ) -> impl Future<Output = Result<Vec<Result<Self::Output, Status>>, Status>> + Send;

    /// Weight of an item, in the unit of [`Limits::batch_weight_max`].
    fn weight(_item: &Self::Item) -> usize {
        1
    }
}

/// Limits of a batcher.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Maximum number of batches in flight. A second batch starts only if it is as large as the running
    /// ones, or if the running ones are late, because fewer batches share more of their cost.
    pub workers: usize,
    /// Maximum weight of one batch. A single item that is heavier runs in a batch of its own.
    pub batch_weight_max: usize,
    /// Maximum number of waiting callers. Further callers are refused at once.
    pub queue_max: usize,
}

impl Limits {
    /// Limits for bulk work, such as an import, that runs beside the requests of visitors. One batch runs
    /// at a time and few callers may wait, so the sender is refused and retries later while the service
    /// is busy.
    pub const BULK: Self = Self {
        workers: 1,
        batch_weight_max: 1_000,
        queue_max: 8,
    };
}

/// Combines concurrent calls into batches for one [`BatchHandler`]. Clones share the queue.
pub struct Batcher<H: BatchHandler> {
    shared: Arc<Shared<H>>,
}

impl<H: BatchHandler> Clone for Batcher<H> {
    fn clone(&self) -> Self {
        Self {
            shared: Arc::clone(&self.shared),
        }
    }
}

impl<H: BatchHandler> Batcher<H> {
    /// Creates a batcher. `name` labels its metrics, spans and log lines.
    pub fn new(name: &'static str, limits: Limits, handler: H) -> Self {
        Self {
            shared: Arc::new(Shared::new(name, limits, handler)),
        }
    }

    /// Queues one item and waits for its answer, until `deadline` at the latest.
    ///
    /// # Errors
    ///
    /// The handler's error for the item or for its batch. `ResourceExhausted` at once when the queue is
    /// full. `DeadlineExceeded` when `deadline` is over. `Internal` when the handler panicked.
    pub async fn call(&self, item: H::Item, deadline: Deadline) -> Result<H::Output, Status> {
        let (reply, receiver) = oneshot::channel();
        self.shared.enqueue(Caller {
            item,
            deadline,
            since: Instant::now(),
            trace: trace::current(),
            reply,
        })?;
        match tokio::time::timeout_at(deadline.instant(), receiver).await {
            Ok(Ok(result)) => result,
            // The caller's deadline was over when its batch was taken, so it was left out.
            Ok(Err(_)) if deadline.is_over(Instant::now()) => {
                Err(Status::deadline_exceeded("no answer in time"))
            }
            Ok(Err(_)) => Err(Status::internal("the batch ended without an answer")),
            Err(_) => Err(Status::deadline_exceeded("no answer in time")),
        }
    }
}

/// Error for a handler that did not return one result for each item.
fn wrong_result_count(got: usize, wanted: usize) -> Status {
    tracing::error!(
        got,
        wanted,
        "a batch handler returned the wrong number of results"
    );
    Status::internal("the batch handler returned the wrong number of results")
}
