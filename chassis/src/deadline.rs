//! Deadlines of requests, which every rpc propagates.

use std::time::{Duration, Instant};

use tonic::Request;

use crate::protocol::timeout;

/// Time for a request whose caller sends no `grpc-timeout`.
const DEFAULT_BUDGET: Duration = Duration::from_secs(5);

/// Maximum time that a service reserves for sending its answer. It reserves a fifth of its caller's
/// timeout, up to this time. So the service's own `DEADLINE_EXCEEDED` still reaches the caller, which
/// shows the caller that the replica is slow and not frozen.
const ANSWER_TIME_MAX: Duration = Duration::from_millis(20);

/// The moment when the caller of a request stops waiting for the answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Deadline(Instant);

impl Deadline {
    /// A deadline `budget` from now.
    pub fn after(budget: Duration) -> Self {
        Self(Instant::now() + budget)
    }

    /// The deadline of an incoming rpc, minus the time that is reserved for sending the answer.
    pub fn of<T>(request: &Request<T>) -> Self {
        let timeout = timeout::parse(request.metadata().as_ref()).unwrap_or(DEFAULT_BUDGET);
        Self::after(timeout.saturating_sub((timeout / 5).min(ANSWER_TIME_MAX)))
    }

    /// The deadline in the type of tokio's timers.
    pub fn instant(self) -> tokio::time::Instant {
        tokio::time::Instant::from_std(self.0)
    }

    /// The remaining time. Zero when the deadline is over.
    pub fn remaining(self) -> Duration {
        self.0.saturating_duration_since(Instant::now())
    }

    /// Whether the deadline is over at `now`.
    pub fn is_over(self, now: Instant) -> bool {
        self.0 <= now
    }

    /// The earlier of this deadline and a deadline `budget` from now.
    #[must_use]
    pub fn at_most(self, budget: Duration) -> Self {
        self.min(Self::after(budget))
    }

    /// An outgoing rpc whose `grpc-timeout` is the remaining time.
    pub fn request<T>(self, message: T) -> Request<T> {
        let mut request = Request::new(message);
        request.set_timeout(self.remaining());
        request
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_incoming_timeout_is_reduced_by_the_answer_time() {
        let mut request = Request::new(());
        request.set_timeout(Duration::from_secs(2));
        let left = Deadline::of(&request).remaining();
        assert!(left <= Duration::from_millis(1_980) && left > Duration::from_millis(1_800));
        request.set_timeout(Duration::from_millis(50));
        assert!(Deadline::of(&request).remaining() <= Duration::from_millis(40));
    }

    #[test]
    fn an_outgoing_timeout_is_the_remaining_time() {
        let request = Deadline::after(Duration::from_millis(200)).request(());
        let left = timeout::parse(request.metadata().as_ref()).unwrap();
        assert!(left <= Duration::from_millis(200) && left > Duration::from_millis(100));
    }
}
