//! A steady trickle of requests beside the load, each written down with its time: when did it fail,
//! how was it refused, and when was everything well again?

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

use crate::http;

/// Longer than the simulator waits, to see how late an answer really is.
const PATIENCE: Duration = Duration::from_secs(2);

/// The users that the probe registers for itself.
const USERS: [&str; 2] = ["probe-one", "probe-two"];

/// What a request asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// The public timeline.
    Public,
    /// One user's messages.
    Timeline,
    /// A new message.
    Post,
    /// Whom one user follows.
    Followees,
    /// To follow, or to unfollow.
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

    /// Whether the follower service has a part in it.
    pub fn needs_follower(self) -> bool {
        matches!(self, Self::Followees | Self::Follow)
    }
}

/// One request and what became of it.
#[derive(Clone, Copy, Debug)]
pub struct Sample {
    /// What was asked for.
    pub kind: Kind,
    /// When it was sent.
    pub at: Instant,
    /// How long it took.
    pub took: Duration,
    /// The status, if there was an answer.
    pub status: Option<u16>,
    /// Whether the answer says when to come back.
    pub retry_after: bool,
}

impl Sample {
    /// Whether it was answered as it should be.
    pub fn is_ok(&self) -> bool {
        matches!(self.status, Some(200 | 204))
    }

    /// Whether it was refused in order and in time: a 503 or 504, not a broken connection.
    pub fn is_clean_refusal(&self) -> bool {
        let refused = matches!(self.status, Some(503) if self.retry_after)
            || matches!(self.status, Some(504));
        refused && self.took < Duration::from_millis(400)
    }
}

/// A running trickle.
#[derive(Debug)]
pub struct Probe {
    samples: Arc<Mutex<Vec<Sample>>>,
    stop: CancellationToken,
    task: JoinHandle<()>,
}

impl Probe {
    /// Registers its users and begins to ask so many times a second.
    pub async fn start(target: SocketAddr, per_second: u32) -> anyhow::Result<Self> {
        for user in USERS {
            let body = json!({"username": user, "email": "probe@example.org", "pwd": "probe"});
            let mut registered = false;
            // Known already is as good; a busy machine may take its time.
            for _ in 0..20 {
                let answer = http::post(target, "/register", &[], &body, PATIENCE).await;
                registered = answer.is_ok_and(|answer| matches!(answer.status, 204 | 400));
                if registered {
                    break;
                }
            }
            ensure!(registered, "the probe's users cannot be registered");
        }
        let samples = Arc::new(Mutex::default());
        let stop = CancellationToken::new();
        let asking = ask(target, per_second, Arc::clone(&samples), stop.clone());
        Ok(Self {
            samples,
            stop,
            task: tokio::spawn(asking),
        })
    }

    /// What was seen so far.
    pub fn samples(&self) -> Vec<Sample> {
        self.samples
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    /// Stops asking, waits for the last answers, and hands over what was seen.
    pub async fn finish(self) -> anyhow::Result<Vec<Sample>> {
        self.stop.cancel();
        self.task.await?;
        let mut samples = self
            .samples
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone();
        samples.sort_by_key(|sample| sample.at);
        Ok(samples)
    }
}

async fn ask(
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
        let samples = Arc::clone(&samples);
        tasks.spawn(async move {
            let sample = request(target, Kind::ALL[number % Kind::ALL.len()], number).await;
            samples
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .push(sample);
        });
    }
    tasks.close();
    tasks.wait().await;
}

async fn request(target: SocketAddr, kind: Kind, number: usize) -> Sample {
    let [one, two] = USERS;
    let at = Instant::now();
    let answer = match kind {
        Kind::Public => http::get(target, "/msgs?no=20", PATIENCE).await,
        Kind::Timeline => http::get(target, &format!("/msgs/{one}?no=20"), PATIENCE).await,
        Kind::Followees => http::get(target, &format!("/fllws/{one}?no=20"), PATIENCE).await,
        Kind::Post => {
            let body = json!({"content": format!("probe {number}")});
            http::post(target, &format!("/msgs/{one}"), &[], &body, PATIENCE).await
        }
        Kind::Follow => {
            let verb = if number.is_multiple_of(2) {
                "follow"
            } else {
                "unfollow"
            };
            let body = json!({verb: two});
            http::post(target, &format!("/fllws/{one}"), &[], &body, PATIENCE).await
        }
    };
    let took = at.elapsed();
    Sample {
        kind,
        at,
        took,
        status: answer.as_ref().ok().map(|answer| answer.status),
        retry_after: answer.is_ok_and(|answer| answer.headers.contains_key("retry-after")),
    }
}

/// A percentile of how long requests took; zero when there are none.
pub fn percentile(samples: &[Sample], percent: usize) -> Duration {
    let mut times: Vec<_> = samples.iter().map(|sample| sample.took).collect();
    times.sort_unstable();
    let rank = (times.len() * percent).div_ceil(100).saturating_sub(1);
    times.get(rank).copied().unwrap_or_default()
}

/// Those sent from `from` until `until`.
pub fn between(samples: &[Sample], from: Instant, until: Instant) -> Vec<Sample> {
    samples
        .iter()
        .filter(|sample| (from..until).contains(&sample.at))
        .copied()
        .collect()
}
