//! The lanes behind a queue: when one opens, what it takes along, and when it gives up.

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
    unanswered,
};
use crate::{
    deadline::Deadline,
    trace::{self, Span},
};

/// A batch that takes longer than this no longer holds up those who wait: another lane opens. Far
/// above what a batch takes on a busy machine, and a small part of any caller's time.
const LATE: Duration = Duration::from_millis(20);

/// How often all who can go on do so before a batch sets out, while each time more callers come.
const GATHERINGS_MAX: usize = 8;

/// What a batcher's clones and its lanes share.
pub(super) struct Shared<W: BatchHandler> {
    name: &'static str,
    work: W,
    limits: Limits,
    queue: Mutex<Queue<W>>,
    meters: Meters,
}

impl<W: BatchHandler> Shared<W> {
    pub(super) fn new(name: &'static str, limits: Limits, work: W) -> Self {
        Self {
            name,
            work,
            limits,
            queue: Mutex::default(),
            meters: Meters::new(name),
        }
    }

    fn lock(&self) -> MutexGuard<'_, Queue<W>> {
        // Nothing panics under this lock, so a poisoned one cannot hold a broken state.
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn enqueue(self: &Arc<Self>, caller: Caller<W>) -> Result<(), Status> {
        let mut queue = self.lock();
        if queue.len() >= self.limits.queue_max {
            // While every lane is stuck, those who have given up must not keep others out.
            let removed = queue.remove_gone(Instant::now());
            self.meters.left_out.increment(removed);
        }
        if queue.len() >= self.limits.queue_max {
            self.meters.refused.increment(1);
            return Err(Status::resource_exhausted("too many calls are waiting"));
        }
        queue.push(caller);
        self.open_lane(&mut queue);
        Ok(())
    }

    /// Opens a lane if one is wanted. Deciding this under the lock of the queue is what makes a
    /// lost wake-up impossible: a lane gives up, or turns late, only under this lock as well.
    fn open_lane(self: &Arc<Self>, queue: &mut Queue<W>) {
        if queue.wants_lane(&self.limits) {
            queue.moved(Phase::Over, Phase::Gathering);
            let lane = Lane {
                shared: Arc::clone(self),
                phase: Phase::Gathering,
            };
            // Boxed, so that the runtime's task code is compiled once and not for each handler.
            tokio::spawn(Box::pin(lane.run()) as BoxFuture<'static, ()>);
        }
    }

    /// One span for all callers, as far as their requests are sampled.
    fn span(&self, batch: &[Caller<W>], oldest: Instant) -> Span {
        let span = Span::shared(batch.iter().map(|caller| &caller.trace), || {
            format!("batch {}", self.name).into()
        });
        if span.is_recording() {
            span.set("minitwit.batch.name", self.name);
            span.set("minitwit.batch.size", trace::int(batch.len()));
            span.set("minitwit.batch.wait", oldest.elapsed().as_secs_f64());
        }
        span
    }

    /// What the work says; a panic in it fails its own batch, and the lane goes on.
    async fn answer(
        &self,
        items: Vec<W::Item>,
        deadline: Deadline,
    ) -> Result<Vec<Result<W::Output, Status>>, Status> {
        let work = async { self.work.run(items, deadline).await };
        // Nothing of the work is seen again but what it guards itself.
        let outcome = AssertUnwindSafe(work).catch_unwind().await;
        outcome.unwrap_or_else(|_| {
            tracing::error!(batch = self.name, "the work of a batch panicked");
            Err(Status::internal("the work of the batch failed"))
        })
    }
}

/// One batch after the other, until nobody waits.
struct Lane<W: BatchHandler> {
    shared: Arc<Shared<W>>,
    phase: Phase,
}

impl<W: BatchHandler> Lane<W> {
    async fn run(mut self) {
        loop {
            self.gather().await;
            let Some(batch) = self.next_batch() else {
                break;
            };
            self.carry_out(batch).await;
        }
    }

