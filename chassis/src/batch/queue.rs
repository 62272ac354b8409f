//! Waiting callers, the state of the workers, and the decision to start another worker.

use std::{
    collections::VecDeque,
    time::{Duration, Instant},
};

use tokio::sync::oneshot;
use tonic::Status;

use super::{BatchHandler, Limits};
use crate::deadline::Deadline;

/// Minimum time between two searches of a full queue for abandoned callers. A refused call can trigger
/// a search, and a search of a long queue takes time.
const SWEEP_INTERVAL: Duration = Duration::from_millis(10);

/// A waiting caller.
pub(super) struct Caller<H: BatchHandler> {
    pub(super) item: H::Item,
    pub(super) deadline: Deadline,
    /// When the caller was queued.
    pub(super) since: Instant,
    /// Trace context of the request that the caller belongs to.
    pub(super) trace: opentelemetry::Context,
    /// Sends the result back to the caller.
    pub(super) reply: oneshot::Sender<Result<H::Output, Status>>,
}

impl<H: BatchHandler> Caller<H> {
    /// Whether the caller has given up, because its future was dropped or its deadline is over.
    fn is_abandoned(&self, now: Instant) -> bool {
        self.reply.is_closed() || self.deadline.is_over(now)
    }
}

/// State of a worker.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Phase {
    /// About to take a batch from the queue, while more callers may still join.
    Coalescing,
    /// Runs a batch of this weight.
    Running { weight: usize },
    /// Runs a batch that takes longer than [`LATE_AFTER`](super::worker::LATE_AFTER), so the queue does
    /// not wait for its end.
    Late,
    /// Has ended.
    Ended,
}

/// The waiting callers, and the number of workers in each [`Phase`].
///
/// Invariant: While a caller waits, a worker is coalescing, or the running batches are heavier than the
/// waiting callers, or the maximum number of workers is busy.
pub(super) struct Queue<H: BatchHandler> {
    callers: VecDeque<Caller<H>>,
    /// Total weight of the waiting callers.
    weight: usize,
    /// Workers in [`Phase::Coalescing`].
    coalescing: usize,
    /// Workers in [`Phase::Running`].
    running: usize,
    /// Total weight of the batches of workers in [`Phase::Running`].
    running_weight: usize,
    /// Workers in [`Phase::Late`].
    late: usize,
    /// When the whole queue was last searched for abandoned callers.
    last_sweep: Option<Instant>,
}

impl<H: BatchHandler> Default for Queue<H> {
    fn default() -> Self {
        Self {
            callers: VecDeque::new(),
            weight: 0,
            coalescing: 0,
            running: 0,
            running_weight: 0,
            late: 0,
            last_sweep: None,
        }
    }
}

impl<H: BatchHandler> Queue<H> {
    pub(super) fn len(&self) -> usize {
        self.callers.len()
    }

    /// Total weight of the waiting callers.
    pub(super) fn weight(&self) -> usize {
        self.weight
    }

    pub(super) fn push(&mut self, caller: Caller<H>) {
        self.weight += H::weight(&caller.item);
        self.callers.push_back(caller);
    }

    fn pop(&mut self) -> Option<Caller<H>> {
        let caller = self.callers.pop_front()?;
        self.weight -= H::weight(&caller.item);
        Some(caller)
    }

    /// Makes room by removing abandoned callers. Checks the head of the queue first. If the head is not
    /// abandoned, searches the whole queue, but only if [`SWEEP_INTERVAL`] has passed since the last
    /// search. Returns the number of removed callers.
    pub(super) fn remove_abandoned(&mut self, now: Instant) -> u64 {
        let mut removed = 0;
        while self
            .callers
            .front()
            .is_some_and(|first| first.is_abandoned(now))
        {
            self.pop();
            removed += 1;
        }
        let is_due = self
            .last_sweep
            .is_none_or(|last| now.saturating_duration_since(last) >= SWEEP_INTERVAL);
        if removed > 0 || !is_due {
            return removed;
        }
        self.last_sweep = Some(now);
        let weight = &mut self.weight;
        self.callers.retain(|caller| {
            let is_abandoned = caller.is_abandoned(now);
            if is_abandoned {
                *weight -= H::weight(&caller.item);
                removed += 1;
            }
            !is_abandoned
        });
        removed
    }

