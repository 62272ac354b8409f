//! Executor of password hashing. It runs jobs off the async threads, on all processors but one, from
//! bounded queues.
//!
//! Invariants: a registration runs before every waiting sign-in. A job does not run if its caller was
//! cancelled or its deadline has passed.

use std::{
    collections::VecDeque,
    num::NonZero,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    thread::available_parallelism,
    time::Instant,
};

use chassis::{
    deadline::Deadline,
    trace::{self, Outcome},
};
use metrics::{Counter, Gauge, Histogram};
use tokio::sync::oneshot;
use tonic::Status;

/// Priority of a job.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Priority {
    /// Before every sign-in.
    Registration,
    /// After all waiting registrations.
    SignIn,
}

/// Limits of a hasher.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Maximum number of concurrent jobs.
    pub threads: usize,
    /// Maximum number of waiting registrations. A further registration is refused immediately.
    pub registrations_max: usize,
    /// Maximum number of waiting sign-ins. A further sign-in is refused immediately.
    pub sign_ins_max: usize,
}

impl Default for Limits {
    /// Leaves one processor to all other work.
    fn default() -> Self {
        let processors = available_parallelism().map_or(1, NonZero::get);
        Self {
            threads: (processors - 1).max(1),
            registrations_max: 256,
            sign_ins_max: 64,
        }
    }
}

/// Executor of jobs that need much processor time. Clones share the queues.
#[derive(Clone)]
pub struct Hasher(Arc<Shared>);

/// Job of a caller. Its argument is the time of its start, with which it checks whether its caller still
/// waits.
type Job = Box<dyn FnOnce(Instant) + Send>;

struct Shared {
    limits: Limits,
    state: Mutex<State>,
    meters: Meters,
}

#[derive(Default)]
struct State {
    registrations: VecDeque<Job>,
    sign_ins: VecDeque<Job>,
    threads_running: usize,
}

impl Hasher {
    /// Creates a hasher with these limits.
    pub fn new(limits: Limits) -> Self {
        Self(Arc::new(Shared {
            limits,
            state: Mutex::default(),
            meters: Meters::new(),
        }))
    }

    /// Queues `job` and returns its result. Waits until `deadline` at most.
    ///
    /// # Errors
    ///
    /// `ResourceExhausted` immediately if the queue is full; `DeadlineExceeded` after the deadline;
    /// `Internal` if the job panicked.
    pub async fn run<T: Send + 'static>(
        &self,
        priority: Priority,
        deadline: Deadline,
        job: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, Status> {
        let (sender, receiver) = oneshot::channel();
        let seconds = self.0.meters.seconds.clone();
        let skipped = self.0.meters.skipped.clone();
        self.enqueue(
            priority,
            Box::new(move |now| {
                if sender.is_closed() || deadline.is_over(now) {
                    skipped.increment(1);
                    return;
                }
                let outcome = job();
                seconds.record(now.elapsed().as_secs_f64());
                // The caller may have gone during the job.
                let _ = sender.send(outcome);
            }),
        )?;
        let outcome = Outcome::of(&trace::span!("hash password"));
        let result = tokio::time::timeout_at(deadline.instant(), receiver).await;
        outcome.finish(result.is_err().then_some("timeout"));
        match result {
            Ok(Ok(outcome)) => Ok(outcome),
            Ok(Err(_)) if deadline.is_over(Instant::now()) => Err(timed_out()),
            Ok(Err(_)) => Err(Status::internal("the password could not be hashed")),
            Err(_) => Err(timed_out()),
        }
    }

