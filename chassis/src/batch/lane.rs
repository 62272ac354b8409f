//! The lanes behind a queue: when one opens, what it takes along, and when it gives up.

use std::{
    collections::VecDeque,
    panic::AssertUnwindSafe,
    pin::pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use futures_util::FutureExt as _;
use tokio::sync::oneshot;
use tonic::Status;

use super::{Limits, Work, meter::Meters, unanswered};
use crate::{
    deadline::Deadline,
    trace::{self, Span},
};

/// A batch that takes longer than this no longer holds up those who wait: another lane opens. Far
/// above what a batch takes on a busy machine, and a small part of any caller's time.
const LATE: Duration = Duration::from_millis(20);

/// What a batcher's clones and its lanes share.
pub(super) struct Shared<W: Work> {
    name: &'static str,
    work: W,
    limits: Limits,
    state: Mutex<State<W>>,
    meters: Meters,
}

/// Invariant: while somebody waits, a lane runs that is not late, or all lanes run.
struct State<W: Work> {
    queue: VecDeque<Caller<W>>,
    /// Of all who wait.
    weight: usize,
    lanes_running: usize,
    /// Those of them whose batch is [`LATE`].
    lanes_late: usize,
}

pub(super) struct Caller<W: Work> {
    pub(super) item: W::Item,
    pub(super) deadline: Deadline,
    pub(super) since: Instant,
    /// Where the request stands that it belongs to.
    pub(super) trace: opentelemetry::Context,
    pub(super) answer: oneshot::Sender<Result<W::Output, Status>>,
}

impl<W: Work> Caller<W> {
    /// Whether nobody waits for the answer any more.
    fn has_gone(&self, now: Instant) -> bool {
        self.answer.is_closed() || self.deadline.is_over(now)
    }
}

impl<W: Work> State<W> {
    fn pop(&mut self) -> Option<Caller<W>> {
        let caller = self.queue.pop_front()?;
        self.weight -= W::weight(&caller.item);
        Some(caller)
    }

    /// Whether those who wait fill a batch: then there is nothing to gain by waiting for more.
    fn fills_a_batch(&self, limits: &Limits) -> bool {
        self.weight >= limits.batch_weight_max
    }

    /// Whether another lane is to open: one batch at a time is what makes batches large, so only
    /// if nobody comes back in time for those who wait, or they are enough for one of their own.
    fn wants_lane(&self, limits: &Limits) -> bool {
        !self.queue.is_empty()
            && self.lanes_running < limits.lanes
            && (self.lanes_running == self.lanes_late || self.fills_a_batch(limits))
    }
}

impl<W: Work> Shared<W> {
    pub(super) fn new(name: &'static str, limits: Limits, work: W) -> Self {
        Self {
            name,
            work,
            limits,
            state: Mutex::new(State {
                queue: VecDeque::new(),
                weight: 0,
                lanes_running: 0,
                lanes_late: 0,
            }),
            meters: Meters::new(name),
        }
    }

    fn lock(&self) -> MutexGuard<'_, State<W>> {
        // Nothing panics under this lock, so a poisoned one cannot hold a broken state.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn enqueue(self: &Arc<Self>, caller: Caller<W>) -> Result<(), Status> {
        let mut state = self.lock();
        if state.queue.len() >= self.limits.queue_max {
            // While every lane is stuck, those who have given up must not keep others out.
            let now = Instant::now();
            while state.queue.front().is_some_and(|first| first.has_gone(now)) {
                state.pop();
                self.meters.left_out.increment(1);
            }
        }
        if state.queue.len() >= self.limits.queue_max {
            self.meters.refused.increment(1);
            return Err(Status::resource_exhausted("too many calls are waiting"));
        }
        state.weight += W::weight(&caller.item);
        state.queue.push_back(caller);
        self.open_lane(&mut state);
        Ok(())
    }

    /// Opens a lane if one is wanted. Deciding this under the lock of the queue is what makes a
    /// lost wake-up impossible: a lane gives up, or turns late, only under this lock as well.
    fn open_lane(self: &Arc<Self>, state: &mut State<W>) {
        if state.wants_lane(&self.limits) {
            state.lanes_running += 1;
            let lane = Lane {
                shared: Arc::clone(self),
                given_up: false,
            };
            tokio::spawn(lane.run());
        }
    }

    /// The next batch, without those who have gone or whose time is over; `None` gives the lane up.
    fn next_batch(&self) -> Option<Vec<Caller<W>>> {
        let now = Instant::now();
        let mut state = self.lock();
        // Another one comes back for those who wait.
        let is_spare = state.lanes_running - state.lanes_late > 1;
        if is_spare && !state.fills_a_batch(&self.limits) {
            state.lanes_running -= 1;
            return None;
        }
        let mut batch = Vec::with_capacity(state.queue.len().min(self.limits.batch_weight_max));
        let mut weight = 0;
        while let Some(caller) = state.pop() {
            if caller.has_gone(now) {
                self.meters.left_out.increment(1);
                continue;
            }
            let with_it = weight + W::weight(&caller.item);
            if with_it > self.limits.batch_weight_max && !batch.is_empty() {
                state.weight += W::weight(&caller.item);
                state.queue.push_front(caller);
                break;
            }
            weight = with_it;
            batch.push(caller);
        }
        if batch.is_empty() {
            state.lanes_running -= 1;
            return None;
        }
        #[expect(clippy::cast_precision_loss, reason = "a queue's length is small")]
        self.meters.waiting.set(state.queue.len() as f64);
        Some(batch)
    }

    async fn carry_out(self: &Arc<Self>, batch: Vec<Caller<W>>) {
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
        self.meters.started(batch.len(), oldest);
        let span = self.span(&batch, oldest);

        let mut items = Vec::with_capacity(batch.len());
        let mut answers = Vec::with_capacity(batch.len());
        for caller in batch {
            items.push(caller.item);
            answers.push(caller.answer);
        }
        // The longest of the callers' deadlines bounds the lane, so a stuck call frees it.
        let work = span.run(self.answer(items, deadline));
        let work = tokio::time::timeout_at(deadline.instant(), work);
        let outcome = self
            .watch(work)
            .await
            .unwrap_or_else(|_| Err(Status::deadline_exceeded("no answer in time")));
        let error = outcome.as_ref().err();
        span.finish(error.and_then(|status| trace::rpc_error(status.code())));
        deliver(answers, outcome);
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

    /// Carries the work out; once it is late, others need not wait for it.
    async fn watch<T>(self: &Arc<Self>, work: impl Future<Output = T>) -> T {
        let mut work = pin!(work);
        if self.limits.lanes == 1 {
            return work.await;
        }
        if let Ok(outcome) = tokio::time::timeout(LATE, work.as_mut()).await {
            return outcome;
        }
        let _late = Late::begin(self);
        work.await
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
struct Lane<W: Work> {
    shared: Arc<Shared<W>>,
    given_up: bool,
}

impl<W: Work> Lane<W> {
    async fn run(mut self) {
        loop {
            // Whoever can go on goes on first, and what has arrived at a socket is read: those
            // callers come along instead of waiting for this batch's end. There is nothing to wait
            // for when a caller is alone.
            tokio::task::yield_now().await;
            let Some(batch) = self.shared.next_batch() else {
                break;
            };
            self.shared.carry_out(batch).await;
        }
        self.given_up = true;
    }
}

impl<W: Work> Drop for Lane<W> {
    /// A lane that is dropped, with its runtime or by a panic, must not take its room with it.
    fn drop(&mut self) {
        if !self.given_up {
            self.shared.lock().lanes_running -= 1;
        }
    }
}

/// The time during which a lane's batch is late.
struct Late<'a, W: Work>(&'a Shared<W>);

impl<'a, W: Work> Late<'a, W> {
    fn begin(shared: &'a Arc<Shared<W>>) -> Self {
        shared.meters.late.increment(1);
        let mut state = shared.lock();
        state.lanes_late += 1;
        shared.open_lane(&mut state);
        Self(shared)
    }
}

impl<W: Work> Drop for Late<'_, W> {
    fn drop(&mut self) {
        self.0.lock().lanes_late -= 1;
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
