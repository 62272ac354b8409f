//! Sending the actions: one after another as the course does, in a closed loop, or in an open one.

mod dispatch;
mod load;
mod recorder;
mod replay;

use std::time::Duration;

use tokio::time::Instant;

use crate::action::{Action, Kind};
use crate::attempt::Answer;
use crate::client::Client;

pub(crate) use load::Load;
pub(crate) use load::{closed_loop, open_loop};
pub(crate) use recorder::{Recorder, Recording, Sample};
pub(crate) use replay::replay;

/// How long an answer may take.
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

/// How long a sender without a schedule waits after a request that got no connection: a refusal is
/// so fast that a short outage would use up all actions.
const OUTAGE_PAUSE: Duration = Duration::from_millis(50);

/// Waits a moment if `answer` means that nobody is there.
async fn pause_in_outage(answer: &Answer) {
    if matches!(answer, Answer::NotConnected(_)) {
        tokio::time::sleep(OUTAGE_PAUSE).await;
    }
}

/// Sends one action and says how it went; `due` is when it was to be sent, if there was a schedule.
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
        answer: Answer::from(result),
    }
}
