//! Sends the actions one after another as the course does, in a closed loop, or in an open loop.

mod dispatcher;
mod load;
mod recorder;
mod replay;

use std::time::Duration;

use tokio::time::Instant;

use crate::action::{Action, Kind};
use crate::attempt::RequestOutcome;
use crate::client::Client;

pub(crate) use load::Load;
pub(crate) use load::{closed_loop, open_loop};
pub(crate) use recorder::{Recorder, Recording, Sample};
pub(crate) use replay::replay;

/// Maximum time for a complete response.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Timeouts {
    pub(crate) register: Duration,
    pub(crate) other: Duration,
}

impl Timeouts {
    fn of(self, kind: Kind) -> Duration {
        if kind == Kind::Register {
            self.register
        } else {
            self.other
        }
    }
}

/// Pause of a sender without a schedule after a request that got no connection. Refused connections
/// take so little time that a short outage would otherwise use up all actions.
const OUTAGE_PAUSE: Duration = Duration::from_millis(50);

/// Pauses if the outcome is that the server did not accept a connection.
async fn pause_in_outage(outcome: &RequestOutcome) {
    if matches!(outcome, RequestOutcome::NotConnected(_)) {
        tokio::time::sleep(OUTAGE_PAUSE).await;
    }
}

/// Sends one action and returns its outcome. `due` is the scheduled time, if there is a schedule.
async fn perform(
    client: &Client,
    timeouts: Timeouts,
    action: Action,
    due: Option<Instant>,
) -> Sample {
    let (method, path, body) = action.to_request();
    let sent = Instant::now();
    let result = client
        .send(method, &path, body, timeouts.of(action.kind()))
        .await;
    let done = Instant::now();
    Sample {
        action,
        due: due.unwrap_or(sent),
        sent,
        done,
        outcome: RequestOutcome::from(result),
    }
}
