//! Errors that say when to retry, with `google.rpc.RetryInfo` in the details of the status.

use std::time::Duration;

use tonic::{Code, Status};
use tonic_types::{ErrorDetails, StatusExt as _};

/// An error for a request that may succeed after `seconds`.
pub fn status(code: Code, message: impl Into<String>, seconds: u32) -> Status {
    let wait = Duration::from_secs(seconds.into());
    Status::with_error_details(code, message, ErrorDetails::with_retry_info(Some(wait)))
}

/// The number of seconds after which to retry, at least one. `None` when the status does not contain it.
pub fn seconds(status: &Status) -> Option<u32> {
    let wait = status.get_details_retry_info()?.retry_delay?;
    let seconds = wait.as_millis().div_ceil(1000).max(1);
    Some(u32::try_from(seconds).unwrap_or(u32::MAX))
}