    fn enqueue(&self, priority: Priority, job: Job) -> Result<(), Status> {
        let limits = self.0.limits;
        let mut state = self.0.lock();
        let (queue, queue_max) = match priority {
            Priority::Registration => (&mut state.registrations, limits.registrations_max),
            Priority::SignIn => (&mut state.sign_ins, limits.sign_ins_max),
        };
        if queue.len() >= queue_max {
            self.0.meters.refused.increment(1);
            return Err(Status::resource_exhausted("too many passwords are waiting"));
        }
        queue.push_back(job);
        self.0.meters.waiting(&state);
        // A thread stops under this lock, after it has seen both queues empty. So either a running thread
        // takes the job, or a new thread starts here.
        if state.threads_running < limits.threads {
            state.threads_running += 1;
            let shared = Arc::clone(&self.0);
            tokio::task::spawn_blocking(move || shared.work());
        }
        Ok(())
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        // No code panics under this lock, so the state behind a poisoned lock is consistent.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Runs jobs until both queues are empty.
    fn work(&self) {
        while let Some(job) = self.next() {
            // A job that panics drops its sender, so its caller gets an error. Other jobs continue.
            let _ = catch_unwind(AssertUnwindSafe(|| job(Instant::now())));
        }
    }

    fn next(&self) -> Option<Job> {
        let mut state = self.lock();
        let registration = state.registrations.pop_front();
        let job = registration.or_else(|| state.sign_ins.pop_front());
        if job.is_none() {
            state.threads_running -= 1;
        }
        self.meters.waiting(&state);
        job
    }
}

fn timed_out() -> Status {
    Status::deadline_exceeded("no answer in time")
}

struct Meters {
    seconds: Histogram,
    registrations: Gauge,
    sign_ins: Gauge,
    refused: Counter,
    /// Jobs that did not run because their caller had gone or their deadline was over.
    skipped: Counter,
}

impl Meters {
    fn new() -> Self {
        let waiting = |kind| metrics::gauge!("minitwit_password_waiting", "for" => kind);
        Self {
            seconds: metrics::histogram!("minitwit_password_hash_seconds"),
            registrations: waiting("registration"),
            sign_ins: waiting("sign_in"),
            refused: metrics::counter!("minitwit_password_refused_total"),
            skipped: metrics::counter!("minitwit_password_left_out_total"),
        }
    }

    #[expect(clippy::cast_precision_loss, reason = "a queue's length is small")]
    fn waiting(&self, state: &State) {
        self.registrations.set(state.registrations.len() as f64);
        self.sign_ins.set(state.sign_ins.len() as f64);
    }
}

#[cfg(test)]
mod tests {
    use std::{sync::mpsc, time::Duration};

    use super::*;

    const LIMITS: Limits = Limits {
        threads: 1,
        registrations_max: 2,
        sign_ins_max: 1,
    };

    fn ample() -> Deadline {
        Deadline::after(Duration::from_secs(10))
    }

    /// Occupies the only thread until the returned sender is used or dropped.
    async fn occupied(hasher: &Hasher) -> mpsc::Sender<()> {
        let (release, released) = mpsc::channel::<()>();
        let (started, has_started) = oneshot::channel();
        let hasher = hasher.clone();
        tokio::spawn(async move {
            let job = move || {
                let _ = started.send(());
                let _ = released.recv();
            };
            hasher.run(Priority::SignIn, ample(), job).await
        });
        has_started.await.unwrap();
        release
    }

    #[tokio::test]
    async fn registrations_run_first_and_a_job_beyond_the_limit_is_refused() {
        let hasher = Hasher::new(LIMITS);
        let release = occupied(&hasher).await;
        let order = Arc::new(Mutex::new(Vec::new()));
        let record = |name: &'static str| {
            let order = Arc::clone(&order);
            move || order.lock().unwrap().push(name)
        };

        let sign_in = hasher.run(Priority::SignIn, ample(), record("sign-in"));
        let refused = hasher.run(Priority::SignIn, ample(), record("refused"));
        let registration = hasher.run(Priority::Registration, ample(), record("registration"));
        let refusal = async {
            let refused = refused.await;
            drop(release);
            refused
        };
        let (sign_in, refused, registration) = tokio::join!(
            biased;
            sign_in,
            async { tokio::task::yield_now().await; refusal.await },
            registration,
        );

        assert_eq!(refused.unwrap_err().code(), tonic::Code::ResourceExhausted);
        sign_in.unwrap();
        registration.unwrap();
        assert_eq!(*order.lock().unwrap(), ["registration", "sign-in"]);
    }

    #[tokio::test]
    async fn a_job_whose_deadline_is_over_does_not_run() {
        let hasher = Hasher::new(LIMITS);
        let release = occupied(&hasher).await;
        let (ran, runs) = mpsc::channel();
        let late = hasher.run(
            Priority::Registration,
            Deadline::after(Duration::from_millis(20)),
            move || ran.send(()),
        );
        let status = late.await.unwrap_err();
        assert_eq!(status.code(), tonic::Code::DeadlineExceeded);

        drop(release);
        hasher
            .run(Priority::Registration, ample(), || ())
            .await
            .unwrap();
        assert!(runs.try_recv().is_err());
    }

    #[tokio::test]
    async fn a_job_that_panics_fails_its_own_caller_only() {
        let hasher = Hasher::new(LIMITS);
        let status = hasher
            .run(Priority::Registration, ample(), || -> () {
                panic!("a bug")
            })
            .await
            .unwrap_err();
        assert_eq!(status.code(), tonic::Code::Internal);
        hasher
            .run(Priority::Registration, ample(), || ())
            .await
            .unwrap();
    }
}
