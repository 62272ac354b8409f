//! A crowd in a closed loop (as fast as the answers come) or an open one (as fast as the clock
//! says).

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::action::Action;
use crate::attempt::Answer;
use crate::client::Client;
use crate::crowd::CrowdPlan;
use crate::steps::Step;

use super::dispatch::Dispatch;
use super::{Recorder, Sample, Timeouts, pause_in_outage, perform};

/// The most requests of an open loop that are under way together; what is due past it is not sent.
const IN_FLIGHT_MAX: usize = 10_000;

/// How many of the first users register together: argon2 keeps a core busy for each.
const FIRST_REGISTRATIONS: usize = 2;

/// What the tasks of a run share.
struct Shared {
    client: Arc<Client>,
    recorder: Arc<Recorder>,
    timeouts: Timeouts,
    stop: CancellationToken,
    dispatch: Mutex<Dispatch>,
}

impl Shared {
    fn dispatch(&self) -> MutexGuard<'_, Dispatch> {
        self.dispatch.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn take(&self, (step, action): (Step, Action), due: Option<Instant>) -> Answer {
        let sample = perform(&self.client, self.timeouts, action, due).await;
        self.dispatch().settle(&step, &sample.answer);
        let answer = sample.answer.clone();
        self.recorder.record(sample);
        answer
    }

    fn skip(&self, (step, action): (Step, Action), due: Instant) {
        let answer = Answer::NotSent;
        self.dispatch().settle(&step, &answer);
        self.recorder.record(Sample {
            action,
            due,
            sent: due,
            done: due,
            answer,
        });
    }
}

/// Who acts, through what, until when.
pub(crate) struct Load {
    pub(crate) plan: CrowdPlan,
    pub(crate) client: Arc<Client>,
    pub(crate) recorder: Arc<Recorder>,
    pub(crate) timeouts: Timeouts,
    pub(crate) stop: CancellationToken,
}

impl Load {
    /// Registers those who are there from the start, so that the others find somebody to act on.
    async fn begin(self) -> Arc<Shared> {
        let at_start = usize::try_from(self.plan.users_at_start()).unwrap_or(usize::MAX);
        let shared = Arc::new(Shared {
            client: self.client,
            recorder: self.recorder,
            timeouts: self.timeouts,
            stop: self.stop,
            dispatch: Mutex::new(Dispatch::new(self.plan)),
        });
        let seats = Arc::new(Semaphore::new(FIRST_REGISTRATIONS));
        let mut tasks = JoinSet::new();
        for _ in 0..at_start {
            let seat = Arc::clone(&seats).acquire_owned().await;
            let Some(next) = shared.dispatch().next() else {
                break;
            };
            let shared = Arc::clone(&shared);
            tasks.spawn(async move {
                shared.take(next, None).await;
                drop(seat);
            });
        }
        tasks.join_all().await;
        shared
    }
}

/// `concurrency` users act, each as soon as its last request was answered, for as long as there are
/// actions or until `duration` is over.
pub(crate) async fn closed_loop(load: Load, concurrency: usize, duration: Option<Duration>) {
    let shared = load.begin().await;
    let end = duration.map(|duration| Instant::now() + duration);
    let mut tasks = JoinSet::new();
    for _ in 0..concurrency {
        let shared = Arc::clone(&shared);
        tasks.spawn(async move {
            while !shared.stop.is_cancelled() && end.is_none_or(|end| Instant::now() < end) {
                let Some(next) = shared.dispatch().next() else {
                    break;
                };
                let answer = shared.take(next, None).await;
                pause_in_outage(&answer).await;
            }
        });
    }
    tasks.join_all().await;
}

/// Requests are sent `rate` times a second, whether or not the ones before were answered, so that a
/// server that stalls is not spared: the time to answer counts from when a request was due.
pub(crate) async fn open_loop(load: Load, rate: f64) {
    let shared = load.begin().await;
    let seats = Arc::new(Semaphore::new(IN_FLIGHT_MAX));
    let tasks = TaskTracker::new();
    let start = Instant::now();
    for number in 0_u32.. {
        let due = start + Duration::from_secs_f64(f64::from(number) / rate);
        tokio::select! {
            biased;
            () = shared.stop.cancelled() => break,
            () = tokio::time::sleep_until(due) => {}
        }
        let Some(next) = shared.dispatch().next() else {
            break;
        };
        if let Ok(seat) = Arc::clone(&seats).try_acquire_owned() {
            let shared = Arc::clone(&shared);
            tasks.spawn(async move {
                shared.take(next, Some(due)).await;
                drop(seat);
            });
        } else {
            shared.skip(next, due);
        }
    }
    // Every request has its time-out, so that this ends.
    tasks.close();
    tasks.wait().await;
}
