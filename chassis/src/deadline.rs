//! Deadlines: how long a request may still take, handed on at every hop.

use std::time::{Duration, Instant};

use tonic::Request;

use crate::pool::timeout;

/// What a caller that says nothing is given.
const DEFAULT_BUDGET: Duration = Duration::from_secs(5);

/// The moment after which nobody waits for the answer any more.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Deadline(Instant);

impl Deadline {
    /// A deadline `budget` from now.
    pub fn after(budget: Duration) -> Self {
        Self(Instant::now() + budget)
    }

    /// The deadline that an rpc came with.
    pub fn of<T>(request: &Request<T>) -> Self {
        Self::after(timeout::parse(request.metadata().as_ref()).unwrap_or(DEFAULT_BUDGET))
    }

    /// The deadline as tokio's timers want it.
    pub fn instant(self) -> tokio::time::Instant {
        tokio::time::Instant::from_std(self.0)
    }

    /// What is left; zero when the time is over.
    pub fn remaining(self) -> Duration {
        self.0.saturating_duration_since(Instant::now())
    }

    /// Whether the time was over at `now`.
    pub fn is_over(self, now: Instant) -> bool {
        self.0 <= now
    }

    /// The earlier of this deadline and one `budget` from now.
    #[must_use]
    pub fn at_most(self, budget: Duration) -> Self {
        self.min(Self::after(budget))
    }

    /// An outgoing rpc that carries what is left.
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
    fn what_is_sent_is_what_is_left() {
        let request = Deadline::after(Duration::from_millis(200)).request(());
        let left = timeout::parse(request.metadata().as_ref()).unwrap();
        assert!(left <= Duration::from_millis(200) && left > Duration::from_millis(100));
    }
}
