//! Waiting for a condition: the bound is an error, never a pause that is always taken.

use std::{
    sync::mpsc,
    time::{Duration, Instant},
};

use anyhow::bail;

const POLL_INTERVAL: Duration = Duration::from_millis(100);

const SWARM_POLL_INTERVAL: Duration = Duration::from_millis(500);

/// Asks `poll` until it has an answer or fails; `patience` is how long at most.
pub(crate) fn wait_for<T>(
    patience: Duration,
    poll: impl FnMut() -> anyhow::Result<Option<T>>,
) -> anyhow::Result<T> {
    ask_every(POLL_INTERVAL, patience, poll)
}

/// [`wait_for`] something of a Swarm: to ask it takes processor time from what is measured.
pub(crate) fn wait_for_swarm<T>(
    patience: Duration,
    poll: impl FnMut() -> anyhow::Result<Option<T>>,
) -> anyhow::Result<T> {
    ask_every(SWARM_POLL_INTERVAL, patience, poll)
}

fn ask_every<T>(
    interval: Duration,
    patience: Duration,
    mut poll: impl FnMut() -> anyhow::Result<Option<T>>,
) -> anyhow::Result<T> {
    let deadline = Instant::now() + patience;
    loop {
        if let Some(answer) = poll()? {
            return Ok(answer);
        }
        if Instant::now() > deadline {
            bail!("not within {} s", patience.as_secs());
        }
        pause(interval);
    }
}

/// Lets time pass that is part of what is measured.
pub(crate) fn pause(time: Duration) {
    // Nothing is ever sent: a pause that no runtime thread could be blocked by mistake with.
    let (_sender, never) = mpsc::channel::<()>();
    let _ = never.recv_timeout(time);
}