    /// Whoever can go on goes on first, and what has arrived at a socket is read: those callers come
    /// along instead of waiting for this batch's end. There is nothing to wait for when a caller is
    /// alone.
    async fn gather(&self) {
        let mut waiting = self.shared.lock().weight();
        for _ in 0..GATHERINGS_MAX {
            tokio::task::yield_now().await;
            let before = waiting;
            waiting = self.shared.lock().weight();
            if waiting <= before || waiting >= self.shared.limits.batch_weight_max {
                break;
            }
        }
    }

    /// The next batch, without those who have gone or whose time is over; `None` when the lane is
    /// to end: nobody waits, or others come back for the few who do.
    fn next_batch(&mut self) -> Option<Vec<Caller<W>>> {
        let shared = Arc::clone(&self.shared);
        let mut queue = shared.lock();
        if !queue.is_worth_a_batch(&shared.limits) {
            self.go_on(&mut queue, Phase::Over);
            return None;
        }
        let (batch, weight, left_out) = queue.take(Instant::now(), &shared.limits);
        shared.meters.left_out.increment(left_out);
        if batch.is_empty() {
            self.go_on(&mut queue, Phase::Over);
            return None;
        }
        self.go_on(&mut queue, Phase::Carrying { weight });
        // What is left over may be worth a lane of its own.
        shared.open_lane(&mut queue);
        #[expect(clippy::cast_precision_loss, reason = "a queue's length is small")]
        shared.meters.waiting.set(queue.len() as f64);
        Some(batch)
    }

    fn go_on(&mut self, queue: &mut Queue<W>, to: Phase) {
        queue.moved(self.phase, to);
        self.phase = to;
    }

    async fn carry_out(&mut self, batch: Vec<Caller<W>>) {
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
        let span = shared.span(&batch, oldest);

        let mut items = Vec::with_capacity(batch.len());
        let mut answers = Vec::with_capacity(batch.len());
        for caller in batch {
            items.push(caller.item);
            answers.push(caller.answer);
        }
        // The longest of the callers' deadlines bounds the lane, so a stuck call frees it.
        let work = span.run(shared.answer(items, deadline));
        let work = tokio::time::timeout_at(deadline.instant(), work);
        let outcome = self
            .watch(work)
            .await
            .unwrap_or_else(|_| Err(Status::deadline_exceeded("no answer in time")));
        let error = outcome.as_ref().err();
        span.finish(error.and_then(|status| trace::rpc_error(status.code())));
        deliver(answers, outcome);
    }

    /// Waits for the work; once it is late, others need not wait for it. Then it gathers again.
    async fn watch<T>(&mut self, work: impl Future<Output = T>) -> T {
        let mut work = pin!(work);
        let in_time = tokio::time::timeout(LATE, work.as_mut()).await;
        let outcome = if let Ok(outcome) = in_time {
            outcome
        } else {
            self.turn_late();
            work.await
        };
        let shared = Arc::clone(&self.shared);
        self.go_on(&mut shared.lock(), Phase::Gathering);
        outcome
    }

    fn turn_late(&mut self) {
        let shared = Arc::clone(&self.shared);
        shared.meters.late.increment(1);
        let mut queue = shared.lock();
        self.go_on(&mut queue, Phase::Late);
        shared.open_lane(&mut queue);
    }
}

impl<W: BatchHandler> Drop for Lane<W> {
    /// A lane that is dropped, with its runtime or by a panic, must not take its room with it.
    fn drop(&mut self) {
        self.shared.lock().moved(self.phase, Phase::Over);
    }
}

/// Gives each caller its own result. A caller that has gone meanwhile is no error.
fn deliver<T>(
    answers: Vec<oneshot::Sender<Result<T, Status>>>,
    outcome: Result<Vec<Result<T, Status>>, Status>,
) {
    match outcome {
        Ok(results) if results.len() == answers.len() => {
            for (answer, result) in answers.into_iter().zip(results) {
                let _ = answer.send(result);
            }
        }
        Ok(results) => {
            let status = unanswered(results.len(), answers.len());
            fail(answers, &status);
        }
        Err(status) => fail(answers, &status),
    }
}

fn fail<T>(answers: Vec<oneshot::Sender<Result<T, Status>>>, status: &Status) {
    for answer in answers {
        let _ = answer.send(Err(status.clone()));
    }
}
