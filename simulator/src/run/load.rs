//! Sends the requests of a crowd in a closed loop, where responses determine the rate, or in an
//! open loop with a fixed rate.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::action::Action;
use crate::attempt::RequestOutcome;
use crate::client::Client;
use crate::crowd::CrowdPlan;
use crate::steps::Step;

use super::dispatcher::Dispatcher;
use super::{Recorder, Sample, Timeouts, pause_in_outage, perform};

/// Maximum number of requests of an open loop in flight. A request that is due beyond it is not
/// sent.
const IN_FLIGHT_MAX: usize = 10_000;

/// Maximum number of concurrent registrations of the first users. Each occupies a core of the
/// server, which hashes the password with argon2.
const FIRST_REGISTRATIONS_IN_FLIGHT_MAX: usize = 2;

/// The state that the tasks of a run share.
struct Shared {
    client: Arc<Client>,
    recorder: Arc<Recorder>,
    timeouts: Timeouts,
    stop: CancellationToken,
    dispatcher: Mutex<Dispatcher>,
}

impl Shared {
    fn dispatcher(&self) -> MutexGuard<'_, Dispatcher> {
        self.dispatcher
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    async fn take(&self, (step, action): (Step, Action), due: Option<Instant>) -> RequestOutcome {
        let sample = perform(&self.client, self.timeouts, action, due).await;
        self.dispatcher().record_outcome(&step, &sample.outcome);
        let outcome = sample.outcome.clone();
        self.recorder.record(sample);
        outcome
    }

    fn skip(&self, (step, action): (Step, Action), due: Instant) {
        let outcome = RequestOutcome::NotSent;
        self.dispatcher().record_outcome(&step, &outcome);
        self.recorder.record(Sample {
            action,
            due,
            sent: due,
            done: due,
            outcome,
        });
    }
}

/// The parameters of a load run.
pub(crate) struct Load {
    pub(crate) plan: CrowdPlan,
    pub(crate) client: Arc<Client>,
    pub(crate) recorder: Arc<Recorder>,
    pub(crate) timeouts: Timeouts,
    pub(crate) stop: CancellationToken,
}

impl Load {
    /// Registers the first users, so that later actions have users to act on.
    async fn register_first_users(self) -> Arc<Shared> {
        let at_start = usize::try_from(self.plan.users_at_start()).unwrap_or(usize::MAX);
        let shared = Arc::new(Shared {
            client: self.client,
            recorder: self.recorder,
            timeouts: self.timeouts,
            stop: self.stop,
            dispatcher: Mutex::new(Dispatcher::new(self.plan)),
        });
        let permits = Arc::new(Semaphore::new(FIRST_REGISTRATIONS_IN_FLIGHT_MAX));
        let mut tasks = JoinSet::new();
        for _ in 0..at_start {
            let permit = Arc::clone(&permits).acquire_owned().await;
            let Some(next) = shared.dispatcher().next() else {
                break;
            };
            let shared = Arc::clone(&shared);
            tasks.spawn(async move {
                shared.take(next, None).await;
                drop(permit);
            });
        }
        tasks.join_all().await;
        shared
    }
}

/// Runs `concurrency` senders until all actions are used up or `duration` is over. Each sender waits
/// for the outcome of its request before it sends the next one.
pub(crate) async fn closed_loop(load: Load, concurrency: usize, duration: Option<Duration>) {
    let shared = load.register_first_users().await;
    let end = duration.map(|duration| Instant::now() + duration);
    let mut tasks = JoinSet::new();
    for _ in 0..concurrency {
        let shared = Arc::clone(&shared);
        tasks.spawn(async move {
            while !shared.stop.is_cancelled() && end.is_none_or(|end| Instant::now() < end) {
                let Some(next) = shared.dispatcher().next() else {
                    break;
                };
                let outcome = shared.take(next, None).await;
                pause_in_outage(&outcome).await;
            }
        });
    }
    tasks.join_all().await;
}

/// Sends `rate` requests per second, whether or not the earlier requests have been answered.
///
/// The latency is measured from the scheduled time of a request, so a stall of the server shows in
/// the latency of all requests that were due during the stall.
pub(crate) async fn open_loop(load: Load, rate: f64) {
    let shared = load.register_first_users().await;
    let permits = Arc::new(Semaphore::new(IN_FLIGHT_MAX));
    let tasks = TaskTracker::new();
    let start = Instant::now();
    for number in 0_u32.. {
        let due = start + Duration::from_secs_f64(f64::from(number) / rate);
        tokio::select! {
            biased;
            () = shared.stop.cancelled() => break,
            () = tokio::time::sleep_until(due) => {}
        }
        let Some(next) = shared.dispatcher().next() else {
            break;
        };
        if let Ok(permit) = Arc::clone(&permits).try_acquire_owned() {
            let shared = Arc::clone(&shared);
            tasks.spawn(async move {
                shared.take(next, Some(due)).await;
                drop(permit);
            });
        } else {
            shared.skip(next, due);
        }
    }
    // Every request has a time-out, so this wait ends.
    tasks.close();
    tasks.wait().await;
}