    /// Takes the next batch from the queue. Returns its callers, their total weight, and the number of
    /// callers that were left out because they had given up.
    pub(super) fn take(&mut self, now: Instant, limits: &Limits) -> (Vec<Caller<H>>, usize, u64) {
        let mut batch = Vec::with_capacity(self.len().min(limits.batch_weight_max));
        let (mut weight, mut left_out) = (0, 0);
        while let Some(caller) = self.pop() {
            if caller.is_abandoned(now) {
                left_out += 1;
                continue;
            }
            let new_weight = weight + H::weight(&caller.item);
            if new_weight > limits.batch_weight_max && !batch.is_empty() {
                self.weight += H::weight(&caller.item);
                self.callers.push_front(caller);
                break;
            }
            weight = new_weight;
            batch.push(caller);
        }
        (batch, weight, left_out)
    }

    /// Updates the counts of workers when a worker goes from one phase to another.
    pub(super) fn record_transition(&mut self, from: Phase, to: Phase) {
        match from {
            Phase::Coalescing => self.coalescing -= 1,
            Phase::Running { weight } => {
                self.running -= 1;
                self.running_weight -= weight;
            }
            Phase::Late => self.late -= 1,
            Phase::Ended => {}
        }
        match to {
            Phase::Coalescing => self.coalescing += 1,
            Phase::Running { weight } => {
                self.running += 1;
                self.running_weight += weight;
            }
            Phase::Late => self.late += 1,
            Phase::Ended => {}
        }
    }

    /// Whether the waiting callers are enough for a batch of their own. They are if they are at least
    /// as heavy as the average running batch, or they fill the largest allowed batch.
    pub(super) fn has_enough_for_batch(&self, limits: &Limits) -> bool {
        self.weight * self.running >= self.running_weight || self.weight >= limits.batch_weight_max
    }

    /// Whether another worker should start. Waiting for the running batches lets the next batch grow,
    /// so more callers share its cost. Waiting ends when all running batches are late, or when the
    /// next batch is as heavy as their average.
    pub(super) fn needs_worker(&self, limits: &Limits) -> bool {
        !self.callers.is_empty()
            && self.coalescing == 0
            && self.running + self.late < limits.workers
            && self.has_enough_for_batch(limits)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A handler whose items are their own weights.
    struct Weights;

    impl BatchHandler for Weights {
        type Item = usize;
        type Output = ();

        async fn run(
            &self,
            items: Vec<usize>,
            _: Deadline,
        ) -> Result<Vec<Result<(), Status>>, Status> {
            Ok(vec![Ok(()); items.len()])
        }

        fn weight(item: &usize) -> usize {
            *item
        }
    }

    type Reply = oneshot::Receiver<Result<(), Status>>;

    fn enqueue(queue: &mut Queue<Weights>, weight: usize) -> Reply {
        let (reply, receiver) = oneshot::channel();
        queue.push(Caller {
            item: weight,
            deadline: Deadline::after(Duration::from_mins(1)),
            since: Instant::now(),
            trace: opentelemetry::Context::new(),
            reply,
        });
        receiver
    }

    #[test]
    fn abandoned_callers_are_found_behind_waiting_callers() {
        let mut queue = Queue::default();
        let _first = enqueue(&mut queue, 1);
        drop(enqueue(&mut queue, 2));
        let _third = enqueue(&mut queue, 4);
        drop(enqueue(&mut queue, 8));
        let now = Instant::now();
        assert_eq!(queue.remove_abandoned(now), 2);
        assert_eq!((queue.len(), queue.weight), (2, 5));

        drop(enqueue(&mut queue, 16));
        assert_eq!(queue.remove_abandoned(now + SWEEP_INTERVAL / 2), 0);
        assert_eq!((queue.len(), queue.weight), (3, 21));
        assert_eq!(queue.remove_abandoned(now + SWEEP_INTERVAL), 1);
        assert_eq!((queue.len(), queue.weight), (2, 5));
    }
}
