//! Refusals that say how long to wait: gRPC's `RetryInfo`, a detail of the status.

use std::time::Duration;

use tonic::{Code, Status};
use tonic_types::{ErrorDetails, StatusExt as _};

/// A refusal of what may succeed after so many seconds.
pub fn status(code: Code, message: impl Into<String>, seconds: u32) -> Status {
    let wait = Duration::from_secs(seconds.into());
    Status::with_error_details(code, message, ErrorDetails::with_retry_info(Some(wait)))
}

/// How many seconds a refusal says to wait, at least one; `None` when it does not say.
pub fn seconds(status: &Status) -> Option<u32> {
    let wait = status.get_details_retry_info()?.retry_delay?;
    let seconds = wait.as_millis().div_ceil(1000).max(1);
    Some(u32::try_from(seconds).unwrap_or(u32::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::per_item;

    #[test]
    fn the_wait_survives_the_way_over_the_wire() {
        let status = status(Code::ResourceExhausted, "too often", 900);
        let received = per_item::status(per_item::error(&status));
        assert_eq!(received.code(), Code::ResourceExhausted);
        assert_eq!(received.message(), "too often");
        assert_eq!(seconds(&received), Some(900));
    }

    #[test]
    fn who_says_nothing_is_not_waited_for() {
        let status = per_item::status(per_item::error(&Status::resource_exhausted("full")));
        assert_eq!(seconds(&status), None);
    }
}
