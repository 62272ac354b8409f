//! What was tried, and what is known of its effect.

use std::time::Duration;

use crate::action::{Action, Kind};
use crate::client::{Failure, Reply};

/// How a request ended, as the course counts it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Answer {
    /// An answer with this status.
    Status(u16),
    /// No answer in time.
    TimedOut,
    /// No connection, for this reason.
    NotConnected(String),
    /// A connection that broke, for this reason.
    Broken(String),
    /// Too much was in flight already, so that the request was not even tried.
    NotSent,
}

impl From<Result<Reply, Failure>> for Answer {
    fn from(result: Result<Reply, Failure>) -> Self {
        match result {
            Ok(reply) => Self::Status(reply.status),
            Err(Failure::TimedOut) => Self::TimedOut,
            Err(Failure::NotConnected(cause)) => Self::NotConnected(cause),
            Err(Failure::Broken(cause)) => Self::Broken(cause),
        }
    }
}

impl Answer {
    /// Whether the course counts this as right.
    pub(crate) fn is_right(&self, kind: Kind) -> bool {
        matches!(self, Self::Status(status) if kind.expects(*status))
    }
}

/// Whether something happened on the server, as far as its client can know.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Effect {
    /// The server said so.
    Yes,
    /// The server refused it, or never saw it.
    No,
    /// No answer, or one that leaves it open.
    Maybe,
}

/// One request of a run, with times counted from the start of the run.
#[derive(Clone, Debug)]
pub(crate) struct Attempt {
    pub(crate) action: Action,
    /// Just before it was sent.
    pub(crate) sent: Duration,
    /// Just after it was answered or given up.
    pub(crate) done: Duration,
    pub(crate) answer: Answer,
}

impl Attempt {
    /// Whether the action itself took place.
    pub(crate) fn effect(&self) -> Effect {
        if !self.action.kind().is_write() {
            return Effect::No;
        }
        match self.answer {
            Answer::Status(204) => Effect::Yes,
            Answer::Status(400..=499) | Answer::NotConnected(_) | Answer::NotSent => Effect::No,
            _ => Effect::Maybe,
        }
    }

    /// Whether `latest` was set: by every authorised request, also when it is answered with 400 or
    /// 404.
    pub(crate) fn effect_on_latest(&self) -> Effect {
        if self.action.kind() == Kind::ReadLatest {
            return Effect::No;
        }
        match self.answer {
            Answer::Status(200..=299 | 400 | 404) => Effect::Yes,
            Answer::Status(401 | 403) | Answer::NotConnected(_) | Answer::NotSent => Effect::No,
            _ => Effect::Maybe,
        }
    }
}
