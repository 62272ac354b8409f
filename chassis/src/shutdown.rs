//! Stopping without losing anybody's request.

use std::time::Duration;

use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;

/// How a process stops.
#[derive(Clone, Copy, Debug)]
pub struct Drain {
    /// How long it goes on accepting after it said that it is about to stop, so that those who
    /// call it can hear that first.
    pub lame_duck: Duration,
    /// When, counted from the signal, it stops although something is still under way.
    pub hard_stop: Duration,
}

impl Drain {
    /// For a process whose callers stop before it does, as in the suite of one process.
    pub const AT_ONCE: Self = Self {
        lame_duck: Duration::ZERO,
        hard_stop: Duration::from_secs(5),
    };
}

/// A token that is cancelled by the first SIGTERM or SIGINT; the second one ends the process.
///
/// # Panics
///
/// When the signals cannot be handled, which no supported system refuses.
pub fn on_signal() -> CancellationToken {
    let mut terminate = signal(SignalKind::terminate()).expect("SIGTERM can be handled");
    let mut interrupt = signal(SignalKind::interrupt()).expect("SIGINT can be handled");
    let token = CancellationToken::new();
    let stop = token.clone();
    tokio::spawn(async move {
        for attempt in 0.. {
            let name = tokio::select! {
                _ = terminate.recv() => "SIGTERM",
                _ = interrupt.recv() => "SIGINT",
            };
            if attempt > 0 {
                tracing::warn!(signal = name, "stopping at once");
                std::process::exit(130);
            }
            tracing::info!(signal = name, "stopping; once more to stop at once");
            stop.cancel();
        }
    });
    token
}
