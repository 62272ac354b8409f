//! Replays a scenario as the course does, with one request at a time in the order of the file.

use std::time::Duration;

use tokio_util::sync::CancellationToken;

use crate::action::Action;
use crate::client::Client;

use super::{Recorder, Timeouts, pause_in_outage, perform};

/// Number of delay units per second in a scenario. The course sleeps delay / 1e8 seconds.
const DELAY_UNITS_PER_SECOND: f64 = 1e8;

/// Replays `actions` with their delays multiplied by `pace`.
pub(crate) async fn replay(
    client: &Client,
    actions: &[Action],
    pace: f64,
    timeouts: Timeouts,
    recorder: &Recorder,
    stop: &CancellationToken,
) {
    for action in actions {
        let pause = pause(action.delay, pace);
        if !pause.is_zero() {
            tokio::select! {
                () = tokio::time::sleep(pause) => {}
                () = stop.cancelled() => {}
            }
        }
        if stop.is_cancelled() {
            return;
        }
        let sample = perform(client, timeouts, action.clone(), None).await;
        let outcome = sample.outcome.clone();
        recorder.record(sample);
        if pace == 0.0 {
            pause_in_outage(&outcome).await;
        }
    }
}

#[expect(
    clippy::cast_precision_loss,
    reason = "a pause need not be exact to the nanosecond"
)]
fn pause(delay: u64, pace: f64) -> Duration {
    Duration::try_from_secs_f64(delay as f64 / DELAY_UNITS_PER_SECOND * pace)
        .unwrap_or(Duration::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn delays_are_scaled_by_the_pace() {
        assert_eq!(pause(13_700_323, 0.0), Duration::ZERO);
        assert_eq!(pause(13_700_323, 1.0).as_millis(), 137);
        assert_eq!(pause(13_700_323, 2.0).as_millis(), 274);
        assert_eq!(pause(u64::MAX, 1e300), Duration::MAX);
    }
}
