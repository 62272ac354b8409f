//! Natural batching: many callers, one round trip.
//!
//! A caller never waits for a timer. It waits at most for the calls in flight, and all who arrived
//! meanwhile form the next batch. Alone, a caller goes straight through; under load the cost of a
//! round trip, a statement or a commit is shared by all who wait.
//!
//! Invariant: a batch holds only callers that arrived before its work began. So a read that is
//! shared by a batch sees every write that any of its callers has seen acknowledged.

use std::{
    collections::{HashMap, VecDeque},
    future::Future,
    hash::Hash,
    panic::AssertUnwindSafe,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Instant,
};

use futures_util::FutureExt as _;
use metrics::{Counter, Gauge, Histogram};
use tokio::sync::oneshot;
use tonic::Status;

use crate::deadline::Deadline;

/// What a batcher does with a batch.
pub trait Work: Send + Sync + 'static {
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
    /// How many batches may be under way at once.
    pub lanes: usize,
    /// How much weight one batch takes at the most; a single heavier item still goes alone.
    pub batch_weight_max: usize,
    /// How many callers may wait; the next one is refused at once.
    pub queue_max: usize,
}

/// Many callers in front of one [`Work`]. Clones share the queue.
pub struct Batcher<W: Work> {
    shared: Arc<Shared<W>>,
}

impl<W: Work> Clone for Batcher<W> {
    fn clone(&self) -> Self {
        Self {
            shared: Arc::clone(&self.shared),
        }
    }
}

struct Shared<W: Work> {
    name: &'static str,
    work: W,
    limits: Limits,
    state: Mutex<State<W>>,
    meters: Meters,
}

struct State<W: Work> {
    queue: VecDeque<Caller<W>>,
    lanes_running: usize,
}

struct Caller<W: Work> {
    item: W::Item,
    deadline: Deadline,
    since: Instant,
    answer: oneshot::Sender<Result<W::Output, Status>>,
}

impl<W: Work> Caller<W> {
    /// Whether nobody waits for the answer any more.
    fn has_gone(&self, now: Instant) -> bool {
        self.answer.is_closed() || self.deadline.is_over(now)
    }
}

