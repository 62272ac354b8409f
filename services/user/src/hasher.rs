//! Where passwords are hashed: off the async threads, on all processors but one, in a bounded queue.
//!
//! Invariant: a sign-in waits while a registration does, and nobody waits for a job whose caller has
//! gone or whose time is over.

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

/// Who goes first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Priority {
    /// Before every sign-in.
    Registration,
    /// When no registration waits.
    SignIn,
}

/// The bounds of a hasher.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// How many jobs run at once.
    pub threads: usize,
    /// How many registrations may wait; the next one is refused at once.
    pub registrations_max: usize,
    /// How many sign-ins may wait; the next one is refused at once.
    pub sign_ins_max: usize,
}

impl Default for Limits {
    /// One processor is left to everything else.
    fn default() -> Self {
        let processors = available_parallelism().map_or(1, NonZero::get);
        Self {
            threads: (processors - 1).max(1),
            registrations_max: 256,
            sign_ins_max: 64,
        }
    }
}

/// Runs jobs that cost a processor's time. Clones share the queue.
#[derive(Clone)]
pub struct Hasher(Arc<Shared>);

/// Looks itself whether anybody still waits for it, at the time given.
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
    /// A hasher with these bounds.
    pub fn new(limits: Limits) -> Self {
        Self(Arc::new(Shared {
            limits,
            state: Mutex::default(),
            meters: Meters::new(),
        }))
    }

    /// Runs `job` when its turn comes, and waits for it until `deadline` at the latest.
    ///
    /// # Errors
    ///
    /// `ResourceExhausted` at once when too many wait already; `DeadlineExceeded` when the time is
    /// over; `Internal` when the job panicked.
    pub async fn run<T: Send + 'static>(
        &self,
        priority: Priority,
        deadline: Deadline,
        job: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, Status> {
        let (answer, answered) = oneshot::channel();
        let seconds = self.0.meters.seconds.clone();
        let left_out = self.0.meters.left_out.clone();
        self.enqueue(
            priority,
            Box::new(move |now| {
                if answer.is_closed() || deadline.is_over(now) {
                    left_out.increment(1);
                    return;
                }
                let outcome = job();
                seconds.record(now.elapsed().as_secs_f64());
                // A caller that has gone meanwhile is no error.
                let _ = answer.send(outcome);
            }),
        )?;
        let outcome = Outcome::of(&trace::span!("hash password"));
        let answered = tokio::time::timeout_at(deadline.instant(), answered).await;
        outcome.finish(answered.is_err().then_some("timeout"));
        match answered {
            Ok(Ok(outcome)) => Ok(outcome),
            Ok(Err(_)) if deadline.is_over(Instant::now()) => Err(late()),
            Ok(Err(_)) => Err(Status::internal("the password could not be hashed")),
            Err(_) => Err(late()),
        }
    }

    fn enqueue(&self, priority: Priority, job: Job) -> Result<(), Status> {
        let limits = self.0.limits;
        let mut state = self.0.lock();
        let (queue, most) = match priority {
            Priority::Registration => (&mut state.registrations, limits.registrations_max),
            Priority::SignIn => (&mut state.sign_ins, limits.sign_ins_max),
        };
        if queue.len() >= most {
            self.0.meters.refused.increment(1);
            return Err(Status::resource_exhausted("too many passwords are waiting"));
        }
        queue.push_back(job);
        self.0.meters.waiting(&state);
        // Under the same lock as the queue: a thread stops only after it saw both queues empty.
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
        // Nothing panics under this lock, so a poisoned one cannot hold a broken state.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// One job after the other, until nobody waits.
    fn work(&self) {
        while let Some(job) = self.next() {
            // A job that panics drops its answer, which tells its caller; the others go on.
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

fn late() -> Status {
    Status::deadline_exceeded("no answer in time")
}

struct Meters {
    seconds: Histogram,
    registrations: Gauge,
    sign_ins: Gauge,
    refused: Counter,
    left_out: Counter,
}

impl Meters {
    fn new() -> Self {
        let waiting = |what| metrics::gauge!("minitwit_password_waiting", "for" => what);
        Self {
            seconds: metrics::histogram!("minitwit_password_hash_seconds"),
            registrations: waiting("registration"),
            sign_ins: waiting("sign_in"),
            refused: metrics::counter!("minitwit_password_refused_total"),
            left_out: metrics::counter!("minitwit_password_left_out_total"),
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

    fn soon() -> Deadline {
        Deadline::after(Duration::from_secs(10))
    }

    /// Occupies the only thread until the sender is used or dropped.
    async fn occupied(hasher: &Hasher) -> mpsc::Sender<()> {
        let (release, released) = mpsc::channel::<()>();
        let (begun, begins) = oneshot::channel();
        let hasher = hasher.clone();
        tokio::spawn(async move {
            let job = move || {
                let _ = begun.send(());
                let _ = released.recv();
            };
            hasher.run(Priority::SignIn, soon(), job).await
        });
        begins.await.unwrap();
        release
    }

    #[tokio::test]
    async fn registrations_go_first_and_past_the_bound_nobody_waits() {
        let hasher = Hasher::new(LIMITS);
        let release = occupied(&hasher).await;
        let order = Arc::new(Mutex::new(Vec::new()));
        let note = |what: &'static str| {
            let order = Arc::clone(&order);
            move || order.lock().unwrap().push(what)
        };

        let sign_in = hasher.run(Priority::SignIn, soon(), note("sign-in"));
        let refused = hasher.run(Priority::SignIn, soon(), note("refused"));
        let registration = hasher.run(Priority::Registration, soon(), note("registration"));
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
    async fn who_has_gone_or_is_late_costs_nothing() {
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
            .run(Priority::Registration, soon(), || ())
            .await
            .unwrap();
        assert!(runs.try_recv().is_err());
    }

    #[tokio::test]
    async fn a_panic_costs_only_its_own_caller() {
        let hasher = Hasher::new(LIMITS);
        let status = hasher
            .run(Priority::Registration, soon(), || -> () { panic!("a bug") })
            .await
            .unwrap_err();
        assert_eq!(status.code(), tonic::Code::Internal);
        hasher
            .run(Priority::Registration, soon(), || ())
            .await
            .unwrap();
    }
}
