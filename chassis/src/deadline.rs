//! Deadlines: how long a request may still take, handed on at every hop.

use std::time::{Duration, Instant};

use tonic::{Request, metadata::MetadataMap};

/// The header that carries what is left of a deadline to the next hop.
const GRPC_TIMEOUT: &str = "grpc-timeout";

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
        Self::after(timeout_of(request.metadata()).unwrap_or(DEFAULT_BUDGET))
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

/// Reads `grpc-timeout`: up to eight digits and a unit, as the gRPC wire format has it.
fn timeout_of(metadata: &MetadataMap) -> Option<Duration> {
    let text = metadata.get(GRPC_TIMEOUT)?.to_str().ok()?;
    let (digits, unit) = text.split_at_checked(text.len().checked_sub(1)?)?;
    if digits.len() > 8 {
        return None;
    }
    let value: u64 = digits.parse().ok()?;
    Some(match unit {
        "H" => Duration::from_secs(value * 3600),
        "M" => Duration::from_secs(value * 60),
        "S" => Duration::from_secs(value),
        "m" => Duration::from_millis(value),
        "u" => Duration::from_micros(value),
        "n" => Duration::from_nanos(value),
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(text: &'static str) -> Option<Duration> {
        let mut metadata = MetadataMap::new();
        metadata.insert(GRPC_TIMEOUT, text.parse().unwrap());
        timeout_of(&metadata)
    }

    #[test]
    fn every_unit_of_the_wire_format_is_read() {
        assert_eq!(parsed("2H"), Some(Duration::from_hours(2)));
        assert_eq!(parsed("3M"), Some(Duration::from_mins(3)));
        assert_eq!(parsed("4S"), Some(Duration::from_secs(4)));
        assert_eq!(parsed("250m"), Some(Duration::from_millis(250)));
        assert_eq!(parsed("99999999u"), Some(Duration::from_micros(99_999_999)));
        assert_eq!(parsed("7n"), Some(Duration::from_nanos(7)));
    }

    #[test]
    fn nonsense_is_no_deadline() {
        for text in ["", "S", "5", "-5S", "123456789S", "5d"] {
            assert_eq!(parsed(text), None, "{text:?}");
        }
    }

    #[test]
    fn what_is_sent_is_what_is_left() {
        let request = Deadline::after(Duration::from_millis(200)).request(());
        let left = timeout_of(request.metadata()).unwrap();
        assert!(left <= Duration::from_millis(200) && left > Duration::from_millis(100));
    }
}
