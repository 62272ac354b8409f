//! Signals and times of a graceful shutdown.

use std::time::Duration;

use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;

/// Times of a graceful shutdown.
#[derive(Clone, Copy, Debug)]
pub struct Drain {
    /// Time during which the process still accepts requests after it reports that it is draining, so
    /// that its callers learn of it before it refuses them.
    pub lame_duck: Duration,
    /// Time after the signal when the process stops even if requests are in flight.
    pub hard_stop: Duration,
}

impl Drain {
    /// A drain without lame-duck time, for a server whose callers stop before it, as in the
    /// single-process suite.
    pub const AT_ONCE: Self = Self {
        lame_duck: Duration::ZERO,
        hard_stop: Duration::from_secs(5),
    };
}

/// Returns a token that the first SIGTERM or SIGINT cancels. The second signal ends the process with exit
/// code 130.
///
/// # Panics
///
/// The signal handlers cannot be installed, which does not happen on a supported system.
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
            tracing::info!(signal = name, "stopping: a second signal stops at once");
            stop.cancel();
        }
    });
    token
}
