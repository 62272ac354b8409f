//! The workers behind a queue. A worker takes callers from the queue, runs them as batches, and ends.

use std::{
    panic::AssertUnwindSafe,
    pin::pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use futures_util::{FutureExt as _, future::BoxFuture};
use tokio::sync::oneshot;
use tonic::Status;

use super::{
    BatchHandler, Limits,
    meter::Meters,
    queue::{Caller, Phase, Queue},
    wrong_result_count,
};
use crate::{
    deadline::Deadline,
    trace::{self, Outcome, Parent, Span},
};

/// Time after which a running batch counts as late, so another worker may start for the waiting callers.
/// It is far longer than a batch takes on a busy machine, and a small part of any caller's time.
pub(super) const LATE_AFTER: Duration = Duration::from_millis(20);

/// Maximum number of times that a worker yields to the scheduler before it takes a batch, while each
/// time more callers arrive.
const COALESCE_YIELDS_MAX: usize = 8;

/// State shared by a batcher's clones and its workers.
pub(super) struct Shared<H: BatchHandler> {
    name: &'static str,
    handler: H,
    limits: Limits,
    queue: Mutex<Queue<H>>,
    meters: Meters,
}

impl<H: BatchHandler> Shared<H> {
    pub(super) fn new(name: &'static str, limits: Limits, handler: H) -> Self {
        Self {
            name,
            handler,
            limits,
            queue: Mutex::default(),
            meters: Meters::new(name),
        }
    }

    fn lock(&self) -> MutexGuard<'_, Queue<H>> {
        // No code panics while it holds this lock, so the state behind a poisoned lock is intact.
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Adds a caller to the queue, and starts a worker if the queue needs one.
    ///
    /// # Errors
    ///
    /// `ResourceExhausted` when the queue is full.
    pub(super) fn enqueue(self: &Arc<Self>, caller: Caller<H>) -> Result<(), Status> {
        let mut queue = self.lock();
        if queue.len() >= self.limits.queue_max {
            // While every worker is stuck, abandoned callers must not keep new callers out.
            let removed = queue.remove_abandoned(Instant::now());
            self.meters.left_out.increment(removed);
        }
        if queue.len() >= self.limits.queue_max {
            self.meters.refused.increment(1);
            return Err(Status::resource_exhausted("too many calls are waiting"));
        }
        queue.push(caller);
        self.start_worker(&mut queue);
        Ok(())
    }

    /// Starts a worker if the queue needs one. The decision is made under the lock of the queue. A worker
    /// ends, or becomes late, only under the same lock, so no wake-up is lost.
    fn start_worker(self: &Arc<Self>, queue: &mut Queue<H>) {
        if queue.needs_worker(&self.limits) {
            queue.record_transition(Phase::Ended, Phase::Coalescing);
            let worker = Worker {
                shared: Arc::clone(self),
                phase: Phase::Coalescing,
            };
            // Boxed, so that the runtime's task code is compiled once and not for each handler.
            tokio::spawn(Box::pin(worker.run()) as BoxFuture<'static, ()>);
        }
    }

    /// Creates the span of a batch. The span belongs to the first sampled caller and is linked with the
    /// other sampled callers.
    fn span(&self, batch: &[Caller<H>], oldest: Instant) -> (Parent, Span) {
        let members = batch.iter().map(|caller| &caller.trace);
        let parent = Parent::of_batch(members.clone());
        let span = trace::span!(
            parent: &parent,
            "batch",
            otel.name = format!("batch {}", self.name),
            minitwit.batch.name = self.name,
            minitwit.batch.size = trace::int(batch.len()),
            minitwit.batch.wait = oldest.elapsed().as_secs_f64(),
        );
        trace::link_members(&span, members);
        (parent, span)
    }

    /// Runs the handler on a batch. A panic of the handler fails only this batch, and the worker goes on.
    async fn answer(
        &self,
        items: Vec<H::Item>,
        deadline: Deadline,
    ) -> Result<Vec<Result<H::Output, Status>>, Status> {
        let result = async { self.handler.run(items, deadline).await };
        // The assertion holds because the batch is dropped and the handler guards its own state by locks.
        let outcome = AssertUnwindSafe(result).catch_unwind().await;
        outcome.unwrap_or_else(|_| {
            tracing::error!(batch = self.name, "a batch handler panicked");
            Err(Status::internal("the batch handler failed"))
        })
    }
}

/// Runs one batch after the other, until the queue is empty or another worker will take the rest.
struct Worker<H: BatchHandler> {
    shared: Arc<Shared<H>>,
    phase: Phase,
}

impl<H: BatchHandler> Worker<H> {
    async fn run(mut self) {
        loop {
            self.coalesce().await;
            let Some(batch) = self.next_batch() else {
                break;
            };
            self.run_batch(batch).await;
        }
    }

    /// Yields to the scheduler before taking the batch, so requests that have already arrived can join it
    /// instead of waiting for its end. Stops as soon as a yield brings no new caller, so a single caller
    /// does not wait.
    async fn coalesce(&self) {
        let mut waiting = self.shared.lock().weight();
        for _ in 0..COALESCE_YIELDS_MAX {
            tokio::task::yield_now().await;
            let before = waiting;
            waiting = self.shared.lock().weight();
            if waiting <= before || waiting >= self.shared.limits.batch_weight_max {
                break;
            }
        }
    }

    /// Takes the next batch, without abandoned callers. Returns `None` when the worker must end, because
    /// the queue is empty or because the running workers will take the few callers that wait.
    fn next_batch(&mut self) -> Option<Vec<Caller<H>>> {
        let shared = Arc::clone(&self.shared);
        let mut queue = shared.lock();
        if !queue.has_enough_for_batch(&shared.limits) {
            self.transition(&mut queue, Phase::Ended);
            return None;
        }
        let (batch, weight, left_out) = queue.take(Instant::now(), &shared.limits);
        shared.meters.left_out.increment(left_out);
        if batch.is_empty() {
            self.transition(&mut queue, Phase::Ended);
            return None;
        }
        self.transition(&mut queue, Phase::Running { weight });
        // The remaining callers may be enough for another worker.
        shared.start_worker(&mut queue);
        #[expect(clippy::cast_precision_loss, reason = "a queue's length is small")]
        shared.meters.waiting.set(queue.len() as f64);
        Some(batch)
    }

    fn transition(&mut self, queue: &mut Queue<H>, to: Phase) {
        queue.record_transition(self.phase, to);
        self.phase = to;
    }

    async fn run_batch(&mut self, batch: Vec<Caller<H>>) {
        let deadline = batch
            .iter()
            .map(|caller| caller.deadline)
            .max()
            .expect("never empty");
        let oldest = batch
            .iter()
            .map(|caller| caller.since)
            .min()
            .expect("never empty");
        self.shared.meters.started(batch.len(), oldest);
        let shared = Arc::clone(&self.shared);
        let (parent, span) = shared.span(&batch, oldest);
        let trace_outcome = Outcome::of(&span);

        let mut items = Vec::with_capacity(batch.len());
        let mut replies = Vec::with_capacity(batch.len());
        for caller in batch {
            items.push(caller.item);
            replies.push(caller.reply);
        }
        // The latest of the callers' deadlines bounds the batch, so a stuck handler does not block the
        // worker for ever.
        let work = parent.run(span, shared.answer(items, deadline));
        let work = tokio::time::timeout_at(deadline.instant(), work);
        let outcome = self
            .mark_late_while(work)
            .await
            .unwrap_or_else(|_| Err(Status::deadline_exceeded("no answer in time")));
        let error = outcome.as_ref().err();
        trace_outcome.finish(error.and_then(|status| trace::rpc_error(status.code())));
        reply_all(replies, outcome);
    }

    /// Waits for `work`, and enters [`Phase::Late`] when it takes longer than [`LATE_AFTER`]. Returns to
    /// [`Phase::Coalescing`] afterwards.
    async fn mark_late_while<T>(&mut self, work: impl Future<Output = T>) -> T {
        let mut work = pin!(work);
        let in_time = tokio::time::timeout(LATE_AFTER, work.as_mut()).await;
        let outcome = if let Ok(outcome) = in_time {
            outcome
        } else {
            self.become_late();
            work.await
        };
        let shared = Arc::clone(&self.shared);
        self.transition(&mut shared.lock(), Phase::Coalescing);
        outcome
    }

    fn become_late(&mut self) {
        let shared = Arc::clone(&self.shared);
        shared.meters.late.increment(1);
        let mut queue = shared.lock();
        self.transition(&mut queue, Phase::Late);
        shared.start_worker(&mut queue);
    }
}

impl<H: BatchHandler> Drop for Worker<H> {
    /// Removes the worker from the counts of the queue, also when it is dropped with its runtime or by a
    /// panic. Otherwise its slot would stay occupied.
    fn drop(&mut self) {
        self.shared
            .lock()
            .record_transition(self.phase, Phase::Ended);
    }
}

/// Sends each caller its own result. Ignores callers that have given up.
fn reply_all<T>(
    replies: Vec<oneshot::Sender<Result<T, Status>>>,
    outcome: Result<Vec<Result<T, Status>>, Status>,
) {
    match outcome {
        Ok(results) if results.len() == replies.len() => {
            for (reply, result) in replies.into_iter().zip(results) {
                let _ = reply.send(result);
            }
        }
        Ok(results) => {
            let status = wrong_result_count(results.len(), replies.len());
            fail_all(replies, &status);
        }
        Err(status) => fail_all(replies, &status),
    }
}

fn fail_all<T>(replies: Vec<oneshot::Sender<Result<T, Status>>>, status: &Status) {
    for reply in replies {
        let _ = reply.send(Err(status.clone()));
    }
}
