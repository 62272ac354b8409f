//! A steady sequence of requests beside the load. Each request is recorded with its time, so that a
//! scenario can tell when requests failed, how they were refused, and when the suite had recovered.

use std::{
    net::SocketAddr,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use anyhow::ensure;
use serde_json::json;
use tokio::{
    task::JoinHandle,
    time::{Instant, MissedTickBehavior, interval},
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use super::run::Period;
use crate::http::Client;

/// Longer than the simulator's timeout, to measure how late a response is.
const TIMEOUT: Duration = Duration::from_secs(2);

/// Maximum time until a response to a request that is refused.
const REFUSAL_TIME_MAX: Duration = Duration::from_millis(400);

/// Maximum number of attempts to register a user on a busy machine.
const REGISTRATIONS_MAX: usize = 20;

/// Users that the probe registers.
const USERS: [&str; 2] = ["probe-one", "probe-two"];

/// Kind of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// Reads the public timeline.
    Public,
    /// Reads a user's timeline.
    Timeline,
    /// Posts a message.
    Post,
    /// Reads the followees of a user.
    Followees,
    /// Follows or unfollows a user.
    Follow,
}

impl Kind {
    const ALL: [Self; 5] = [
        Self::Public,
        Self::Post,
        Self::Followees,
        Self::Timeline,
        Self::Follow,
    ];

    /// Whether the request needs the follower service.
    pub(super) fn needs_follower(self) -> bool {
        matches!(self, Self::Followees | Self::Follow)
    }
}

/// A request and its response.
#[derive(Clone, Copy, Debug)]
pub(super) struct Sample {
    pub(super) kind: Kind,
    pub(super) sent_at: Instant,
    pub(super) response_time: Duration,
    /// Status of the response. `None` without a response.
    pub(super) status: Option<u16>,
    /// Whether the response has a `Retry-After` header.
    pub(super) has_retry_after: bool,
}

impl Sample {
    /// Whether the response is a success.
    pub(super) fn is_ok(&self) -> bool {
        matches!(self.status, Some(200 | 204))
    }

    /// Whether the request was refused in time by a 503 or 504, rather than by a broken connection.
    pub(super) fn is_clean_refusal(&self) -> bool {
        let is_refused = matches!(self.status, Some(503) if self.has_retry_after)
            || matches!(self.status, Some(504));
        is_refused && self.response_time < REFUSAL_TIME_MAX
    }
}

/// A running probe.
#[derive(Debug)]
pub(super) struct Probe {
    samples: Arc<Mutex<Vec<Sample>>>,
    stop: CancellationToken,
    task: JoinHandle<()>,
}

impl Probe {
    /// Registers the probe's users and starts to send `per_second` requests per second.
    pub(super) async fn start(target: SocketAddr, per_second: u32) -> anyhow::Result<Self> {
        let client = Client::new(TIMEOUT);
        for user in USERS {
            let body = json!({"username": user, "email": "probe@example.org", "pwd": "probe"});
            let mut is_registered = false;
            for _ in 0..REGISTRATIONS_MAX {
                let response = client.post(target, "/register", &[], &body).await;
                // Status 400 means that an earlier attempt has registered the user.
                is_registered = response.is_ok_and(|response| matches!(response.status, 204 | 400));
                if is_registered {
                    break;
                }
            }
            ensure!(is_registered, "the probe's users cannot be registered");
        }
        let samples = Arc::new(Mutex::default());
        let stop = CancellationToken::new();
        let sending = send_requests(
            client,
            target,
            per_second,
            Arc::clone(&samples),
            stop.clone(),
        );
        Ok(Self {
            samples,
            stop,
            task: tokio::spawn(sending),
        })
    }

    /// Stops the requests, waits for the last responses, and returns the samples in order.
    pub(super) async fn finish(self) -> anyhow::Result<Vec<Sample>> {
        self.stop.cancel();
        self.task.await?;
        let mut samples = self.samples.lock().unwrap_or_else(PoisonError::into_inner);
        samples.sort_by_key(|sample| sample.sent_at);
        Ok(std::mem::take(&mut *samples))
    }
}

async fn send_requests(
    client: Client,
    target: SocketAddr,
    per_second: u32,
    samples: Arc<Mutex<Vec<Sample>>>,
    stop: CancellationToken,
) {
    let mut ticks = interval(Duration::from_secs(1) / per_second);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Burst);
    let tasks = TaskTracker::new();
    for number in 0_usize.. {
        tokio::select! {
            () = stop.cancelled() => break,
            _ = ticks.tick() => {}
        }
        let (client, samples) = (client.clone(), Arc::clone(&samples));
        tasks.spawn(async move {
            let kind = Kind::ALL[number % Kind::ALL.len()];
            let sample = send(&client, target, kind, number).await;
            samples
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .push(sample);
        });
    }
    tasks.close();
    tasks.wait().await;
}

async fn send(client: &Client, target: SocketAddr, kind: Kind, number: usize) -> Sample {
    let [one, two] = USERS;
    let sent_at = Instant::now();
    let response = match kind {
        Kind::Public => client.get(target, "/msgs?no=20").await,
        Kind::Timeline => client.get(target, &format!("/msgs/{one}?no=20")).await,
        Kind::Followees => client.get(target, &format!("/fllws/{one}?no=20")).await,
        Kind::Post => {
            let body = json!({"content": format!("probe {number}")});
            let path = format!("/msgs/{one}");
            client.post(target, &path, &[], &body).await
        }
        Kind::Follow => {
            let is_even = number.is_multiple_of(2);
            let verb = if is_even { "follow" } else { "unfollow" };
            let path = format!("/fllws/{one}");
            client.post(target, &path, &[], &json!({verb: two})).await
        }
    };
    Sample {
        kind,
        sent_at,
        response_time: sent_at.elapsed(),
        status: response.as_ref().ok().map(|response| response.status),
        has_retry_after: response
            .is_ok_and(|response| response.headers.contains_key("retry-after")),
    }
}

/// Returns a percentile of the response times, or zero without samples.
pub(super) fn percentile(samples: &[Sample], percent: usize) -> Duration {
    let mut times: Vec<_> = samples.iter().map(|sample| sample.response_time).collect();
    times.sort_unstable();
    let rank = (times.len() * percent).div_ceil(100).saturating_sub(1);
    times.get(rank).copied().unwrap_or_default()
}

/// Returns the samples of a period.
pub(super) fn during(samples: &[Sample], Period { from, until }: Period) -> Vec<Sample> {
    let is_during = |sample: &&Sample| (from..until).contains(&sample.sent_at);
    samples.iter().filter(is_during).copied().collect()
}
