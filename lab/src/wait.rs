//! Bounded waits for a condition. A wait that reaches its bound is an error.

use std::{
    sync::mpsc,
    time::{Duration, Instant},
};

use anyhow::bail;

const POLL_INTERVAL: Duration = Duration::from_millis(100);

const SWARM_POLL_INTERVAL: Duration = Duration::from_millis(500);

/// Calls `poll` until it returns a value or fails, for at most `timeout`.
pub(crate) fn wait_for<T>(
    timeout: Duration,
    poll: impl FnMut() -> anyhow::Result<Option<T>>,
) -> anyhow::Result<T> {
    poll_every(POLL_INTERVAL, timeout, poll)
}

/// [`wait_for`] a state of a Swarm. Polls less often, because each query of the Swarm takes processor
/// time from the measured suite.
pub(crate) fn wait_for_swarm<T>(
    timeout: Duration,
    poll: impl FnMut() -> anyhow::Result<Option<T>>,
) -> anyhow::Result<T> {
    poll_every(SWARM_POLL_INTERVAL, timeout, poll)
}

fn poll_every<T>(
    interval: Duration,
    timeout: Duration,
    mut poll: impl FnMut() -> anyhow::Result<Option<T>>,
) -> anyhow::Result<T> {
    let deadline = Instant::now() + timeout;
    loop {
        if let Some(value) = poll()? {
            return Ok(value);
        }
        if Instant::now() > deadline {
            bail!("not within {timeout:?}");
        }
        pause(interval);
    }
}

/// The asynchronous form of [`wait_for`].
pub(crate) async fn wait_until<T>(
    timeout: Duration,
    interval: Duration,
    mut poll: impl AsyncFnMut() -> anyhow::Result<Option<T>>,
) -> anyhow::Result<T> {
    let deadline = tokio::time::Instant::now() + timeout;
    loop {
        if let Some(value) = poll().await? {
            return Ok(value);
        }
        if tokio::time::Instant::now() > deadline {
            bail!("not within {timeout:?}");
        }
        tokio::time::sleep(interval).await;
    }
}

/// Blocks for a time that is part of a measurement.
pub(crate) fn pause(time: Duration) {
    // Nothing is ever sent on this channel, so the receiver always waits until its timeout.
    let (_sender, receiver) = mpsc::channel::<()>();
    let _ = receiver.recv_timeout(time);
}
