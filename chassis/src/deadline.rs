//! Deadlines: how long a request may still take, handed on at every hop.

use std::time::{Duration, Instant};

use tonic::Request;

use crate::pool::timeout;

/// What a caller that says nothing is given.
const DEFAULT_BUDGET: Duration = Duration::from_secs(5);

/// What a service keeps of the time it is given, so that its own word that the time is over still
/// reaches the caller: silence is what tells a replica that has frozen from one that is slow. A
/// fifth, up to this.
const ANSWER_MAX: Duration = Duration::from_millis(20);

/// The moment after which nobody waits for the answer any more.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Deadline(Instant);

impl Deadline {
    /// A deadline `budget` from now.
    pub fn after(budget: Duration) -> Self {
        Self(Instant::now() + budget)
    }

    /// The deadline that an rpc came with, less the time that the answer takes.
    pub fn of<T>(request: &Request<T>) -> Self {
        let given = timeout::parse(request.metadata().as_ref()).unwrap_or(DEFAULT_BUDGET);
        Self::after(given.saturating_sub((given / 5).min(ANSWER_MAX)))
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
    fn what_came_is_kept_but_for_the_time_to_answer() {
        let mut request = Request::new(());
        request.set_timeout(Duration::from_secs(2));
        let left = Deadline::of(&request).remaining();
        assert!(left <= Duration::from_millis(1_980) && left > Duration::from_millis(1_800));
        request.set_timeout(Duration::from_millis(50));
        assert!(Deadline::of(&request).remaining() <= Duration::from_millis(40));
    }

    #[test]
    fn what_is_sent_is_what_is_left() {
        let request = Deadline::after(Duration::from_millis(200)).request(());
        let left = timeout::parse(request.metadata().as_ref()).unwrap();
        assert!(left <= Duration::from_millis(200) && left > Duration::from_millis(100));
    }
}
