//! Writes with a stamp. Of several writes of one state, the write with the greatest stamp wins.

use chassis::{
    per_item::WriteOutcome,
    stamp::{self, Clock},
};
use tonic::Status;
use uuid::Uuid;

/// Maximum age of a write that is repeated under a new stamp, in milliseconds. No caller waits longer
/// than this for a write, and synchronised clocks differ by less.
const AGE_MAX_MILLIS: u64 = 1_000;

/// Repeats a write under a new stamp until it is applied.
///
/// A write is superseded if a greater stamp is stored, which came from a clock ahead of `clock`. The
/// clock then moves past the stored stamp, and the write is sent again. If the caller was cancelled,
/// the write is not retried, so it cannot overwrite a later write.
///
/// # Errors
///
/// The status of the write. `Unavailable` if the key of the write is too old. This process was then
/// stopped for a while, and the proxy that named the request has sent it to another gateway.
pub async fn retry_superseded<F>(
    clock: &Clock,
    key: Uuid,
    write: impl Fn(Uuid) -> F,
) -> Result<(), Status>
where
    F: Future<Output = Result<WriteOutcome, Status>>,
{
    let mut current = key;
    loop {
        match write(current).await? {
            WriteOutcome::Applied => return Ok(()),
            WriteOutcome::Superseded(stored) => {
                if stamp::unix_millis().saturating_sub(stamp::millis(key)) > AGE_MAX_MILLIS {
                    return Err(Status::unavailable("overtaken by a later write"));
                }
                clock.observe(stored);
                current = clock.stamp();
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;

    use tonic::Code;

    use super::*;

    #[tokio::test]
    async fn a_superseded_write_is_repeated_with_a_greater_stamp() {
        let clock = Clock::default();
        let key = clock.stamp();
        let stored = stamp::from_name(stamp::unix_millis() + 60_000, 0);
        let stamps = RefCell::new(Vec::new());
        let write = async |stamp: Uuid| {
            stamps.borrow_mut().push(stamp);
            Ok(WriteOutcome::from_stamps(stamp, stored))
        };
        retry_superseded(&clock, key, write).await.unwrap();
        let stamps = stamps.into_inner();
        assert_eq!(stamps.len(), 2);
        assert_eq!(stamps[0], key);
        assert!(stamps[1] > stored);
    }

    #[tokio::test]
    async fn an_old_write_is_not_repeated() {
        let key = stamp::from_name(stamp::unix_millis() - 10_000, 0);
        let write = async |stamp| Ok(WriteOutcome::Superseded(stamp));
        let error = retry_superseded(&Clock::default(), key, write).await;
        assert_eq!(error.unwrap_err().code(), Code::Unavailable);
    }
}
