//! Who waits, what is under way, and whether another batch should set out.

use std::{
    collections::VecDeque,
    time::{Duration, Instant},
};

use tokio::sync::oneshot;
use tonic::Status;

use super::{BatchHandler, Limits};
use crate::deadline::Deadline;

/// How often a queue that is full is looked through for those who have gone: it may be long, and
/// whoever is refused must be so at little cost.
const SWEEP_INTERVAL: Duration = Duration::from_millis(10);

/// A caller and where its answer goes.
pub(super) struct Caller<W: BatchHandler> {
    pub(super) item: W::Item,
    pub(super) deadline: Deadline,
    pub(super) since: Instant,
    /// Where the request stands that it belongs to.
    pub(super) trace: opentelemetry::Context,
    pub(super) answer: oneshot::Sender<Result<W::Output, Status>>,
}

impl<W: BatchHandler> Caller<W> {
    /// Whether nobody waits for the answer any more.
    fn has_gone(&self, now: Instant) -> bool {
        self.answer.is_closed() || self.deadline.is_over(now)
    }
}

/// What a lane is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Phase {
    /// It is about to take those who wait.
    Gathering,
    /// A batch of this weight is under way.
    Carrying { weight: usize },
    /// Its batch takes long, so nobody waits for it.
    Late,
    /// It has ended.
    Over,
}

/// Those who wait, and the lanes.
///
/// Invariant: while somebody waits, a lane gathers, or carries more than wait, or all lanes run.
pub(super) struct Queue<W: BatchHandler> {
    callers: VecDeque<Caller<W>>,
    /// Of all who wait.
    weight: usize,
    gathering: usize,
    carrying: usize,
    /// Of all batches that lanes carry.
    weight_carried: usize,
    late: usize,
    /// When it was last looked through for those who have gone.
    swept: Option<Instant>,
}

impl<W: BatchHandler> Default for Queue<W> {
    fn default() -> Self {
        Self {
            callers: VecDeque::new(),
            weight: 0,
            gathering: 0,
            carrying: 0,
            weight_carried: 0,
            late: 0,
            swept: None,
        }
    }
}

impl<W: BatchHandler> Queue<W> {
    pub(super) fn len(&self) -> usize {
        self.callers.len()
    }

    /// Of all who wait.
    pub(super) fn weight(&self) -> usize {
        self.weight
    }

    pub(super) fn push(&mut self, caller: Caller<W>) {
        self.weight += W::weight(&caller.item);
        self.callers.push_back(caller);
    }

    fn pop(&mut self) -> Option<Caller<W>> {
        let caller = self.callers.pop_front()?;
        self.weight -= W::weight(&caller.item);
        Some(caller)
    }

    /// Makes room by removing those who have gone: at the head, or else wherever they stand, though
    /// not again soon after the last time. Answers how many.
    pub(super) fn remove_gone(&mut self, now: Instant) -> u64 {
        let mut removed = 0;
        while self
            .callers
            .front()
            .is_some_and(|first| first.has_gone(now))
        {
            self.pop();
            removed += 1;
        }
        let is_due = self
            .swept
            .is_none_or(|swept| now.saturating_duration_since(swept) >= SWEEP_INTERVAL);
        if removed > 0 || !is_due {
            return removed;
        }
        self.swept = Some(now);
        let weight = &mut self.weight;
        self.callers.retain(|caller| {
            let has_gone = caller.has_gone(now);
            if has_gone {
                *weight -= W::weight(&caller.item);
                removed += 1;
            }
            !has_gone
        });
        removed
    }

    /// The next batch and its weight, and how many were left out because they have gone.
    pub(super) fn take(&mut self, now: Instant, limits: &Limits) -> (Vec<Caller<W>>, usize, u64) {
        let mut batch = Vec::with_capacity(self.len().min(limits.batch_weight_max));
        let (mut weight, mut left_out) = (0, 0);
        while let Some(caller) = self.pop() {
            if caller.has_gone(now) {
                left_out += 1;
                continue;
            }
            let with_it = weight + W::weight(&caller.item);
            if with_it > limits.batch_weight_max && !batch.is_empty() {
                self.weight += W::weight(&caller.item);
                self.callers.push_front(caller);
                break;
            }
            weight = with_it;
            batch.push(caller);
        }
        (batch, weight, left_out)
    }

    /// Keeps the books when a lane goes from one phase to the next.
    pub(super) fn moved(&mut self, from: Phase, to: Phase) {
        match from {
            Phase::Gathering => self.gathering -= 1,
            Phase::Carrying { weight } => {
                self.carrying -= 1;
                self.weight_carried -= weight;
            }
            Phase::Late => self.late -= 1,
            Phase::Over => {}
        }
        match to {
            Phase::Gathering => self.gathering += 1,
            Phase::Carrying { weight } => {
                self.carrying += 1;
                self.weight_carried += weight;
            }
            Phase::Late => self.late += 1,
            Phase::Over => {}
        }
    }

    /// Whether those who wait are enough for a batch of their own: as many as each lane carries, or
    /// as many as one may.
    pub(super) fn is_worth_a_batch(&self, limits: &Limits) -> bool {
        self.weight * self.carrying >= self.weight_carried || self.weight >= limits.batch_weight_max
    }

    /// Whether another lane is to open. Waiting for the batch under way is what makes the next one
    /// large; it ends when that one is late, or the next is as large already.
    pub(super) fn wants_lane(&self, limits: &Limits) -> bool {
        !self.callers.is_empty()
            && self.gathering == 0
            && self.carrying + self.late < limits.workers
            && self.is_worth_a_batch(limits)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Work whose items are their weights.
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

    type Answer = oneshot::Receiver<Result<(), Status>>;

    fn arrive(queue: &mut Queue<Weights>, weight: usize) -> Answer {
        let (answer, answered) = oneshot::channel();
        queue.push(Caller {
            item: weight,
            deadline: Deadline::after(Duration::from_mins(1)),
            since: Instant::now(),
            trace: opentelemetry::Context::new(),
            answer,
        });
        answered
    }

    #[test]
    fn those_who_have_gone_are_found_behind_those_who_wait() {
        let mut queue = Queue::default();
        let _first = arrive(&mut queue, 1);
        drop(arrive(&mut queue, 2));
        let _third = arrive(&mut queue, 4);
        drop(arrive(&mut queue, 8));
        let now = Instant::now();
        assert_eq!(queue.remove_gone(now), 2);
        assert_eq!((queue.len(), queue.weight), (2, 5));

        drop(arrive(&mut queue, 16));
        assert_eq!(queue.remove_gone(now + SWEEP_INTERVAL / 2), 0);
        assert_eq!((queue.len(), queue.weight), (3, 21));
        assert_eq!(queue.remove_gone(now + SWEEP_INTERVAL), 1);
        assert_eq!((queue.len(), queue.weight), (2, 5));
    }
}