impl<W: Work> Batcher<W> {
    /// A batcher whose metrics carry `name`.
    pub fn new(name: &'static str, limits: Limits, work: W) -> Self {
        let state = State {
            queue: VecDeque::new(),
            lanes_running: 0,
        };
        let shared = Shared {
            name,
            work,
            limits,
            state: Mutex::new(state),
            meters: Meters::new(name),
        };
        Self {
            shared: Arc::new(shared),
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
        self.enqueue(Caller {
            item,
            deadline,
            since: Instant::now(),
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

    fn enqueue(&self, caller: Caller<W>) -> Result<(), Status> {
        let mut state = self.shared.lock();
        if state.queue.len() >= self.shared.limits.queue_max {
            // While every lane is stuck, those who have given up must not keep others out.
            let now = Instant::now();
            while state
                .queue
                .pop_front_if(|first| first.has_gone(now))
                .is_some()
            {
                self.shared.meters.left_out.increment(1);
            }
        }
        if state.queue.len() >= self.shared.limits.queue_max {
            self.shared.meters.refused.increment(1);
            return Err(Status::resource_exhausted("too many calls are waiting"));
        }
        state.queue.push_back(caller);
        // Counting the lane under the same lock as the queue is what makes a lost wake-up
        // impossible: a lane stops only after it saw the queue empty under this lock.
        if state.lanes_running < self.shared.limits.lanes {
            state.lanes_running += 1;
            tokio::spawn(
                Lane {
                    shared: Arc::clone(&self.shared),
                    given_up: false,
                }
                .run(),
            );
        }
        Ok(())
    }
}

/// One batch after the other, until nobody waits.
struct Lane<W: Work> {
    shared: Arc<Shared<W>>,
    given_up: bool,
}

impl<W: Work> Lane<W> {
    async fn run(mut self) {
        while let Some(batch) = self.shared.next_batch() {
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

impl<W: Work> Shared<W> {
    fn lock(&self) -> MutexGuard<'_, State<W>> {
        // Nothing panics under this lock, so a poisoned one cannot hold a broken state.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The next batch, without those who have gone or whose time is over; `None` gives the lane up.
    fn next_batch(&self) -> Option<Vec<Caller<W>>> {
        let now = Instant::now();
        let mut state = self.lock();
        let mut batch = Vec::with_capacity(state.queue.len().min(self.limits.batch_weight_max));
        let mut weight = 0;
        while let Some(caller) = state.queue.pop_front() {
            if caller.has_gone(now) {
                self.meters.left_out.increment(1);
                continue;
            }
            weight += W::weight(&caller.item);
            if weight > self.limits.batch_weight_max && !batch.is_empty() {
                state.queue.push_front(caller);
                break;
            }
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

    async fn carry_out(&self, batch: Vec<Caller<W>>) {
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

        let mut items = Vec::with_capacity(batch.len());
        let mut answers = Vec::with_capacity(batch.len());
        for caller in batch {
            items.push(caller.item);
            answers.push(caller.answer);
        }
        // The longest of the callers' deadlines bounds the lane, so a stuck call frees it.
        let outcome = tokio::time::timeout_at(deadline.instant(), self.answer(items, deadline))
            .await
            .unwrap_or_else(|_| Err(Status::deadline_exceeded("no answer in time")));
        deliver(answers, outcome);
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

/// What to say of a work that broke its promise.
fn unanswered(got: usize, wanted: usize) -> Status {
    tracing::error!(got, wanted, "a batch was not answered item by item");
    Status::internal("the batch was not answered item by item")
}

fn fail<T>(answers: Vec<oneshot::Sender<Result<T, Status>>>, status: &Status) {
    for answer in answers {
        let _ = answer.send(Err(status.clone()));
    }
}

/// A [`Work`] whose callers come with several items each, as an rpc does that takes a list.
#[derive(Clone, Copy, Debug)]
pub struct Chunked<W>(pub W);

impl<W: Work> Work for Chunked<W> {
    type Item = Vec<W::Item>;
    type Output = Vec<Result<W::Output, Status>>;

    async fn run(
        &self,
        chunks: Vec<Self::Item>,
        deadline: Deadline,
    ) -> Result<Vec<Result<Self::Output, Status>>, Status> {
        let sizes: Vec<usize> = chunks.iter().map(Vec::len).collect();
        let items = chunks.into_iter().flatten().collect();
        let results = self.0.run(items, deadline).await?;
        if results.len() != sizes.iter().sum::<usize>() {
            return Err(unanswered(results.len(), sizes.iter().sum()));
        }
        let mut results = results.into_iter();
        Ok(sizes
            .into_iter()
            .map(|size| Ok(results.by_ref().take(size).collect()))
            .collect())
    }

    fn weight(chunk: &Self::Item) -> usize {
        chunk.iter().map(W::weight).sum()
    }
}

/// Folds equal items into one, and tells for each item where its answer will stand.
///
/// Callers of one batch who want the same thing share one query: the next one, by the batcher's
/// invariant, and never one that was in flight when they came.
pub fn share<T: Eq + Hash + Clone>(items: Vec<T>) -> (Vec<T>, Vec<usize>) {
    let mut places: HashMap<T, usize> = HashMap::with_capacity(items.len());
    let mut distinct = Vec::with_capacity(items.len());
    let mut positions = Vec::with_capacity(items.len());
    for item in items {
        let place = *places.entry(item).or_insert_with_key(|item| {
            distinct.push(item.clone());
            distinct.len() - 1
        });
        positions.push(place);
    }
    (distinct, positions)
}

/// Hands the answers of [`share`]d items back to everyone who asked.
pub fn unshare<T: Clone>(answers: &[T], positions: &[usize]) -> Vec<T> {
    positions
        .iter()
        .map(|&place| answers[place].clone())
        .collect()
}

struct Meters {
    size: Histogram,
    wait_seconds: Histogram,
    waiting: Gauge,
    refused: Counter,
    left_out: Counter,
}

impl Meters {
    fn new(name: &'static str) -> Self {
        Self {
            size: metrics::histogram!("minitwit_batch_size", "batch" => name),
            wait_seconds: metrics::histogram!("minitwit_batch_wait_seconds", "batch" => name),
            waiting: metrics::gauge!("minitwit_batch_waiting", "batch" => name),
            refused: metrics::counter!("minitwit_batch_refused_total", "batch" => name),
            left_out: metrics::counter!("minitwit_batch_left_out_total", "batch" => name),
        }
    }

    fn started(&self, size: usize, oldest: Instant) {
        #[expect(clippy::cast_precision_loss, reason = "a batch's size is small")]
        self.size.record(size as f64);
        self.wait_seconds.record(oldest.elapsed().as_secs_f64());
    }
}
