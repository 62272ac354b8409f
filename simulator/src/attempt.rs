//! The requests of a run, their outcomes, and the known effects of the outcomes.

use std::time::Duration;

use crate::action::{Action, Kind};
use crate::client::{Response, SendError};

/// The outcome of a request, in the categories in which the course counts errors.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum RequestOutcome {
    /// A response with this status.
    Status(u16),
    /// No complete response in time.
    TimedOut,
    /// No connection, for the given cause.
    NotConnected(String),
    /// A connection that broke, for the given cause.
    Broken(String),
    /// The request was not sent, because too many requests were in flight.
    NotSent,
}

impl From<Result<Response, SendError>> for RequestOutcome {
    fn from(result: Result<Response, SendError>) -> Self {
        match result {
            Ok(response) => Self::Status(response.status),
            Err(SendError::TimedOut) => Self::TimedOut,
            Err(SendError::NotConnected(cause)) => Self::NotConnected(cause),
            Err(SendError::Broken(cause)) => Self::Broken(cause),
        }
    }
}

impl RequestOutcome {
    /// Whether the course counts the outcome as success.
    pub(crate) fn is_expected(&self, kind: Kind) -> bool {
        matches!(self, Self::Status(status) if kind.expects(*status))
    }
}

/// Whether an action took effect on the server, as far as the client can know.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Effect {
    /// The server acknowledged the action.
    Yes,
    /// The server rejected the action or never saw it.
    No,
    /// There is no response, or the response does not say.
    Maybe,
}

/// One request of a run, with times counted from the start of the run.
#[derive(Clone, Debug)]
pub(crate) struct Attempt {
    pub(crate) action: Action,
    /// The time just before the request was sent.
    pub(crate) sent: Duration,
    /// The time just after the response arrived or the request failed.
    pub(crate) done: Duration,
    pub(crate) outcome: RequestOutcome,
}

impl Attempt {
    /// Whether the action's write took effect.
    pub(crate) fn effect(&self) -> Effect {
        if !self.action.kind().is_write() {
            return Effect::No;
        }
        match self.outcome {
            RequestOutcome::Status(204) => Effect::Yes,
            RequestOutcome::Status(400..=499)
            | RequestOutcome::NotConnected(_)
            | RequestOutcome::NotSent => Effect::No,
            _ => Effect::Maybe,
        }
    }

    /// Whether the request set `latest`. Every authorised request does, including a request that is
    /// answered with 400 or 404.
    pub(crate) fn effect_on_latest(&self) -> Effect {
        if self.action.kind() == Kind::ReadLatest {
            return Effect::No;
        }
        match self.outcome {
            RequestOutcome::Status(200..=299 | 400 | 404) => Effect::Yes,
            RequestOutcome::Status(401 | 403)
            | RequestOutcome::NotConnected(_)
            | RequestOutcome::NotSent => Effect::No,
            _ => Effect::Maybe,
        }
    }
}
